//! All layers of one process, in their order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use super::error::ConfineError;
use super::{capabilities, environment, fence, filter};

/// What a process calls itself: it would be `exe` after it started itself again.
const NAME: &std::ffi::CStr = c"casemate-agent";

/// What holds in this process.
static HOLDING: OnceLock<Layers> = OnceLock::new();

/// TCP ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// No rule: for commands that host the loop for moments and talk to nobody.
    Any,
    /// These. The kernel counts ports, not addresses, and those of this machine's own probes as well.
    Only(BTreeSet<u16>),
}

/// What is left to a process. Everything else is refused by the kernel.
///
/// The program itself, its loader and libraries, `/proc` and `/dev/null` are always there, because the sandboxed reader
/// is this program started again. Paths that do not exist allow nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Files, and folders with all below, that may be read.
    pub read: Vec<PathBuf>,
    /// Files, and folders with all below, that may be read, written, made and removed; unix sockets are made here.
    pub write: Vec<PathBuf>,
    /// Folders on which something may be mounted later, such as a stick: as `write`. A rule on a folder does not hold
    /// for what is mounted on it afterwards, so it stands on the folder above, unless that is `/`.
    pub mounts: Vec<PathBuf>,
    /// Programs that may be started beside this one.
    pub execute: Vec<PathBuf>,
    /// Ports at which TCP connections may be asked for.
    pub connect: Ports,
    /// TCP ports that may be bound, where `connect` limits ports at all.
    pub bind: BTreeSet<u16>,
}

/// Which layers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// System calls are limited to those the program makes.
    pub seccomp: bool,
    /// Files and programs are limited.
    pub landlock: bool,
    /// TCP ports are limited; kernels before 6.7 cannot.
    pub landlock_tcp: bool,
}

/// Confines this process, for good, with every process it starts.
///
/// If the environment holds more than the service manager's sockets and names, the program is started again in this
/// process with the same arguments and without the rest: then this function does not return. A process that is confined
/// already stays as it is.
///
/// # Errors
/// A layer is not to be had, or there are threads already. The process must end: it is half confined.
pub fn confine(confinement: &Confinement) -> Result<Layers, ConfineError> {
    if let Some(layers) = HOLDING.get() {
        return Ok(*layers);
    }
    environment::clear()?;
    let threads = std::fs::read_dir("/proc/self/task").map_err(|source| ConfineError::path("/proc/self/task", source));
    let threads = threads?.count();
    if threads != 1 {
        return Err(ConfineError::Threads { threads });
    }
    let _named = prctl::set_name(NAME);
    give_up_privileges()?;
    let landlock_tcp = fence::enter(confinement)?;
    filter::enter()?;
    Ok(*HOLDING.get_or_init(|| Layers { seccomp: true, landlock: true, landlock_tcp }))
}

/// Gives up privileges, core dumps, and being looked into by other processes of the same user: one of the layers of
/// [`confine`].
///
/// # Errors
/// The kernel refuses.
pub fn give_up_privileges() -> Result<(), ConfineError> {
    let refused = |what| move |source| ConfineError::Privileges { what, source };
    prctl::set_no_new_privs().map_err(refused("no_new_privs"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(refused("the limit of core dumps"))?;
    capabilities::drop_all().map_err(refused("capabilities"))?;
    // Last: another user's process is not dumpable either, and a change of privileges sets it anew.
    prctl::set_dumpable(false).map_err(refused("dumpable"))
}

impl Confinement {
    /// Nothing but what every process of this program needs.
    #[must_use]
    pub fn bare(connect: Ports) -> Self {
        Self {
            read: Vec::new(),
            write: Vec::new(),
            mounts: Vec::new(),
            execute: Vec::new(),
            connect,
            bind: BTreeSet::new(),
        }
    }

    /// Where the rules for `mounts` stand.
    pub(super) fn above_mounts(&self) -> impl Iterator<Item = &Path> {
        self.mounts.iter().map(|mount| match mount.parent() {
            Some(above) if above.parent().is_some() => above,
            _ => mount,
        })
    }
}
