//! The configuration as meant: defaults filled in, texts parsed, paths checked.

use std::path::{Path, PathBuf};

use toml::Spanned;
use tracing::Level;

use super::boundary::{BoundaryPlaces, Enforcement};
use super::file::{self, ConfigError, File, LocalTable};
use super::local::{LocalSocket, Role};
use super::setting::{Origin, Setting};
use crate::boundary::confined::Confined;
use crate::clock::WallClock;
use crate::health::probe::CGROUPS;

/// Default of `state`.
const STATE: &str = "/var/lib/casemate";
/// Default of `reserve`: enough to write receipts, journal and health on an otherwise full disk.
const RESERVE: &str = "64 MiB";
/// Default of `log`.
const LOG: &str = "info";
/// What `log` may say, least talkative first.
const LEVELS: [(&str, Level); 5] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

/// Everything the program needs to know to start. Tests make their own, with their own clock.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the state; one process at a time owns it.
    pub state: PathBuf,
    /// The local API's sockets, each role at most once. The admin's is always there.
    pub local: Vec<LocalSocket>,
    /// Folder where a stick is mounted; none is watched if absent.
    pub stick: Option<PathBuf>,
    /// Space a bundle may never use, bytes.
    pub reserve: u64,
    /// The least important level the daemon logs.
    pub log: Level,
    /// Who sees to the boundary beside the agent.
    pub enforcement: Enforcement,
    /// Where they say so.
    pub boundary: BoundaryPlaces,
    /// What this process was started for; no key of the file.
    pub confined: Confined,
    /// The program that is started again as the sandboxed reader; this one, unless a test hosts the library.
    pub program: PathBuf,
    /// Where the kernel shows control groups; another folder only in tests.
    pub cgroups: PathBuf,
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
        Self::explain(path, clock).map(|(config, _)| config)
    }

    /// As [`Self::load`], with every value's origin, in the order of the documentation.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn explain(path: &Path, clock: WallClock) -> Result<(Self, Vec<Setting>), ConfigError> {
        let (file, text) = file::read(path)?;
        resolve(path, file, &text, clock)
    }

    /// Where commands reach the agent.
    #[must_use]
    pub fn admin_socket(&self) -> &Path {
        let admin = self.local.iter().find(|socket| socket.role == Role::Admin);
        admin.map_or(Path::new(Role::Admin.default_path()), |socket| &socket.path)
    }
}

fn resolve(path: &Path, file: File, text: &str, clock: WallClock) -> Result<(Config, Vec<Setting>), ConfigError> {
    let mut reading = Reading { path, text, settings: Vec::new() };
    let state = reading.path_or("state", file.state, STATE)?;
    let stick = reading.path("stick", file.stick)?;
    let reserve = reading.parsed("reserve", file.reserve.as_ref(), RESERVE, "size such as \"64 MiB\"", size)?;
    let log = reading.parsed("log", file.log.as_ref(), LOG, "level: error, warn, info, debug or trace", level)?;
    let form = "enforcement: \"host\" or \"process-only\"";
    let enforcement =
        reading.parsed("enforcement", file.enforcement.as_ref(), Enforcement::Host.name(), form, Enforcement::parse)?;
    let boundary = places(path, file.boundary)?;
    let local = reading.sockets(file.socket, file.local)?;
    let confined = Confined::default();
    let (program, cgroups) = ("/proc/self/exe".into(), CGROUPS.into());
    let config = Config { state, local, stick, reserve, log, enforcement, boundary, confined, program, cgroups, clock };
    Ok((config, reading.settings))
}

/// Where others write what concerns the boundary. `config show` does not name it: it is not for operators.
fn places(path: &Path, file: file::Boundary) -> Result<BoundaryPlaces, ConfigError> {
    let mut places = BoundaryPlaces::default();
    let given = [
        ("boundary.run", file.run, &mut places.run),
        ("boundary.watch", file.watch, &mut places.watch),
        ("boundary.site", file.site, &mut places.site),
    ];
    for (key, found, place) in given {
        match found {
            None => {}
            Some(found) if found.is_absolute() => *place = found,
            Some(found) => return Err(ConfigError::Relative { path: path.into(), key, found }),
        }
    }
    Ok(places)
}

