//! `/etc/casemate/firmware.toml`. Unknown keys are errors; the environment is not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{Name, Owner};
use serde::Deserialize;
use thiserror::Error;

use crate::slot::SlotName;
use crate::wish::Assigners;

/// Where the file stands unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/casemate/firmware.toml";

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "consumer")]
    consumer: String,
    #[serde(default = "socket")]
    socket: PathBuf,
    #[serde(default = "state")]
    state: PathBuf,
    #[serde(default = "limit")]
    limit: String,
    owners: Option<BTreeSet<Owner>>,
    rauc: Option<RaucTable>,
    files: Option<FilesTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RaucTable {
    #[serde(default = "bus")]
    bus: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesTable {
    slots: BTreeMap<SlotName, PathBuf>,
    pointer: PathBuf,
    #[serde(default = "booted")]
    booted: PathBuf,
}

fn consumer() -> String {
    "firmware".into()
}

fn socket() -> PathBuf {
    "/run/casemate/consumer.sock".into()
}

fn state() -> PathBuf {
    "/var/lib/casemate-firmware".into()
}

fn limit() -> String {
    "30m".into()
}

fn bus() -> PathBuf {
    "/run/dbus/system_bus_socket".into()
}

fn booted() -> PathBuf {
    "/proc/cmdline".into()
}

/// The configuration as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name under which manifests declare this service.
    pub consumer: Name,
    /// The agent's consumer socket.
    pub socket: PathBuf,
    /// This service's folder: the ledger, and an artifact while it is being installed.
    pub state: PathBuf,
    /// Longest time an installation may take.
    pub limit: Duration,
    /// Who may assign firmware.
    pub assigners: Assigners,
    /// Who writes slots.
    pub writer: WriterConfig,
}

/// Who writes slots, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterConfig {
    /// RAUC.
    Rauc {
        /// The system bus's socket.
        bus: PathBuf,
    },
    /// This process.
    Files {
        /// Two slots.
        slots: BTreeMap<SlotName, PathBuf>,
        /// The file that names the slot to boot next.
        pointer: PathBuf,
        /// The kernel's command line.
        booted: PathBuf,
    },
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
    /// A key nobody knows, or a value of another type.
    #[error("{path} is not what it should be")]
    Text {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong there.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value that means nothing.
    #[error("{path}: {key}: {message}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Explain for ConfigError {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn remedy(&self) -> String {
        "Write `[rauc]`, or `[files]` with two slots and a pointer; the other keys are consumer, socket, state, limit \
         and owners."
            .into()
    }
}

impl Config {
    /// Reads the file at `path`. There is no default for who writes slots, so there must be a file.
    ///
    /// # Errors
    /// Unreadable file, unknown key, value of another type or form.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |key, message: String| ConfigError::Value { path: path.into(), key, message };
        let file: File =
            toml::from_str(text).map_err(|source| ConfigError::Text { path: path.into(), source: Box::new(source) })?;
        let absolute = |key, found: PathBuf| {
            let message = || format!("{} is not an absolute path", found.display());
            if found.is_absolute() { Ok(found) } else { Err(wrong(key, message())) }
        };
        let writer = match (file.rauc, file.files) {
            (Some(rauc), None) => WriterConfig::Rauc { bus: absolute("rauc.bus", rauc.bus)? },
            (None, Some(files)) => {
                let slots = files.slots.into_iter().map(|(name, path)| Ok((name, absolute("files.slots", path)?)));
                let slots: BTreeMap<_, _> = slots.collect::<Result<_, _>>()?;
                if slots.len() != 2 {
                    return Err(wrong("files.slots", format!("{} slots are named, there must be two", slots.len())));
                }
                WriterConfig::Files {
                    slots,
                    pointer: absolute("files.pointer", files.pointer)?,
                    booted: absolute("files.booted", files.booted)?,
                }
            }
            (None, None) => return Err(wrong("rauc, files", "nobody is named who writes slots".into())),
            (Some(_), Some(_)) => return Err(wrong("rauc, files", "only one of them may write slots".into())),
        };
        let limit = duration(&file.limit)
            .ok_or_else(|| wrong("limit", format!("{:?} is no time such as \"30m\"", file.limit)))?;
        Ok(Self {
            consumer: file.consumer.parse().map_err(|error| wrong("consumer", format!("{error}")))?,
            socket: absolute("socket", file.socket)?,
            state: absolute("state", file.state)?,
            limit,
            assigners: file.owners.map_or(Assigners::AnyGroup, Assigners::Only),
            writer,
        })
    }
}

/// A number and `s`, `m` or `h`; at least a second, at most a day.
fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let seconds = text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("firmware.toml"), text)
    }

    #[test]
    fn naming_the_writer_is_enough() {
        let config = parse("[rauc]").unwrap();
        assert_eq!((config.consumer.as_str(), config.limit), ("firmware", Duration::from_secs(1800)));
        assert_eq!(config.writer, WriterConfig::Rauc { bus: bus() });
        assert_eq!(config.assigners, Assigners::AnyGroup);
        let named = parse("owners = ['group.base']\n[rauc]").unwrap();
        assert_eq!(named.assigners, Assigners::Only(["group.base".parse().unwrap()].into()));
        let files = parse("limit = '90s'\n[files]\nslots = { a = '/a', b = '/b' }\npointer = '/p'").unwrap();
        assert!(matches!(files.writer, WriterConfig::Files { slots, .. } if slots.len() == 2));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in [
            "",
            "[rauc]\n[files]\nslots = { a = '/a', b = '/b' }\npointer = '/p'",
            "[files]\nslots = { a = '/a' }\npointer = '/p'",
            "[files]\nslots = { a = 'a', b = '/b' }\npointer = '/p'",
            "limit = '0s'\n[rauc]",
            "limit = '25h'\n[rauc]",
            "limit = '5 minutes'\n[rauc]",
            "consumer = 'Firmware'\n[rauc]",
            "owners = ['base']\n[rauc]",
            "sokcet = '/run/x'\n[rauc]",
            "[rauc]\nbus = 'tcp:host=example.org'",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code(), Code::ConfigInvalid, "{text}");
        }
    }
}
