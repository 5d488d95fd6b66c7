//! What the child may still do: read its input, write into its folder, talk to its parent, end.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr};
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads, sock_filter};

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

/// The process dies at the first other call: a child that tries one is not ours any more.
///
/// The crate's own compiler compares with one call after the other, five instructions each, and the kernel runs a new
/// filter once for every number there is. Ranges in order are a quarter of that.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let kill = SeccompAction::KillProcess;
    // Without a rule it is the check of the architecture, then the answer to everything: the second is ours to give.
    let mut program: BpfProgram =
        SeccompFilter::new(BTreeMap::new(), kill.clone(), SeccompAction::Allow, architecture)?.try_into()?;
    program.pop();
    let ranges = ranges();
    let instruction = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    // Into the accumulator: the first word of what is judged, the call's number.
    program.push(instruction(LOAD_WORD, 0, 0, 0));
    for (index, (first, last)) in ranges.iter().enumerate() {
        // Behind this pair stand the others and the two answers.
        let left = (ranges.len() - index - 1) * 2;
        let far = |distance: usize| {
            u8::try_from(distance).map_err(|_| seccompiler::BackendError::FilterTooLarge(ranges.len() * 2))
        };
        program.push(instruction(IS_AT_LEAST, *first, 0, far(left + 1)?));
        program.push(instruction(IS_GREATER, *last, 0, far(left + 1)?));
    }
    program.push(instruction(ANSWER, kill.into(), 0, 0));
    program.push(instruction(ANSWER, SeccompAction::Allow.into(), 0, 0));
    Ok(program)
}

// Instructions of the kernel's packet filter machine (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const IS_GREATER: u16 = 0x25;
const IS_AT_LEAST: u16 = 0x35;
const ANSWER: u16 = 0x06;

/// The allowed calls in order, neighbours together: first and last.
fn ranges() -> Vec<(u32, u32)> {
    let mut calls: Vec<u32> = ALLOWED.iter().filter_map(|call| u32::try_from(*call).ok()).collect();
    calls.sort_unstable();
    calls.dedup();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for call in calls {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == call => *last = call,
            _ => ranges.push((call, call)),
        }
    }
    ranges
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel answers to call `number` of `architecture`.
    fn judged(program: &[sock_filter], architecture: u32, number: u32) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |taken| usize::from(if taken { jt } else { jf });
            match code {
                0x20 => accumulator = [number, architecture][k as usize / 4],
                0x15 => at += jump(accumulator == k),
                0x25 => at += jump(accumulator > k),
                0x35 => at += jump(accumulator >= k),
                0x06 => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn the_filter_lets_through_what_is_listed_and_kills_for_everything_else() {
        let program = filter().unwrap();
        let kill = u32::from(SeccompAction::KillProcess);
        let native = program.iter().find(|instruction| instruction.code == 0x15).unwrap().k;
        // The second half: the numbers of the 32-bit pointers' interface on x86-64.
        for number in (0..2048).chain(0x4000_0000..0x4000_0800).chain([u32::MAX]) {
            let listed = ALLOWED.contains(&libc::c_long::from(number));
            let expected = if listed { u32::from(SeccompAction::Allow) } else { kill };
            assert_eq!(judged(&program, native, number), expected, "call {number}");
            assert_eq!(judged(&program, native ^ 1, number), kill, "call {number} of another architecture");
        }
    }
}
