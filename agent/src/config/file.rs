//! `/etc/casemate/agent.toml` as written.
//!
//! Only what the agent needs before anything is signed. The rest arrives in bundles. The environment is not read.

use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::local::Role;

/// Where the file stands unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/casemate/agent.toml";
/// Longest file read, bytes.
const MAX_LENGTH: u64 = 64 * 1024;
/// The file's content. Every value keeps its place in the text, for messages and `config show`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Folder of the state.
    pub(super) state: Option<Spanned<PathBuf>>,
    /// The admin socket by its older name.
    pub(super) socket: Option<Spanned<PathBuf>>,
    /// Folder where a stick is mounted.
    pub(super) stick: Option<Spanned<PathBuf>>,
    /// Space kept free, such as `64 MiB`.
    pub(super) reserve: Option<Spanned<String>>,
    /// The least important level that is logged.
    pub(super) log: Option<Spanned<String>>,
    /// Who sees to the boundary beside the agent.
    pub(super) enforcement: Option<Spanned<String>>,
    /// The local API.
    #[serde(default)]
    pub(super) local: Local,
    /// Where others write what concerns the boundary: for tests.
    #[serde(default)]
    pub(super) boundary: Boundary,
}

/// `[boundary]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Boundary {
    pub(super) run: Option<PathBuf>,
    pub(super) watch: Option<PathBuf>,
    pub(super) site: Option<PathBuf>,
}

/// `[local.…]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Local {
    pub(super) admin: Option<LocalTable>,
    pub(super) consumer: Option<LocalTable>,
    pub(super) monitor: Option<LocalTable>,
}

/// One role's socket.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalTable {
    /// Where it stands.
    pub(super) socket: Option<Spanned<PathBuf>>,
    /// Who may open it beside the agent's user.
    pub(super) group: Option<Spanned<String>>,
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
        suggestion: Option<String>,
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
    /// Two sockets in one place: one would take the other's.
    #[error("{path}: the sockets of {one} and {other} are both {socket:?}")]
    SameSocket {
        /// The file.
        path: PathBuf,
        /// One role.
        one: Role,
        /// The other.
        other: Role,
        /// Where both stand.
        socket: PathBuf,
    },
    /// A socket is for a group this machine does not have.
    #[error("there is no group {group:?}, which local.{role}.group names")]
    NoGroup {
        /// Whose socket.
        role: Role,
        /// The missing group.
        group: String,
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
            Self::Line { .. } => "Correct the line; `casemate-agent config show` prints every key.".into(),
            Self::TooLong { .. } => "Only the bootstrap belongs here; everything else arrives in bundles.".into(),
            Self::SameSocket { .. } => "Give each role a socket of its own.".into(),
            Self::NoGroup { group, .. } => format!("Make it (groupadd --system {group}) or take the line out."),
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
        let suggestion = message.starts_with("unknown field").then(|| meant(&message)).flatten();
        ConfigError::Line { path: path.into(), line: line_of(text, error.span()), message, suggestion }
    })
}

/// The line on which `span` starts, from 1.
pub(crate) fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The key that was probably meant, from a message such as "unknown field `grop`, expected `socket` or `group`": the
/// message names what the very table knows.
pub(crate) fn meant(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let typed = quoted.next()?;
    quoted
        .map(|key| (distance(typed, key), key))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, key)| key.into())
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
