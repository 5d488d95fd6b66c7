//! The loop: packets in, a file out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use casemate_protocol::code::{Code, Explain};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use thiserror::Error;

use super::attributes::messages;
use super::netlink::{BUFFER, Netlink, PACKET};
use super::packet::Packet;
use super::socket_owner::Sockets;
use super::table::Table;
use super::unit::Units;
use crate::boundary::drops::FILE;
use crate::boundary::process::{ConfineError, Confinement, Ports, confine};
use crate::clock::WallClock;
use crate::exit::Failure;

/// The file is written at most so often.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Senders remembered: repeated packets are not asked about again.
const MAX_SENDERS: usize = 1024;

/// Why the watcher ends.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The kernel does not give the group: no right to it, or no packet log.
    #[error("cannot read what the packet filter logs to group {group}")]
    Bind {
        /// Which.
        group: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading went wrong.
    #[error("cannot read what the packet filter logs")]
    Read(#[source] io::Error),
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Explain for WatchError {
    fn code(&self) -> Code {
        match self {
            Self::Bind { .. } => Code::KernelTooOld,
            Self::Read(_) | Self::Write { .. } => Code::Internal,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Bind { .. } => {
                "Run it as casemate-boundary-watch.service, which has CAP_NET_ADMIN; the kernel needs \
                                  nfnetlink_log, and one reader may have the group."
                    .into()
            }
            other => other.code().remedy().into(),
        }
    }
}

/// Reads the packet log's `group` and writes what it tells into `folder`, until the process ends. `cgroups` is where
/// the kernel shows control groups. The process is confined first: see [`confine`].
///
/// # Errors
/// The group is not to be had, a layer does not hold, or the file cannot be written.
pub fn watch(group: u16, folder: &Path, cgroups: &Path, clock: &WallClock) -> Result<Infallible, Failure> {
    let bind = |source| WatchError::Bind { group, source };
    let log = Netlink::log(group).map_err(bind)?;
    let sockets = Sockets::open().map_err(bind)?;
    confine_to(folder, cgroups)?;
    tracing::info!("watching");
    let mut watcher = Watcher {
        sockets,
        units: Units::new(cgroups),
        senders: HashMap::new(),
        table: Table::default(),
        clock: clock.clone(),
    };
    let mut buffer = vec![0; BUFFER];
    watcher.write(folder)?;
    let (mut written, mut changed) = (Instant::now(), false);
    loop {
        let wait = changed.then(|| WRITE_EVERY.saturating_sub(written.elapsed()));
        wait_for(&log, wait).map_err(WatchError::Read)?;
        changed |= watcher.read(&log, &mut buffer).map_err(WatchError::Read)?;
        if changed && written.elapsed() >= WRITE_EVERY {
            watcher.write(folder)?;
            (written, changed) = (Instant::now(), false);
        }
    }
}

/// Rights go after the group is bound; new sockets are refused from here on.
fn confine_to(folder: &Path, cgroups: &Path) -> Result<(), ConfineError> {
    let confinement = Confinement {
        read: vec![cgroups.into()],
        write: vec![folder.into()],
        ..Confinement::bare(Ports::Only([].into()))
    };
    confine(&confinement).map(|_| ())
}

/// Until the kernel tells something, or for `limit`.
fn wait_for(log: &Netlink, limit: Option<Duration>) -> io::Result<()> {
    let limit = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
    match poll(&mut [PollFd::new(log.as_fd(), PollFlags::POLLIN)], limit) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Who sent: protocol, both ends, and the user, so that a port used again by somebody else is asked about again.
type Sender = (bool, SocketAddr, SocketAddr, Option<u32>);

struct Watcher {
    sockets: Sockets,
    units: Units,
    senders: HashMap<Sender, Option<String>>,
    table: Table,
    clock: WallClock,
}

impl Watcher {
    /// Counts what the kernel has to tell, at most one buffer of it. Says whether there was anything.
    fn read(&mut self, log: &Netlink, buffer: &mut [u8]) -> io::Result<bool> {
        let bytes = match log.hear(buffer) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(false),
            // What was lost shows by the next packet's number.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => return Ok(true),
            Err(error) => return Err(error),
        };
        let now = self.clock.read().wall;
        let mut any = false;
        for message in messages(bytes).filter(|message| message.kind == PACKET) {
            any = true;
            match Packet::read(message.body) {
                Some(packet) => {
                    let unit = self.unit(&packet);
                    self.table.count(&packet, unit, now);
                }
                None => self.table.count_unread(),
            }
        }
        Ok(any)
    }

    fn unit(&mut self, packet: &Packet) -> Option<String> {
        let (own, other) = packet.ends()?;
        let sender = (packet.headers.is_tcp(), own, other, packet.uid);
        if let Some(known) = self.senders.get(&sender) {
            return known.clone();
        }
        let group = self.sockets.control_group(sender.0, own, other);
        let unit = group.and_then(|group| self.units.name(group));
        if self.senders.len() == MAX_SENDERS {
            self.senders.clear();
        }
        self.senders.insert(sender, unit.clone());
        unit
    }

    fn write(&self, folder: &Path) -> Result<(), WatchError> {
        let path = folder.join(FILE);
        let fail = |source| WatchError::Write { path: path.clone(), source };
        let text = serde_json::to_vec(&self.table.document()).map_err(|error| fail(error.into()))?;
        let beside = folder.join(format!("{FILE}.new"));
        std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path)).map_err(fail)
    }
}
