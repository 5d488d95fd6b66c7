//! The configuration as meant: defaults filled in, texts parsed, paths checked.

use std::path::{Path, PathBuf};

use super::file::{self, ConfigError};
use crate::clock::WallClock;

/// Default of `state`.
const STATE: &str = "/var/lib/casemate";
/// Default of `socket`.
const SOCKET: &str = "/run/casemate/agent.sock";
/// Default of `reserve`, bytes: enough to write receipts, journal and health on an otherwise full disk.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Everything the program needs to know to start. Tests make their own, with their own clock.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the state; one process at a time owns it.
    pub state: PathBuf,
    /// The local API's socket.
    pub socket: PathBuf,
    /// Folder where a stick is mounted; none is watched if absent.
    pub stick: Option<PathBuf>,
    /// Space a bundle may never use, bytes.
    pub reserve: u64,
    /// The program that is started again as the sandboxed reader; this one, unless a test hosts the library.
    pub program: PathBuf,
    /// Where the time comes from.
    pub clock: WallClock,
}

impl Config {
    /// Reads the file at `path`; absent keys take their defaults. The default file may be absent altogether. `clock`
    /// is not configurable: whoever starts the program hands it in.
    ///
    /// # Errors
    /// Unreadable file, unknown key, value of another type or form.
    pub fn load(path: &Path, clock: WallClock) -> Result<Self, ConfigError> {
        let (file, text) = file::read(path)?;
        Self::resolve(path, file, &text, clock)
    }

    fn resolve(path: &Path, file: file::File, text: &str, clock: WallClock) -> Result<Self, ConfigError> {
        let absolute = |key: &'static str, value: PathBuf| {
            if value.is_absolute() {
                Ok(value)
            } else {
                Err(ConfigError::Relative { path: path.into(), key, found: value })
            }
        };
        let reserve = match file.reserve {
            None => RESERVE,
            Some(value) => size(value.get_ref()).ok_or_else(|| ConfigError::Line {
                path: path.into(),
                line: file::line_of(text, Some(value.span())),
                message: format!("{:?} is no size such as \"64 MiB\"", value.get_ref()),
                suggestion: None,
            })?,
        };
        Ok(Self {
            state: absolute("state", file.state.unwrap_or_else(|| STATE.into()))?,
            socket: absolute("socket", file.socket.unwrap_or_else(|| SOCKET.into()))?,
            stick: file.stick.map(|stick| absolute("stick", stick)).transpose()?,
            reserve,
            program: "/proc/self/exe".into(),
            clock,
        })
    }
}

/// A size in bytes: a number and `B`, `KiB`, `MiB`, `GiB` or `TiB`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[digits..].trim() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use casemate_protocol::code::Explain;

    use super::*;

    fn resolve(text: &str) -> Result<Config, ConfigError> {
        let path = Path::new("agent.toml");
        Config::resolve(path, file::parse(path, text)?, text, WallClock::system())
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = resolve("").unwrap();
        assert_eq!((config.state, config.socket), (STATE.into(), SOCKET.into()));
        assert_eq!((config.stick, config.reserve), (None, RESERVE));
    }

    #[test]
    fn every_key_is_read() {
        let config = resolve("state='/s'\nsocket='/k'\nstick='/m'\nreserve='2 GiB'\n").unwrap();
        assert_eq!((config.state, config.socket, config.stick), ("/s".into(), "/k".into(), Some("/m".into())));
        assert_eq!(config.reserve, 2 << 30);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_what_was_probably_meant() {
        let error = resolve("state = '/s'\n\nsokcet = '/k'\n").unwrap_err();
        assert!(matches!(&error, ConfigError::Line { line: 3, .. }), "{error}");
        assert!(error.to_string().contains("`sokcet`") && error.remedy().contains("\"socket\""), "{error}");
        assert!(!resolve("colour = 'red'").unwrap_err().remedy().contains("mean"));
    }

    #[test]
    fn a_wrong_size_is_named_with_its_line() {
        for text in ["64", "64 MB", "MiB", "-1 MiB", "99999999 TiB"] {
            let error = resolve(&format!("state = '/s'\nreserve = '{text}'\n")).unwrap_err();
            assert!(matches!(error, ConfigError::Line { line: 2, .. }), "{text}");
        }
    }

    #[test]
    fn a_relative_path_is_refused() {
        let error = resolve("state = 'state'").unwrap_err();
        assert!(matches!(error, ConfigError::Relative { key: "state", .. }));
    }

    #[test]
    fn only_the_default_file_may_be_absent() {
        assert!(Config::load(Path::new("/nonexistent/agent.toml"), WallClock::system()).is_err());
    }
}
