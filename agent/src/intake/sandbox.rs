//! What the child may still do: read its input, write into its folder, talk to its parent, end.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr};
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

/// Address space, bytes: the largest metadata an appraisal reads, parsed, with room to spare.
const MEMORY: u64 = 1 << 30;
/// Open files.
const FILES: u64 = 64;
/// CPU time, seconds: an honest terabyte takes less.
const CPU_SECONDS: u64 = 3600;

/// Why the child could not be locked in.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A resource limit or a flag of the process.
    #[error("a limit or flag cannot be set")]
    Limits(#[from] nix::Error),
    /// Installing the filter.
    #[error("the system call filter cannot be installed")]
    Filter(#[from] seccompiler::Error),
    /// Building the filter.
    #[error("the system call filter cannot be built")]
    Backend(#[from] seccompiler::BackendError),
    /// The kernel has no Landlock, or refuses the rules.
    #[error("the file system cannot be closed off")]
    Fence(#[from] landlock::RulesetError),
}

/// System calls the child and its hashing thread make once their input is open. No sockets, no execution, no other
/// process. The filter cannot read names; [`fence`] limits those.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_fcntl,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules: BTreeMap<_, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    // The process dies at the first other call: a child that tries one is not ours any more.
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    filter.try_into()
}

/// Leaves this thread, and every one it starts later, plain files directly or deeper in `folder`, and no other file of
/// the system: the child runs as the user who owns the device's keys, the journal and the memory of the parent.
///
/// # Errors
/// The kernel has no Landlock or refuses; the process must not go on.
pub fn fence(folder: impl AsFd) -> Result<(), SandboxError> {
    let kept = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Truncate;
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        // What newer kernels can forbid beside that.
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .create()?
        .add_rule(PathBeneath::new(folder, kept))?
        .restrict_self()?;
    Ok(())
}

/// Locks the process in, every thread of it. Threads must have been started before.
///
/// # Errors
/// The kernel refuses; the process must not go on.
pub fn enter() -> Result<(), SandboxError> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_dumpable(false)?;
    prctl::set_no_new_privs()?;
    for (resource, limit) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, FILES),
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_CPU, CPU_SECONDS),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    Ok(apply_filter_all_threads(&filter()?)?)
}
