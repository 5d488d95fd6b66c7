//! `/etc/casemate/consumers.d/*.toml`: what the image lets bundles do to its services. One file a consumer:
//!
//! ```toml
//! unit     = "nginx.service"
//! verbs    = ["reload", "restart"]
//! owners   = ["group.clinics"]
//! validate = ["/usr/sbin/nginx", "-t", "-q"]
//! [[link]]
//! from = "nginx/casemate.conf"
//! to   = "/etc/nginx/conf.d/casemate.conf"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::bundle::probe::is_unit;
use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{Name, Owner};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::Spanned;

use super::trusted::{self, TrustError};
use crate::config::file::{line_of, meant};

/// Where the files stand unless the command line says otherwise.
pub const DEFAULT_FOLDER: &str = "/etc/casemate/consumers.d";
/// Longest file read, bytes.
const MAX_LENGTH: u64 = 64 * 1024;
/// Files read.
const MAX_FILES: usize = 256;
/// Links one consumer may have.
const MAX_LINKS: usize = 64;
/// Time for `validate` unless stated.
const VALIDATE_WITHIN: Duration = Duration::from_secs(30);
/// Time for the unit to take a change up unless stated: systemd's own 90 s for a start, and a stop before it.
const UNIT_WITHIN: Duration = Duration::from_secs(180);
/// Longest time that can be stated.
const MAX_WITHIN: Duration = Duration::from_secs(3600);

/// What the image allows, and what is wrong with it.
#[derive(Debug, Default)]
pub struct AllowList {
    /// By consumer.
    pub rules: BTreeMap<Name, Rule>,
    /// Files that are refused; the others stand.
    pub faults: Vec<AllowListError>,
}

/// What the image allows one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The only unit that is touched for it.
    pub unit: String,
    /// What a manifest may have done to it.
    pub verbs: BTreeSet<Verb>,
    /// Whose manifests; any group's if absent, and no tenant's.
    pub owners: Option<BTreeSet<Owner>>,
    /// What must succeed before the unit is touched: a program and its arguments.
    pub validate: Option<Validate>,
    /// How long the unit may take.
    pub unit_within: Duration,
    /// Where the service looks for its files.
    pub links: Vec<Link>,
}

/// A command that judges the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validate {
    /// Absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub within: Duration,
}

/// What may be done to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Have it read its configuration again.
    Reload,
    /// Stop and start it.
    Restart,
}

impl Verb {
    /// As `systemctl` knows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// A symlink from a service's folder to a current file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Which file of the generation.
    pub from: FilePath,
    /// Where the service looks.
    pub to: PathBuf,
}

/// Why a file, or the folder of them, is refused.
#[derive(Debug, Error)]
pub enum AllowListError {
    /// It is a link, or others could change it.
    #[error("{path} is not trusted")]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// It cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Longer than any such file.
    #[error("{0} has more than {MAX_LENGTH} bytes")]
    TooLong(PathBuf),
    /// More files than are read.
    #[error("{0} holds more than {MAX_FILES} files")]
    TooMany(PathBuf),
    /// A key nobody knows, or a value that is none.
    #[error("{path}:{line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// Two files for one consumer.
    #[error("{path} is for consumer {consumer}, for which another file stands already")]
    Twice {
        /// The second file.
        path: PathBuf,
        /// The consumer.
        consumer: Name,
    },
}

impl Explain for AllowListError {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn remedy(&self) -> String {
        match self {
            Self::Untrusted { path, .. } => {
                format!(
                    "Have {0} and every folder above it belong to root: chown root {0}; chmod go-w {0}.",
                    path.display()
                )
            }
            Self::Unreadable { path, .. } => format!("Check that {} can be read.", path.display()),
            Self::Line { suggestion: Some(suggestion), .. } => format!("Did you mean {suggestion:?}?"),
            Self::Line { .. } => "Correct the line: docs/consumer.md lists every key.".into(),
            Self::TooLong(_) | Self::TooMany(_) => "Write one short file a consumer.".into(),
            Self::Twice { .. } => "Keep one of the two files.".into(),
        }
    }
}

impl AllowList {
    /// Reads every `*.toml` of `folder`; no folder allows nothing.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let mut list = Self::default();
        if let Err(fault) = list.fill(folder) {
            list.faults.push(fault);
        }
        list
    }

    fn fill(&mut self, folder: &Path) -> Result<(), AllowListError> {
        let opened = match trusted::folder(folder) {
            Err(error) if error.is_absent() => return Ok(()),
            opened => opened.map_err(|source| AllowListError::Untrusted { path: folder.into(), source })?,
        };
        let unreadable = |source| AllowListError::Unreadable { path: folder.into(), source };
        let entries = std::fs::read_dir(folder).map_err(unreadable)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(unreadable));
        let is_rule = |name: &OsString| Path::new(name).extension() == Some(OsStr::new("toml"));
        let mut names = names.filter(|name| name.as_ref().map_or(true, is_rule)).collect::<Result<Vec<_>, _>>()?;
        if names.len() > MAX_FILES {
            return Err(AllowListError::TooMany(folder.into()));
        }
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let text = trusted::file(&opened, folder, &name)
                .map_err(|source| AllowListError::Untrusted { path: path.clone(), source })
                .and_then(|file| whole(file, &path));
            match text.and_then(|text| parse(&path, &text)) {
                Ok((consumer, _)) if self.rules.contains_key(&consumer) => {
                    self.faults.push(AllowListError::Twice { path, consumer });
                }
                Ok((consumer, rule)) => drop(self.rules.insert(consumer, rule)),
                Err(fault) => self.faults.push(fault),
            }
        }
        Ok(())
    }
}