/// The text while its values are taken out of it.
struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    settings: Vec<Setting>,
}

impl Reading<'_> {
    fn line<T>(&self, value: &Spanned<T>) -> usize {
        file::line_of(self.text, Some(value.span()))
    }

    fn note<T>(&mut self, key: &'static str, found: Option<&Spanned<T>>, value: Option<String>) {
        let origin = match found {
            Some(found) => Origin::Line { path: self.path.into(), line: self.line(found) },
            None => Origin::Default,
        };
        self.settings.push(Setting { key, value, origin });
    }

    fn path(&mut self, key: &'static str, found: Option<Spanned<PathBuf>>) -> Result<Option<PathBuf>, ConfigError> {
        if let Some(relative) = found.as_ref().map(Spanned::get_ref).filter(|path| !path.is_absolute()) {
            return Err(ConfigError::Relative { path: self.path.into(), key, found: relative.clone() });
        }
        self.note(key, found.as_ref(), found.as_ref().map(|path| path.get_ref().display().to_string()));
        Ok(found.map(Spanned::into_inner))
    }

    fn path_or(
        &mut self,
        key: &'static str,
        found: Option<Spanned<PathBuf>>,
        default: &str,
    ) -> Result<PathBuf, ConfigError> {
        if found.is_some() {
            return Ok(self.path(key, found)?.unwrap_or_default());
        }
        self.note::<PathBuf>(key, None, Some(default.into()));
        Ok(default.into())
    }

    fn parsed<T>(
        &mut self,
        key: &'static str,
        found: Option<&Spanned<String>>,
        default: &'static str,
        form: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let text = found.map_or(default, |found| found.get_ref());
        let value = parse(text).ok_or_else(|| ConfigError::Line {
            path: self.path.into(),
            line: found.map_or(1, |found| self.line(found)),
            message: format!("{key} = {text:?} is no {form}"),
            suggestion: None,
        })?;
        self.note(key, found, Some(text.to_owned()));
        Ok(value)
    }

    /// The sockets: the admin's always, the others' where the file has their table.
    fn sockets(
        &mut self,
        older: Option<Spanned<PathBuf>>,
        local: file::Local,
    ) -> Result<Vec<LocalSocket>, ConfigError> {
        let mut admin = local.admin.unwrap_or_default();
        if let (Some(older), Some(_)) = (&older, &admin.socket) {
            return Err(ConfigError::Line {
                path: self.path.into(),
                line: self.line(older),
                message: "socket is the older name of local.admin.socket, and both are there".into(),
                suggestion: None,
            });
        }
        admin.socket = admin.socket.or(older);
        let tables = [(Role::Admin, Some(admin)), (Role::Consumer, local.consumer), (Role::Monitor, local.monitor)];
        let mut sockets: Vec<LocalSocket> = Vec::new();
        for (role, table) in tables {
            let Some(LocalTable { socket, group }) = table else { continue };
            let path = self.path_or(role.socket_key(), socket, role.default_path())?;
            self.note(role.group_key(), group.as_ref(), group.as_ref().map(|group| group.get_ref().clone()));
            if let Some(same) = sockets.iter().find(|earlier| earlier.path == path) {
                return Err(ConfigError::SameSocket {
                    path: self.path.into(),
                    one: same.role,
                    other: role,
                    socket: path,
                });
            }
            sockets.push(LocalSocket { role, path, group: group.map(Spanned::into_inner) });
        }
        Ok(sockets)
    }
}

/// A level by its name.
fn level(text: &str) -> Option<Level> {
    LEVELS.iter().find(|(name, _)| *name == text).map(|(_, level)| *level)
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
mod tests;
