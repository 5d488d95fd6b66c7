"""The planted leakers: twelve ways out, each of which the verdict must find in every run, and what each layer stops."""
import dataclasses
import shutil
import typing

import frames
import plan
from session import Session

POLICY = plan.Policy(peers=frozenset([plan.CONTROL]), gateways=frozenset([plan.GATEWAY, plan.GATEWAY_V6]),
                     programs=(shutil.which("setpriv"), shutil.which("sh")), unix=("/var/run/nscd/",))  # setpriv looks names up
PROXY = (plan.OUTSIDE, 3128)


@dataclasses.dataclass(frozen=True)
class Leak:
    """What a leak looks like: the frame it sends, and words of the attempt in the trace."""
    name: str
    text: str
    frame: typing.Callable
    attempt: str


def to(protocol, address, port=0):
    return lambda frame: (frame.protocol, frame.destination, frame.port) == (protocol, address, port)


LEAKS = [
    Leak("dns", "a name is asked of a resolver", to("UDP", plan.RESOLVER, 53), plan.RESOLVER),
    Leak("udp", "a datagram to a collector", to("UDP", plan.OUTSIDE, 4789), "htons(4789)"),
    Leak("icmp", "an echo request with a payload", to("ICMP", plan.OUTSIDE), "IPPROTO_ICMP"),
    Leak("ipv6", "a connection over IPv6", to("TCP", plan.OUTSIDE_V6, 443), plan.OUTSIDE_V6),
    Leak("wrong-port", "a peer's address, another port", to("TCP", plan.CONTROL[0], 9443), "htons(9443)"),
    Leak("wrong-host", "a peer's port, another address", to("TCP", plan.OUTSIDE, plan.CONTROL[1]), plan.OUTSIDE),
    Leak("mptcp", "a connection by Multipath TCP", to("TCP", plan.OUTSIDE, 443), "IPPROTO_MPTCP"),
    Leak("fastopen", "a connection opened by its first data", to("TCP", plan.OUTSIDE, 443), "MSG_FASTOPEN"),
    Leak("af-packet", "a frame straight onto the wire", lambda frame: frame.ethertype == 0x88B6, "AF_PACKET"),
    Leak("orphaned-child", "a child that outlives its parent connects", to("TCP", plan.OUTSIDE, plan.CONTROL[1]), plan.OUTSIDE),
    Leak("redirect-followed", "a peer's redirect is followed", to("TCP", plan.OUTSIDE, 80), "htons(80)"),
    Leak("proxy-variable", "a proxy named by the environment is used", to("TCP", *PROXY), f"htons({PROXY[1]})"),
]

# systemd's layer: a control group it made for the agent's unit. Measured where there is a systemd.
FENCE = "systemd"
PROCESS = ("environment", "privileges", "landlock", "seccomp")
# Which layers a column of the table puts on, and whether the host's packet filter is loaded.
LAYERS = {"none": ((), False), "door": (("door",), False), "environment": (("environment",), False),
          "privileges": (("privileges",), False), "landlock": (("landlock",), False), "seccomp": (("seccomp",), False),
          FENCE: ((), False), "host": ((), True), "process": (PROCESS, False), "all": (("environment", "door", *PROCESS[1:]), True)}
# A layer that stops less than this is broken, whatever the others still stop.
MUST_STOP = {
    "door": {"ipv6", "wrong-port", "wrong-host", "redirect-followed", "proxy-variable"},
    "environment": {"proxy-variable"},
    "privileges": {"icmp", "af-packet"},
    "landlock": {"ipv6", "wrong-port", "redirect-followed", "proxy-variable"},
    "seccomp": {"dns", "udp", "icmp", "mptcp", "fastopen", "af-packet"},
    FENCE: {leak.name for leak in LEAKS} - {"wrong-port", "af-packet"},
    "host": {leak.name for leak in LEAKS},
    "process": {leak.name for leak in LEAKS} - {"wrong-host", "orphaned-child"},
    "all": {leak.name for leak in LEAKS},
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one leak behind one set of layers."""
    layers: str
    leak: str
    sent: bool
    attempted: bool
    said: str

    @property
    def word(self):
        return "out" if self.sent else "stopped" if self.attempted else "not tried"


def leak_once(place, network, column, leak, fence):
    """Plants one leaker, judges the run by the verdict, and says what was found. `fence`: the folder of systemd's group."""
    layers = LAYERS[column][0]
    with Session(place, network, f"leaker-{column}-{leak.name}", POLICY) as run:
        # The agent's user with one capability more than the agent has, so that the layer is measured and not its lack.
        who = ["--reuid", plan.AGENT_UID, "--regid", plan.AGENT_UID, "--clear-groups", "--inh-caps", "+net_raw",
               "--ambient-caps", "+net_raw"]
        held = [shutil.which("sh"), "-c", f'echo $$ >{fence}/cgroup.procs && exec "$@"', "sh"] if column == FENCE else []
        _, said = run.run([*held, shutil.which("setpriv"), *who, "--", place.program("casemate-leaker"), leak.name, *layers],
                          env={"HTTPS_PROXY": f"http://{PROXY[0]}:{PROXY[1]}"}, user=0)
    attempts = [finding.text for finding in run.findings if finding.kind == "attempt"]
    wire = frames.read(run.folder / "wire.pcapng")
    sent = [frame for frame in wire if frame.direction == frames.FROM_APPLIANCE and leak.frame(frame)]
    judged = {finding.text for finding in run.findings if finding.kind == "frame"}
    seen = bool(sent) and all(str(frame) in judged for frame in sent)
    problems = [finding.text for finding in run.findings if finding.kind == "blind"]
    if sent and not seen:
        problems.append("a frame of the leaker was not found by the verdict")
    if column == "none" and not any(leak.attempt in text for text in attempts):
        problems.append("its attempt was not found in the trace by the verdict")
    return Outcome(column, leak.name, bool(sent), bool(attempts), said.strip()), problems


def shortfalls(outcomes):
    """Where the proof is not what it says: leakers not caught, and layers that stop less than they must."""
    for outcome in outcomes:
        where = f"{outcome.leak} behind {outcome.layers}"
        if outcome.layers == "none" and not (outcome.sent and outcome.attempted):
            yield f"{where}: the leaker was not caught (frame {outcome.sent}, attempt {outcome.attempted}; {outcome.said})"
        if outcome.sent and outcome.leak in MUST_STOP.get(outcome.layers, ()):
            yield f"{where}: its frame went out"
        if not outcome.said.startswith(("sent", "refused")):
            yield f"{where}: the leaker did not do its work: {outcome.said}"
