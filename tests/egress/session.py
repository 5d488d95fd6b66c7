"""One run on the appliance with its evidence: recorder and trace on before anything starts, off after everything ended."""
import dataclasses
import json
import os
import pathlib
import random
import select
import subprocess
import sys
import time

import calls
import frames
import plan
import verdict

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60  # seconds any one program may take


@dataclasses.dataclass
class Place:
    """Where things are: the programs under proof, the appliance's disk, and where evidence goes."""
    programs: pathlib.Path
    disk: pathlib.Path
    evidence: pathlib.Path

    def program(self, name):
        return str(self.programs / name)


class Session:
    """Use as a context; afterwards `findings` and `facts` are there."""

    def __init__(self, place, network, name, policy=plan.NOTHING, mounts=()):
        self.place, self.network, self.name, self.mounts = place, network, name, mounts
        own = [sys.executable, place.program("casemate-leaker"), place.program("casemate-agent"),
               place.program("casemate"), "/proc/self/exe"]
        self.policy = dataclasses.replace(policy, programs=(*own, *policy.programs),
                                          unix=(f"{place.disk}/", *policy.unix))
        self.folder = place.evidence / name
        self.folder.mkdir(parents=True)
        self.disk = place.disk / name
        self.disk.mkdir(exist_ok=True)
        os.chown(self.disk, plan.AGENT_UID, plan.AGENT_UID)
        self.marks = tuple(f"{kind} {random.getrandbits(64):016x}" for kind in ("open", "close"))
        self.knocks = tuple(random.sample(range(20000, 30000), 2))
        self.starts, self.findings, self.facts, self.outputs = 0, [], {}, []

    def __enter__(self):
        self.began = time.monotonic()
        self.network.count(self.policy)
        self.recorder = subprocess.Popen(
            self.network.argv("country", sys.executable, HERE / "wire.py", "record", "wire", self.folder / "wire.pcapng"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.recorder.stdout.readline() == "recording\n", "the recorder did not start"
        self.network.connect()
        self.network.mark(self.marks[0])
        self.stage = subprocess.Popen(self.network.argv("appliance", *self.tracer()), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
        self.knock(0)
        return self

    def tracer(self):
        stage = [*calls.STRACE, "-o", self.folder / "trace.txt", sys.executable, "-ISB", "-c",
                 f"import sys; sys.path.insert(0, {str(HERE)!r}); import stage"]
        binds = "".join(f"mount --bind '{mine}' '{theirs}'; " for mine, theirs in self.mounts)
        return ["unshare", "--mount", "--", "sh", "-euc", f'{binds}exec "$@"', "sh", *stage] if binds else stage

    def knock(self, which):
        self.run([self.place.program("casemate-leaker"), "canary", str(self.knocks[which])])

    def order(self, **order):
        self.stage.stdin.write(json.dumps(order) + "\n")
        self.stage.stdin.flush()
        if not select.select([self.stage.stdout], [], [], PATIENCE)[0]:
            raise TimeoutError(f"{self.name}: {order} took more than {PATIENCE} s")
        line = self.stage.stdout.readline()
        assert line, f"{self.name}: the stage ended at {order}"
        return json.loads(line)

    def start(self, argv, env=None, user=plan.AGENT_UID):
        """Starts a program on the appliance; what it says goes into the evidence. Gives its number."""
        output = self.folder / f"output-{self.starts:02}.txt"
        output.write_text(f"$ {' '.join(map(str, argv))}\n")
        self.outputs.append(output)
        self.order(start=[str(word) for word in argv], env=env or {}, folder=str(self.disk), output=str(output), user=user)
        self.starts += 1
        return self.starts - 1

    def said(self, number):
        return self.outputs[number].read_text(errors="replace").split("\n", 1)[1]

    def wait(self, number):
        return self.order(wait=number)

    def poll(self, number):
        """The exit status, if it has ended."""
        return self.order(poll=number)

    def kill(self, number, signal):
        self.order(kill=number, signal=signal)
        return self.wait(number)

    def run(self, argv, env=None, user=plan.AGENT_UID):
        """Runs a program to its end: its exit status and what it said."""
        number = self.start(argv, env, user)
        return self.wait(number), self.said(number)

    def __exit__(self, kind, error, _):
        try:
            if error is None:
                self.knock(1)
                self.stage.stdin.close()
                self.stage.wait(PATIENCE)  # strace ends after its last process, orphans included
                (self.folder / "ruleset.nft").write_text(self.network.ruleset())
                self.network.mark(self.marks[1])
        finally:
            self.stage.kill()
            self.recorder.stdin.close()
            heard = json.loads(self.recorder.stdout.readline() or '{"frames": 0, "lost": 1}')
            self.recorder.wait()
        if error is None:
            self.conclude(heard)

    def conclude(self, heard):
        counted = self.network.counters()
        (self.folder / "counters.json").write_text(json.dumps(counted) + "\n")
        attempts, unreadable = calls.read(self.folder / "trace.txt")
        seen = frames.read(self.folder / "wire.pcapng")
        evidence = verdict.Evidence(seen, attempts, unreadable, heard["lost"], self.marks, self.knocks, counted)
        self.findings = verdict.judge(evidence, self.policy)
        sent = [frame for frame in seen if frame.direction == frames.FROM_APPLIANCE
                and not any(frames.is_canary(frame, word) for word in self.marks)]
        self.facts = {"seconds": round(time.monotonic() - self.began, 1), "frames_sent": len(sent),
                      "frames_received": sum(frame.direction == frames.TO_APPLIANCE for frame in seen),
                      "calls_traced": len(attempts), "processes": len({call.pid for call in attempts}),
                      "counted_agent": counted["agent"], "counted_others": counted["others"]}
