//! One value of the configuration and where it came from: what `config show` prints.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file does not say; this is what the program does then.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key, with its tables, as in `local.admin.socket`.
    pub key: &'static str,
    /// Its value as an operator would write it; `None` where there is none, such as no stick.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}