fn whole(file: std::fs::File, path: &Path) -> Result<String, AllowListError> {
    let mut text = String::new();
    let read = file.take(MAX_LENGTH + 1).read_to_string(&mut text);
    read.map_err(|source| AllowListError::Unreadable { path: path.into(), source })?;
    if text.len() as u64 > MAX_LENGTH { Err(AllowListError::TooLong(path.into())) } else { Ok(text) }
}

/// A file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    consumer: Option<Name>,
    unit: Spanned<String>,
    #[serde(default)]
    verbs: BTreeSet<Verb>,
    owners: Option<BTreeSet<Owner>>,
    validate: Option<Spanned<Vec<String>>>,
    validate_within: Option<Spanned<String>>,
    unit_within: Option<Spanned<String>>,
    #[serde(default)]
    link: Vec<Spanned<Link>>,
}

fn parse(path: &Path, text: &str) -> Result<(Name, Rule), AllowListError> {
    let reading = Reading { path, text };
    let written: Written = toml::from_str(text).map_err(|error: toml::de::Error| {
        let message = error.message().to_owned();
        let suggestion = message.starts_with("unknown ").then(|| meant(&message)).flatten();
        AllowListError::Line { path: path.into(), line: line_of(text, error.span()), message, suggestion }
    })?;
    let consumer = match written.consumer {
        Some(consumer) => consumer,
        None => reading.stem()?,
    };
    if !is_unit(written.unit.get_ref()) {
        return Err(reading.wrong(&written.unit, format!("{:?} is no unit name", written.unit.get_ref())));
    }
    let validate_within = reading.within(written.validate_within.as_ref(), VALIDATE_WITHIN)?;
    let rule = Rule {
        verbs: written.verbs,
        owners: written.owners,
        validate: written.validate.map(|command| reading.validate(&command, validate_within)).transpose()?,
        unit_within: reading.within(written.unit_within.as_ref(), UNIT_WITHIN)?,
        links: reading.links(written.link)?,
        unit: written.unit.into_inner(),
    };
    Ok((consumer, rule))
}

/// A file being read.
struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reading<'_> {
    fn wrong<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> AllowListError {
        let line = line_of(self.text, Some(at.span()));
        AllowListError::Line { path: self.path.into(), line, message: message.into(), suggestion: None }
    }

    fn stem(&self) -> Result<Name, AllowListError> {
        let stem = self.path.file_stem().map(OsStr::to_string_lossy).unwrap_or_default();
        stem.parse().map_err(|error| AllowListError::Line {
            path: self.path.into(),
            line: 1,
            message: format!("the file's name gives no consumer's: {error}"),
            suggestion: None,
        })
    }

    fn validate(&self, command: &Spanned<Vec<String>>, within: Duration) -> Result<Validate, AllowListError> {
        match command.get_ref().split_first() {
            Some((program, arguments)) if Path::new(program).is_absolute() => {
                Ok(Validate { program: program.into(), arguments: arguments.to_vec(), within })
            }
            _ => Err(self.wrong(command, "validate is no list that starts with an absolute path of a program")),
        }
    }

    fn within(&self, text: Option<&Spanned<String>>, default: Duration) -> Result<Duration, AllowListError> {
        let Some(text) = text else { return Ok(default) };
        let found = text.get_ref();
        let unit = if found.ends_with('m') { 60 } else { 1 };
        let seconds = found.strip_suffix(['s', 'm']).and_then(|number| number.parse::<u32>().ok());
        let span = seconds.map(|seconds| Duration::from_secs(u64::from(seconds) * unit));
        span.filter(|span| !span.is_zero() && *span <= MAX_WITHIN)
            .ok_or_else(|| self.wrong(text, format!("{found:?} is no time from \"1s\" to \"60m\"")))
    }

    fn links(&self, written: Vec<Spanned<Link>>) -> Result<Vec<Link>, AllowListError> {
        use std::path::Component::{Normal, RootDir};

        if let Some(beyond) = written.get(MAX_LINKS) {
            return Err(self.wrong(beyond, format!("more than {MAX_LINKS} links")));
        }
        let mut places = BTreeSet::new();
        for link in &written {
            let to = &link.get_ref().to;
            let plain = to.components().all(|component| matches!(component, RootDir | Normal(_)));
            if !to.is_absolute() || !plain || to.to_str().is_none_or(|text| text.ends_with('/')) {
                return Err(self.wrong(link, format!("{to:?} is no absolute path of a file")));
            }
            if !places.insert(to) {
                return Err(self.wrong(link, format!("two links at {to:?}")));
            }
        }
        Ok(written.into_iter().map(Spanned::into_inner).collect())
    }
}

#[cfg(test)]
mod tests;
