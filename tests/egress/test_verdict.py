"""The judge is judged: each planted violation must be found, and a run without one must pass. Run before every proof."""
import dataclasses
import tempfile
import unittest

import frames
import calls
import verdict
from plan import CONTROL, GATEWAY, NOTHING, OUTSIDE, PUBLISHER, Policy

MAC = b"\xff" * 6 + b"\x02" + b"\0" * 5
PEERS = Policy(peers=frozenset([CONTROL]), gateways=frozenset([GATEWAY]), unix=("/srv/",), programs=("/srv/agent",))
KNOCK = '7 {}.500000 connect(3, {{sa_family=AF_INET, sin_port=htons({}), sin_addr=inet_addr("127.0.0.1")}}, 16) = -1 ECONNREFUSED'


def address(text):
    return bytes(int(part) for part in text.split("."))


def ipv4(protocol, destination, port=0):
    header = b"\x45\0\0\x28\0\0\0\0\x40" + bytes([protocol]) + b"\0\0" + address("10.20.0.50") + address(destination)
    return MAC + b"\x08\0" + header + (40000).to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(16)


def answer(destination, flags, source=9443):
    """A segment of TCP from a listener's port."""
    segment = source.to_bytes(2, "big") + (40000).to_bytes(2, "big") + bytes(9) + bytes([flags]) + bytes(6)
    return ipv4(6, destination)[:34] + segment


def arp(target):
    return MAC + b"\x08\x06\0\1\x08\0\6\4\0\1" + bytes(6) + address("10.20.0.50") + bytes(6) + address(target)


def run(sent=(), lines=(), opening=True, closing=True, lost=0, counted=0, received=()):
    """Evidence that went the whole way: written as a capture and a trace, and read again."""
    with tempfile.TemporaryDirectory() as folder:
        writer = frames.Writer(f"{folder}/wire")
        stream = [(frames.FROM_APPLIANCE, frame) for frame in
                  [*[frames.canary("open")] * opening, *sent, *[frames.canary("close")] * closing]]
        stream[1:1] = [(frames.TO_APPLIANCE, frame) for frame in received]
        for at, (direction, frame) in enumerate(stream):
            writer.add((100 + at * 10) * 10**9, direction, frame)
        writer.close()
        knocks = [KNOCK.format(101, 1001)] * opening, [KNOCK.format(102, 1002)] * closing
        with open(f"{folder}/trace", "w") as file:
            file.writelines(f"{line}\n" for line in [*knocks[0], *lines, *knocks[1]])
        attempts, unreadable = calls.read(f"{folder}/trace")
        return verdict.Evidence(frames.read(f"{folder}/wire"), attempts, unreadable, lost, ("open", "close"), (1001, 1002),
                                {"agent": counted, "others": 0})


def kinds(evidence, policy=PEERS):
    return sorted({finding.kind for finding in verdict.judge(evidence, policy)})


class AQuietRun(unittest.TestCase):
    def test_with_nothing_on_the_wire_passes(self):
        self.assertEqual(kinds(run(), NOTHING), [])

    def test_that_talks_to_its_peer_passes(self):
        lines = ['8 101.5 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3',
                 '8 101.5 connect(3, {sa_family=AF_INET, sin_port=htons(8443), sin_addr=inet_addr("10.20.0.5")}, 16) = 0',
                 '8 101.5 sendto(3, "x", 1, MSG_NOSIGNAL, NULL, 0) = 1',
                 '8 101.6 connect(4, {sa_family=AF_UNIX, sun_path="/srv/agent.sock"}, 20) = 0',
                 '8 101.6 execve("/srv/agent", ["/srv/agent"], 0x7ffe /* 0 vars */) = 0',
                 '8 101.7 accept4(5, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("198.51.100.7")} <unfinished ...>',
                 '8 101.7 <... accept4 resumed>, [16], 0) = 6']
        self.assertEqual(kinds(run([arp("10.20.0.5"), ipv4(6, *CONTROL)], lines)), [])

    def test_to_which_others_talk_passes(self):
        self.assertEqual(kinds(run(received=[arp("10.20.0.50"), ipv4(17, OUTSIDE, 53)])), [])


class AFrame(unittest.TestCase):
    def test_to_elsewhere_is_found(self):
        for frame in (ipv4(6, OUTSIDE, 8443), ipv4(6, CONTROL[0], 9443), ipv4(17, *CONTROL), ipv4(1, CONTROL[0]),
                      arp("10.20.0.9"), MAC + b"\x88\xb6" + bytes(46), MAC + b"\x86\xdd" + bytes(6) + b"\x3a" + bytes(60),
                      MAC + b"\x88\xcc" + bytes(46), MAC + b"\x08\0", frames.canary("another word")):
            self.assertEqual(kinds(run([frame])), ["frame"], frame)

    def test_to_a_peer_is_found_where_the_policy_is_empty(self):
        self.assertEqual(kinds(run([ipv4(6, *CONTROL)]), NOTHING), ["frame"])


class AListener(unittest.TestCase):
    policy = dataclasses.replace(PEERS, listens=frozenset([9443]), callers=frozenset([PUBLISHER]))
    bind = '8 101.5 bind(3, {sa_family=AF_INET6, sin6_port=htons(%d), sin6_flowinfo=htonl(0), ' \
           'inet_pton(AF_INET6, "::", &sin6_addr), sin6_scope_id=0}, 28) = 0'

    def test_may_answer_who_may_call(self):
        answers = [answer(PUBLISHER, flags) for flags in (0x12, 0x10, 0x18, 0x11, 0x04)]
        self.assertEqual(kinds(run([arp(PUBLISHER), *answers], [self.bind % 9443]), self.policy), [])

    def test_may_not_call_nor_answer_others_nor_be_elsewhere(self):
        for frame in (answer(PUBLISHER, 0x02), answer(PUBLISHER, 0x10, 9444), answer(OUTSIDE, 0x12)):
            self.assertEqual(kinds(run([frame]), self.policy), ["frame"], frame)
        self.assertEqual(kinds(run([answer(PUBLISHER, 0x12)])), ["frame"])
        self.assertEqual(kinds(run(lines=[self.bind % 9444]), self.policy), ["attempt"])
        self.assertEqual(kinds(run(lines=[self.bind % 9443])), ["attempt"])


