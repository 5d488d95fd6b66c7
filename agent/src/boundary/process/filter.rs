//! seccomp: which system calls, with which arguments.
//!
//! The filter reads numbers, never what an address points to: it settles *what kind* of socket there can be, and
//! Landlock and the host's packet filter settle with whom. Sandboxed readers inherit it and then install their own.

mod calls;
mod rules;

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

/// Installs the filter on every thread of this process: one of the layers of [`super::confine`].
///
/// # Errors
/// The kernel has no seccomp, or refuses.
pub fn enter() -> Result<(), seccompiler::Error> {
    apply_filter_all_threads(&allow_list()?)?;
    // The flags of `clone3` are in memory, where no filter reads. The C library falls back on `clone` if the call is
    // not there, and only then. Of two errors the kernel gives that of the filter installed last.
    apply_filter_all_threads(&absent()?)
}

fn allow_list() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<_, _> =
        calls::ANY_ARGUMENTS.iter().chain(calls::OLDER).map(|call| (*call, Vec::new())).collect();
    rules.extend(rules::by_arguments()?);
    SeccompFilter::new(rules, eperm(), SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

fn absent() -> Result<BpfProgram, BackendError> {
    let rules = [(libc::SYS_clone3, Vec::new())].into_iter().collect();
    let answer = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// The answer to everything else. Not death: a refusal that is counted and survived is worth more than a restart loop.
fn eperm() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM.unsigned_abs())
}
