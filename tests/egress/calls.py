"""What was attempted: the system calls of every process, as strace wrote them.

strace runs without --seccomp-bpf on purpose: a filter of the traced program that answers with an error outranks
strace's own, so exactly the attempts that seccomp stops would be missing.
"""
import dataclasses
import ipaddress
import pathlib
import re

STRACE = ("strace", "-f", "-ttt", "-s", "128", "-e", "signal=none", "-e",
          "trace=%network,execve,execveat,io_uring_setup,io_uring_enter,io_uring_register,pidfd_getfd")
# Calls that can't take anything off the machine: they ask, answer or receive, and addresses in them are results.
PASSIVE = {"accept", "accept4", "getpeername", "getsockname", "getsockopt", "recv", "recvfrom", "recvmmsg", "recvmsg",
           "shutdown", "socketpair"}
ADDRESSED = {"connect", "bind", "send", "sendto", "sendmsg", "sendmmsg"}
NAMED = {"connect", "bind"}  # always with an address
LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
CALL = re.compile(r"(\w+)\((.*)")
FAMILY = re.compile(r"\{sa_family=(\w+)")
INET = re.compile(r'\{sa_family=AF_INET, sin_port=htons\((\d+)\), sin_addr=inet_addr\("([0-9.]+)"\)\}')
INET6 = re.compile(r'\{sa_family=AF_INET6, sin6_port=htons\((\d+)\), sin6_flowinfo=htonl\(\d+\), '
                   r'inet_pton\(AF_INET6, "([0-9a-f:.]+)", &sin6_addr\), sin6_scope_id=[^}]*\}')
UNIX = re.compile(r'\{sa_family=AF_UNIX, sun_path=(@?)"([^"]*)"(\.\.\.)?\}')
NETLINK = re.compile(r"\{sa_family=AF_NETLINK, nl_pid=[^}]*\}")
SOCKET = re.compile(r"(AF_\w+|0x[0-9a-f]+[^,]*), ([^,]+), (.*)")
PROGRAM = re.compile(r'"([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Call:
    """One system call at its entry; what came of it stands in `result` where the line has it."""
    pid: int
    time: float
    name: str
    arguments: str
    result: str = ""

    def __str__(self):
        shown = self.arguments if len(self.arguments) < 160 else self.arguments[:160] + "…"
        return f"{self.name}({shown}{') = ' + self.result if self.result else ''}"


def read(path):
    """The calls of a trace, and the lines nobody could read. Resumed halves are left out: their entry came before."""
    calls, unreadable = [], []
    for line in pathlib.Path(path).read_text(errors="backslashreplace").splitlines():
        match = LINE.fullmatch(line)
        if not match:
            unreadable.append(line)
            continue
        pid, time, text = int(match[1]), float(match[2]), match[3]
        if text.startswith(("<... ", "+++ ", "--- ")):
            continue
        call = CALL.fullmatch(text)
        if not call:
            unreadable.append(line)
            continue
        arguments, _, result = call[2].rpartition(") = ")
        if not arguments and not result.startswith(("0", "-", "?")):
            arguments, result = call[2], ""
        elif not arguments:
            arguments = call[2]
        calls.append(Call(pid, time, call[1], re.sub(r" *<unfinished \.\.\.>$", "", arguments), result))
    return calls, unreadable


def breach(call, policy):
    """What of the policy this call breaks, in a word or two; None if nothing."""
    if call.name in PASSIVE:
        return None
    if call.name in ADDRESSED:
        return breach_of_address(call, policy)
    if call.name == "socket":
        return breach_of_socket(call.arguments, policy)
    if call.name in ("execve", "execveat"):
        return None if program(call) in policy.programs else "program"
    if call.name == "setsockopt":
        return "fast open" if "FASTOPEN" in call.arguments else None
    if call.name == "listen":
        return None  # what it listens at was bound
    return call.name  # io_uring, and whatever else was traced


def program(call):
    """What an execve starts."""
    named = PROGRAM.search(call.arguments)
    return named[1] if named else None


def breach_of_socket(arguments, policy):
    match = SOCKET.match(arguments)
    if not match:
        return "unreadable"
    family, kind, protocol = match[1], match[2].split("|")[0], match[3]
    if family == "AF_UNIX":
        return None
    if family in ("AF_INET", "AF_INET6") and kind == "SOCK_STREAM" and protocol in ("IPPROTO_IP", "IPPROTO_TCP", "0"):
        return None
    if family == "AF_NETLINK" and protocol in policy.netlink:
        return None
    return f"socket {family} {kind} {protocol}"


def breach_of_address(call, policy):
    text = call.arguments
    if "MSG_FASTOPEN" in text:
        return "fast open"
    families = FAMILY.findall(text)
    if not families:
        return "unreadable" if call.name in NAMED else None  # a connected socket: its connect was judged
    known = 0
    for port, address in INET.findall(text) + INET6.findall(text):
        known += 1
        if call.name == "bind":
            if int(port) in policy.listens and ipaddress.ip_address(address).is_unspecified:
                continue
            return f"listens at {address} port {port}"
        if not policy.reaches(address, int(port)):
            return f"{address} port {port}"
    for abstract, path, cut in UNIX.findall(text):
        known += 1
        if abstract or cut or not path.startswith(policy.unix):
            return f"local socket {path}"
    if policy.netlink:
        known += len(NETLINK.findall(text))
    return None if known == len(families) else "unreadable"
