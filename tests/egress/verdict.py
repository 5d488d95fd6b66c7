"""The verdict: what the evidence of one run shows against a policy. Silence counts only where the canaries were heard."""
import dataclasses

import frames as wire
import calls
from plan import Policy

LINK_CONTROL = {"neighbour solicitation", "neighbour advertisement"}


@dataclasses.dataclass
class Evidence:
    """What one run left behind."""
    frames: list                     # of frames.Frame, both directions
    calls: list                      # of calls.Call
    unreadable: list                 # lines of the trace nobody could read
    lost: int                        # frames the recorder lost
    marks: tuple                     # words of the opening and the closing canary frame
    knocks: tuple                    # ports of the opening and the closing canary attempt
    counted: dict                    # packets at the output hook during the run: {"agent": …, "others": …}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that must not be."""
    kind: str                        # frame, attempt, counter, blind
    text: str


def judge(evidence, policy):
    """Every violation, and every reason why the evidence proves nothing."""
    return [*blind(evidence), *on_the_wire(evidence, policy), *attempted(evidence, policy), *counted(evidence)]


def blind(evidence):
    seen = [[frame.time for frame in evidence.frames if frame.direction == wire.FROM_APPLIANCE
             and wire.is_canary(frame, word)] for word in evidence.marks]
    for place, times in zip(("opening", "closing"), seen):
        if len(times) != 1:
            yield Finding("blind", f"the {place} canary frame is {len(times)} times in the capture, once was expected")
    knocks = [call for call in evidence.calls if is_knock(call, evidence)]
    for place, port in zip(("opening", "closing"), evidence.knocks):
        if not any(f"htons({port})" in call.arguments for call in knocks):
            yield Finding("blind", f"the {place} canary attempt is not in the trace")
    if evidence.lost:
        yield Finding("blind", f"the recorder lost {evidence.lost} frames")
    for line in evidence.unreadable[:5]:
        yield Finding("blind", f"a line of the trace cannot be read: {line.strip()[:160]}")
    if all(seen) and knocks:
        opened, closed = seen[0][0], seen[1][-1]
        outside = [call for call in evidence.calls if not opened <= call.time <= closed]
        if any(calls.breach(call, Policy()) not in (None, "program") for call in outside):
            yield Finding("blind", "something was attempted while no capture was shown to run")


def is_knock(call, evidence):
    """Whether this is one of the attempts that the proof itself planted."""
    return call.name == "connect" and any(
        f'sin_port=htons({port}), sin_addr=inet_addr("127.0.0.1")' in call.arguments for port in evidence.knocks)


def on_the_wire(evidence, policy):
    for frame in evidence.frames:
        planted = any(wire.is_canary(frame, word) for word in evidence.marks)
        if frame.direction == wire.FROM_APPLIANCE and not planted and not may_pass(frame, policy):
            yield Finding("frame", str(frame))


def may_pass(frame, policy):
    """TCP to a peer's port, answers to who may call, and the address resolution these need."""
    if frame.protocol == "ARP" or frame.detail in LINK_CONTROL:
        return frame.destination in policy.addresses()
    if frame.protocol != "TCP":
        return False
    answers = not frame.opens and frame.source_port in policy.listens and frame.destination in policy.callers
    return answers or (frame.destination, frame.port) in policy.peers


def attempted(evidence, policy):
    started = {}
    for call in evidence.calls:
        broken = calls.breach(call, policy if call.name == "execve" else policy.of(started.get(call.pid)))
        if call.name == "execve" and call.result.startswith("0"):
            started[call.pid] = calls.program(call)
        if broken and not is_knock(call, evidence):
            yield Finding("attempt", f"{broken}: {call}")


def counted(evidence):
    if evidence.counted.get("agent"):
        yield Finding("counter", f"{evidence.counted['agent']} packets of the agent's user to elsewhere than its peers")
