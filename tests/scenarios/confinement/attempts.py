"""Tries what a confined process must not be able to do, and says for each attempt `done` or the error's name.

Run it where nothing can be harmed: it binds, connects and mounts in the network and mount namespaces it finds itself in.
"""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import socket
import struct
import sys

ALLOWED, OTHER = int(sys.argv[1]), int(sys.argv[2])  # TCP ports on which somebody listens; the first is allowed
OUTSIDE = sys.argv[3]  # a file that may be read without confinement only
libc = ctypes.CDLL(None, use_errno=True)
# x86_64, aarch64
NUMBERS = {
    "clone": (56, 220), "clone3": (435, 435), "io_uring_setup": (425, 425), "pidfd_getfd": (438, 438),
    "bpf": (321, 280), "keyctl": (250, 219), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "kexec_load": (246, 104), "execveat": (322, 281), "sendmmsg": (307, 269), "process_vm_writev": (311, 271),
    "open_by_handle_at": (304, 265), "add_key": (248, 217), "init_module": (175, 105),
}
COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]
FASTOPEN = 0x20000000


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def call(name, *arguments):
    plain = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return check(libc.syscall(ctypes.c_long(NUMBERS[name][COLUMN]), *plain))


def made(family, kind, protocol=0):
    return lambda: socket.socket(family, kind, protocol).close()


def tcp():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def connect(port):
    with tcp() as one:
        one.connect(("127.0.0.1", port))


def bind():
    with tcp() as one:
        one.bind(("127.0.0.1", 0))


def fastopen_to():
    with tcp() as one:
        one.sendto(b"x", FASTOPEN, ("127.0.0.1", OTHER))


def fastopen_message():
    with tcp() as one:
        one.sendmsg([b"x"], [], FASTOPEN, ("127.0.0.1", OTHER))


def messages():
    ours, _theirs = socket.socketpair()
    with ours:
        content = ctypes.create_string_buffer(b"x")
        vector = struct.pack("PN", ctypes.addressof(content), 1)
        vectors = ctypes.create_string_buffer(vector)
        header = struct.pack("PIPNPNi4xI4x", 0, 0, ctypes.addressof(vectors), 1, 0, 0, 0, 0)
        call("sendmmsg", ours.fileno(), ctypes.create_string_buffer(header), 1, 0)


def option(level, name, value):
    def set_it():
        with tcp() as one:
            one.setsockopt(level, name, value)
    return set_it


def interface():
    with tcp() as one:
        fcntl.ioctl(one, 0x8933, struct.pack("16si20x", b"lo", 0))  # SIOCGIFINDEX


def stolen_descriptor():
    call("pidfd_getfd", os.pidfd_open(os.getpid()), 1, 0)


def memory_of_another():
    there = ctypes.create_string_buffer(8)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(there), 8)
    check(libc.process_vm_readv(os.getpid(), vector, 1, vector, 1, 0))


def namespace_of_child():
    child = call("clone", 0x04000000 | 17, 0, 0, 0, 0)  # CLONE_NEWUTS | SIGCHLD
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def traced():
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.ptrace(0, 0, 0, 0) == 0 else ctypes.get_errno())
    failed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if failed:
        raise OSError(failed, "")


def enter_namespace():
    with open("/proc/self/ns/uts") as own:
        check(libc.setns(own.fileno(), 0))


def mount():
    check(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None))


def program():
    status = os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]
    assert status == 0


def program_in_memory():
    with open("/bin/true", "rb") as program:
        content = program.read()
    here = os.memfd_create("x", 0)
    os.write(here, content)
    child = os.posix_spawn(f"/proc/self/fd/{here}", ["true"], {})
    assert os.waitpid(child, 0)[1] == 0


def executable_memory():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def memory_made_executable():
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    check(libc.mprotect(ctypes.c_void_p(address), 4096, 5))


def read_outside():
    with open(OUTSIDE) as file:
        file.read()


def write_outside():
    with open(f"{OUTSIDE}.new", "w") as file:
        file.write("x")


ATTEMPTS = {
    "UDP socket": made(socket.AF_INET, socket.SOCK_DGRAM),
    "UDP socket, IPv6": made(socket.AF_INET6, socket.SOCK_DGRAM),
    "raw socket": made(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "raw socket, IPv6": made(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
    "packet socket": made(socket.AF_PACKET, socket.SOCK_RAW),
    "MPTCP socket": made(socket.AF_INET, socket.SOCK_STREAM, 262),
    "SCTP socket": made(socket.AF_INET, socket.SOCK_STREAM, 132),
    "netlink socket": made(socket.AF_NETLINK, socket.SOCK_RAW),
    "vsock socket": made(40, socket.SOCK_STREAM),
    "crypto socket": made(38, socket.SOCK_SEQPACKET),
    "connect to another port": lambda: connect(OTHER),
    "bind a port": bind,
    "fast open by sendto": fastopen_to,
    "fast open by sendmsg": fastopen_message,
    "sendmmsg": messages,
    "fast open by option": option(socket.IPPROTO_TCP, 30, 1),
    "upper protocol by option": option(socket.IPPROTO_TCP, 31, b"tls"),
    "mark by option": option(socket.SOL_SOCKET, 36, 1),
    "device by option": option(socket.SOL_SOCKET, 25, b"lo"),
    "time to live by option": option(socket.IPPROTO_IP, 2, 1),
    "interface by ioctl": interface,
    "io_uring": lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
    "ptrace": traced,
    "memory of another": memory_of_another,
    "stolen descriptor": stolen_descriptor,
    "bpf": lambda: call("bpf", 11, ctypes.create_string_buffer(120), 120),
    "mount": mount,
    "unshare": lambda: check(libc.unshare(0x04000000)),
    "setns": enter_namespace,
    "namespace of a child": namespace_of_child,
    "clone3": lambda: call("clone3", 0, 0),
    "kexec": lambda: call("kexec_load", 0, 0, 0, 1 << 32),
    "module": lambda: call("init_module", 0, 0, 0),
    "keyring": lambda: call("keyctl", 0, -3, 0),
    "userfaultfd": lambda: call("userfaultfd", 0),
    "perf": lambda: call("perf_event_open", 0, 0, -1, -1, 0),
    "open by handle": lambda: call("open_by_handle_at", -1, 0, 0),
    "execveat": lambda: call("execveat", -1, 0, 0, 0, 0),
    "memory as a file": lambda: os.close(os.memfd_create("x")),
    "another program": program,
    "a program in memory": program_in_memory,
    "writable and executable memory": executable_memory,
    "memory made executable": memory_made_executable,
    "a limit of another process": lambda: check(libc.prlimit(os.getppid(), 7, None, None)),
    "signal to another process": lambda: os.kill(os.getppid(), 0),
    "read outside": read_outside,
    "write outside": write_outside,
    "hostname": lambda: socket.sethostname("x"),
    # What must stay possible, so that a refusal above means something.
    "allowed: connect to the port": lambda: connect(ALLOWED),
    "allowed: unix sockets": lambda: [one.close() for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)],
    "allowed: no delay": option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    "allowed: its own program": lambda: os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-V"], {},
                                                                  file_actions=[(os.POSIX_SPAWN_CLOSE, 1)]), 0),
}


def attempt(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except AssertionError:
        return "failed"
    return "done"


print(json.dumps({name: attempt(work) for name, work in ATTEMPTS.items()}))
