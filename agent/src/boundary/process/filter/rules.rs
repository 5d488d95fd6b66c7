//! The system calls allowed with some arguments only.

use std::os::raw::c_int;

use nix::libc::{self, c_long};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// All namespaces a new process could be put in; `CLONE_NEWTIME` shares its bit with the number of the exit signal.
const NAMESPACES: c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;
/// Flags of `socket` that say nothing about its kind.
const SOCKET_FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
/// Of memory: writable, executable.
const ACCESS: c_int = libc::PROT_WRITE | libc::PROT_EXEC;
/// Options of sockets that are set. Absent on purpose: `TCP_FASTOPEN_CONNECT`, `TCP_ULP`, `TCP_REPAIR`, `SO_MARK`,
/// `SO_BINDTODEVICE`, and everything of IP itself (source routes, multicast, TTL).
const OPTIONS: &[(c_int, c_int)] = &[
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
];
/// Requests of `ioctl`: what the standard library and progress bars ask.
const REQUESTS: &[libc::Ioctl] = &[libc::FIONBIO, libc::FIOCLEX, libc::FIONREAD, libc::TCGETS, libc::TIOCGWINSZ];
/// Of `seccomp`, all threads at once.
const ALL_THREADS: libc::c_ulong = libc::SECCOMP_FILTER_FLAG_TSYNC;

/// One argument of a call, and what it must be.
type Argument = (u8, SeccompCmpOp, u64);

/// The calls, each with the alternatives of which one must hold.
pub(super) fn by_arguments() -> Result<Vec<(c_long, Vec<SeccompRule>)>, BackendError> {
    let calls = [
        (libc::SYS_socket, sockets()),
        (libc::SYS_socketpair, vec![vec![is(0, libc::AF_UNIX), is(2, 0)]]),
        (libc::SYS_sendto, vec![vec![without(3, libc::MSG_FASTOPEN)]]),
        (libc::SYS_sendmsg, vec![vec![without(2, libc::MSG_FASTOPEN)]]),
        (libc::SYS_setsockopt, OPTIONS.iter().map(|(level, option)| vec![is(1, *level), is(2, *option)]).collect()),
        (libc::SYS_ioctl, REQUESTS.iter().map(|request| vec![(1, Eq, *request)]).collect()),
        (libc::SYS_clone, vec![vec![without(0, NAMESPACES)]]),
        (libc::SYS_prctl, flags_of_the_process()),
        (libc::SYS_seccomp, vec![vec![is(0, FILTER), (1, Eq, 0)], vec![is(0, FILTER), (1, Eq, ALL_THREADS)]]),
        // Limits of this process, not of others.
        (libc::SYS_prlimit64, vec![vec![is(0, 0)]]),
        // Memory is never writable and executable, and does not become executable.
        (libc::SYS_mmap, [0, libc::PROT_WRITE, libc::PROT_EXEC].map(|kept| vec![masked(2, ACCESS, kept)]).into()),
        (libc::SYS_mprotect, vec![vec![without(2, libc::PROT_EXEC)]]),
    ];
    let calls = calls.into_iter().map(|(call, alternatives)| {
        let rules: Result<_, BackendError> = alternatives.iter().map(|arguments| rule(arguments)).collect();
        Ok((call, rules?))
    });
    calls.collect()
}

#[expect(clippy::cast_possible_wrap, reason = "a small constant of the kernel's, compared as 32 bits")]
const FILTER: c_int = libc::SECCOMP_SET_MODE_FILTER as c_int;

/// Unix sockets of any type, and TCP: no datagrams, no raw or packet sockets, no MPTCP, no netlink, no vsock.
fn sockets() -> Vec<Vec<Argument>> {
    let tcp = |family| {
        let protocols = [0, libc::IPPROTO_TCP];
        protocols.map(|protocol| vec![is(0, family), masked(1, !SOCKET_FLAGS, libc::SOCK_STREAM), is(2, protocol)])
    };
    let mut kinds = vec![vec![is(0, libc::AF_UNIX), is(2, 0)]];
    kinds.extend(tcp(libc::AF_INET));
    kinds.extend(tcp(libc::AF_INET6));
    kinds
}

fn flags_of_the_process() -> Vec<Vec<Argument>> {
    let any = [
        libc::PR_SET_NAME,
        libc::PR_SET_PDEATHSIG,
        libc::PR_SET_NO_NEW_PRIVS,
        libc::PR_GET_DUMPABLE,
        libc::PR_CAPBSET_READ,
    ];
    let mut flags: Vec<_> = any.iter().map(|option| vec![is(0, *option)]).collect();
    flags.push(vec![is(0, libc::PR_SET_DUMPABLE), (1, Eq, 0)]);
    flags
}

fn is(argument: u8, value: c_int) -> Argument {
    (argument, Eq, number(value))
}

fn masked(argument: u8, mask: c_int, value: c_int) -> Argument {
    (argument, MaskedEq(number(mask)), number(value))
}

fn without(argument: u8, bits: c_int) -> Argument {
    masked(argument, bits, 0)
}

/// The 32 bits the kernel reads.
fn number(value: c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Holds when every argument is as said, in the lower 32 bits: the kernel looks at no others of these.
fn rule(arguments: &[Argument]) -> Result<SeccompRule, BackendError> {
    let conditions: Result<_, _> = arguments
        .iter()
        .map(|(index, operator, value)| {
            SeccompCondition::new(*index, SeccompCmpArgLen::Dword, operator.clone(), *value)
        })
        .collect();
    SeccompRule::new(conditions?)
}
