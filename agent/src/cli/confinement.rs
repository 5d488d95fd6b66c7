//! What a process that hosts the loop needs of the machine; everything else is closed to it.

use std::path::{Path, PathBuf};

use crate::boundary::force::Force;
use crate::boundary::process::{Confinement, Ports};
use crate::config::Config;

/// The confinement of a loop that is hosted until a command has its answer: it may read and write where the operator
/// says, and nothing else is different.
pub(super) fn of_command(config: &Config) -> Confinement {
    let execute = vec![config.program.clone()];
    Confinement { write: vec!["/".into()], execute, ..Confinement::bare(Ports::Any) }
}

/// The confinement of the daemon.
pub(super) fn of(config: &Config, force: &Force) -> Confinement {
    let mut write = vec![above_what_is_missing(&config.state)];
    write.extend(config.local.iter().filter_map(|socket| Some(above_what_is_missing(socket.path.parent()?))));
    Confinement {
        // Bundles are imported from wherever an operator says; users and units decide what else may be read.
        read: vec!["/".into()],
        write,
        mounts: config.stick.iter().cloned().collect(),
        execute: vec![config.program.clone()],
        connect: Ports::Only(force.ports()),
        bind: force.policy.listen.iter().map(|listen| listen.port).collect(),
    }
}

/// `path`, or the folder in which it can still be made.
fn above_what_is_missing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(path).to_path_buf()
}
