//! `/etc/casemate/agent.toml` as written.
//!
//! Only what the agent needs before anything is signed. The rest arrives in bundles. The environment is not read.

use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use serde::Deserialize;
use thiserror::Error;

/// Where the file stands unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/casemate/agent.toml";
/// Longest file read, bytes.
const MAX_LENGTH: u64 = 64 * 1024;
/// Every key, for suggestions; a test compares it with [`File`].
const KEYS: [&str; 4] = ["reserve", "socket", "state", "stick"];

/// The file's content.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Folder of the state.
    pub(super) state: Option<PathBuf>,
    /// The local API's socket.
    pub(super) socket: Option<PathBuf>,
    /// Folder where a stick is mounted.
    pub(super) stick: Option<PathBuf>,
    /// Space kept free, such as `64 MiB`.
    pub(super) reserve: Option<toml::Spanned<String>>,
}

/// What is wrong with the configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Longer than any configuration.
    #[error("{path} has {found} bytes, at most {MAX_LENGTH} are read")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// A key nobody knows, or a value of another type.
    #[error("{path}:{line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
        /// The key that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A path that depends on where the program was started.
    #[error("{path}: {key} = {found:?} is not an absolute path")]
    Relative {
        /// The file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// Its value.
        found: PathBuf,
    },
}

impl Explain for ConfigError {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => format!("Check that {} exists and may be read.", path.display()),
            Self::Line { suggestion: Some(suggestion), .. } => format!("Did you mean {suggestion:?}?"),
            Self::Line { .. } | Self::TooLong { .. } => {
                format!("Known keys are {}; correct the line.", KEYS.join(", "))
            }
            Self::Relative { key, .. } => format!("Write {key} as an absolute path."),
        }
    }
}

/// Reads the file at `path`; no file at all is an empty one if `path` is the default.
pub(super) fn read(path: &Path) -> Result<(File, String), ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
            return Ok((File::default(), String::new()));
        }
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if metadata.len() > MAX_LENGTH => {
            return Err(ConfigError::TooLong { path: path.into(), found: metadata.len() });
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok((parse(path, &text)?, text))
}

pub(super) fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let message = error.message().to_owned();
        let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let suggestion = unknown.and_then(nearest);
        ConfigError::Line { path: path.into(), line: line_of(text, error.span()), message, suggestion }
    })
}

/// The line on which `span` starts, from 1.
pub(super) fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The known key nearest to `typed`, if it is near.
fn nearest(typed: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| (distance(typed, key), *key)).min().filter(|(distance, _)| *distance <= 2).map(|(_, key)| key)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.bytes().enumerate() {
            let change = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