class AnAttempt(unittest.TestCase):
    def test_outside_the_policy_is_found_whatever_came_of_it(self):
        inet = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("%s")}'
        inet6 = ('{sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), '
                 'inet_pton(AF_INET6, "2001:db8::7", &sin6_addr), sin6_scope_id=0}')
        for call in (f"connect(3, {inet % (443, OUTSIDE)}, 16) = -1 ENETUNREACH (Network is unreachable)",
                     f"connect(3, {inet % (443, OUTSIDE)}, 16 <unfinished ...>",
                     f"connect(3, {inet % (443, OUTSIDE)}, 16) = -1 EPERM (Operation not permitted)",
                     f"connect(3, {inet % (9443, CONTROL[0])}, 16) = 0",
                     f"connect(3, {inet % (80, '127.0.0.1')}, 16) = 0",
                     f"connect(3, {inet6}, 28) = -1 EINPROGRESS (Operation now in progress)",
                     f"sendto(3, \"q\", 1, 0, {inet % (53, '192.0.2.53')}, 16) = 1",
                     f"sendmsg(3, {{msg_name={inet % (53, '192.0.2.53')}, msg_namelen=16}}, 0) = 1",
                     f"sendmmsg(3, [{{msg_hdr={{msg_name={inet % CONTROL[::-1]}}}}}, {{msg_hdr={{msg_name={inet % (1, OUTSIDE)}}}}}], 2, 0) = 2",
                     f"sendto(3, \"q\", 1, MSG_FASTOPEN, {inet % CONTROL[::-1]}, 16) = 1",
                     "setsockopt(3, SOL_TCP, TCP_FASTOPEN_CONNECT, [1], 4) = 0",
                     "connect(3, 0x7ffd, 16) = -1 EFAULT (Bad address)",
                     'connect(3, {sa_family=AF_VSOCK, svm_cid=0x2, svm_port=0x1, svm_flags=0}, 16) = 0',
                     'connect(3, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110) = -1 ENOENT',
                     'connect(3, {sa_family=AF_UNIX, sun_path=@"/srv/x"}, 110) = -1 ENOENT',
                     f"bind(3, {inet % (8443, '0.0.0.0')}, 16) = 0",
                     "socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 3",
                     "socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP) = -1 EPERM (Operation not permitted)",
                     "socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) = 3",
                     "socket(AF_PACKET, SOCK_RAW, 0) = -1 EPERM (Operation not permitted)",
                     "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 3",
                     "socket(0x63 /* AF_??? */, SOCK_RAW, 0) = -1 EAFNOSUPPORT",
                     "io_uring_setup(8, {flags=0}) = -1 EPERM (Operation not permitted)",
                     "pidfd_getfd(4, 5, 0) = -1 EPERM (Operation not permitted)",
                     'execve("/usr/bin/curl", ["curl"], 0x7ffe /* 0 vars */) = -1 EACCES (Permission denied)'):
            self.assertEqual(kinds(run(lines=[f"8 101.500000 {call}"])), ["attempt"], call)


class ATool(unittest.TestCase):
    def test_may_do_what_is_its_own_and_nobody_else_may(self):
        policy = dataclasses.replace(PEERS, programs=("/nft",), tools=(
            ("/nft", Policy(netlink=frozenset(["NETLINK_NETFILTER"]))),))
        start = '8 101.500000 execve("/nft", ["nft"], 0x7ffe /* 0 vars */) = 0'
        own = ["8 101.600000 socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) = 3",
               "8 101.600000 bind(3, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 0"]
        other = f'8 101.700000 connect(3, {{sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("{OUTSIDE}")}}, 16) = 0'
        self.assertEqual(kinds(run(lines=[start, *own]), policy), [])
        self.assertEqual(kinds(run(lines=own), policy), ["attempt"])
        self.assertEqual(kinds(run(lines=[start.replace("= 0", "= -1 EPERM"), *own]), policy), ["attempt"])
        self.assertEqual(kinds(run(lines=[start, other]), policy), ["attempt"])


class EvidenceThatProvesNothing(unittest.TestCase):
    def test_without_its_canaries_is_refused(self):
        self.assertEqual(kinds(run(opening=False)), ["blind"])
        self.assertEqual(kinds(run(closing=False)), ["blind"])

    def test_with_lost_frames_is_refused(self):
        self.assertEqual(kinds(run(lost=1)), ["blind"])

    def test_with_a_line_nobody_can_read_is_refused(self):
        self.assertEqual(kinds(run(lines=["garbage"])), ["blind"])
        self.assertEqual(kinds(run(lines=["8 101.5 ?"])), ["blind"])

    def test_with_an_attempt_outside_the_capture_is_refused(self):
        line = "8 500.0 socket(AF_PACKET, SOCK_RAW, 0) = 3"
        self.assertEqual(kinds(run(lines=[line])), ["attempt", "blind"])


class ACounter(unittest.TestCase):
    def test_that_moved_is_found(self):
        self.assertEqual(kinds(run(counted=1)), ["counter"])


if __name__ == "__main__":
    unittest.main()
