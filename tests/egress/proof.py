"""The egress proof: plays every scenario under capture and trace, plants every leaker, writes the report.

Started by tests/egress/run; docs/egress-proof.md says what it proves.
"""
import argparse
import concurrent.futures
import io
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

import costs
import kit
import leakers
import plan
import report
import scenarios
import session
import test_verdict
import transports
from network import Network

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
PROGRAMS = ("casemate", "casemate-agent", "casemate-leaker")


def options():
    parser = argparse.ArgumentParser(prog="tests/egress/run", description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, default=TOP / "target/debug", help="folder with the programs")
    parser.add_argument("--output", type=pathlib.Path, default=TOP / "target/egress")
    parser.add_argument("--long", action="store_true", help="idle for ten minutes of real time")
    parser.add_argument("--only", action="append", default=[], help="a scenario or a column of layers, for who works on it")
    parser.add_argument("--fence", help="folder of a control group that systemd made for the agent's unit: one column more")
    return parser.parse_args()


def prepare(chosen):
    """A disk of the run's own, with the programs where any user can start them."""
    shutil.rmtree(chosen.output, ignore_errors=True)
    (chosen.output / "evidence").mkdir(parents=True)
    disk = pathlib.Path("/mnt")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "egress", disk], check=True)
    (disk / "bin").mkdir()
    for name in PROGRAMS:
        shutil.copy(chosen.programs / name, disk / "bin" / name)
    return session.Place(disk / "bin", disk, chosen.output / "evidence")


class Proof:
    """What was played and what came of it."""

    def __init__(self, chosen):
        self.chosen, self.place = chosen, prepare(chosen)
        self.kit, self.talking = scenarios.Kit(idle=600 if chosen.long else 15), transports.Kit()
        self.scenarios, self.outcomes, self.complaints, self.costs = [], [], [], {}

    def wanted(self, name):
        return not self.chosen.only or name in self.chosen.only

    def judge(self):
        suite = unittest.defaultTestLoader.loadTestsFromModule(test_verdict)
        outcome = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(suite)
        self.complaints += [f"the verdict fails its own test: {case}" for case, _ in outcome.failures + outcome.errors]
        print(f"  the verdict finds what is planted in {outcome.testsRun} tests of its own")

    def play(self):
        first, *others = scenarios.SCENARIOS
        with Network("open", ipv6=False) as unfiltered, \
                Network("host", ipv6=True, filtered=self.enforce) as filtered:
            self.scenario(first, unfiltered, "open")
            # Idle time passes beside everything else, on an appliance of its own; so do the polls of the transports.
            wanted = [scenario for scenario in others if self.wanted(scenario.name)]
            with concurrent.futures.ThreadPoolExecutor(4) as beside:
                played = [beside.submit(self.idle), beside.submit(self.talk),
                          beside.submit(self.scenarios_in, wanted, unfiltered, "open"),
                          beside.submit(self.scenarios_in, wanted, filtered, "host")]
            for one in played:
                one.result()

    def scenarios_in(self, wanted, network, kind, kit=None):
        for scenario in wanted:
            self.scenario(scenario, network, kind, kit)

    def enforce(self, network):
        """The enforcer itself, root's, before it knows a boundary."""
        folder = self.place.disk / f"enforcer-{network.name}"
        kit.Enforcer(self.place, folder).deny_all(network)

    def load(self, network):
        """The enforcer's rules for the leakers' policy."""
        rules = network.inside("appliance", self.place.program("casemate-leaker"), "rules", plan.AGENT_UID, "eth0")
        network.inside("appliance", "nft", "-f", "-", text=rules)

    def columns(self, columns, network):
        found = {}
        for column in columns:
            found[column] = []
            for leak in leakers.LEAKS:
                outcome, problems = leakers.leak_once(self.place, network, column, leak, self.chosen.fence)
                found[column].append(outcome)
                self.complaints += [f"{leak.name} behind {column}: {problem}" for problem in problems]
            words = [outcome.word for outcome in found[column]]
            print(f"  {column:12} {words.count('out')} of {len(words)} leakers out, {words.count('stopped')} stopped, "
                  f"{words.count('not tried')} not tried")
        return found

    def control(self):
        """The same idle appliance without rules: its kernel alone must be heard, or its silence says nothing."""
        with Network("control", ipv6=True, at_once=False) as network:
            run = session.Session(self.place, network, "idle-control")
            with run:
                time.sleep(5)
        heard = run.facts["frames_sent"]
        print(f"  {'control':12} open {run.facts['seconds']:6} s  {heard} frames of an idle kernel without rules, as must be")
        if not heard:
            self.complaints.append("an idle kernel without rules was not heard: the silence with rules says nothing")

    def idle(self):
        self.control()
        with Network("idle", ipv6=True, filtered=self.enforce, at_once=False) as network:
            self.scenario(scenarios.IDLE, network, "host")

    def talk(self):
        """The transports, in networks of their own: they wait for one another more than they work."""
        first, *others = transports.SCENARIOS
        if not any(self.wanted(scenario.name) for scenario in others):
            return
        with Network("talk", ipv6=False) as unfiltered, \
                Network("talk-host", ipv6=True, filtered=self.enforce) as filtered:
            self.scenario(first, unfiltered, "open", self.talking)
            with concurrent.futures.ThreadPoolExecutor() as both:
                played = [both.submit(self.scenarios_in, others, network, kind, self.talking) for network, kind in
                          ((unfiltered, "open"), (filtered, "host"))]
            for one in played:
                one.result()

    def scenario(self, scenario, network, kind, kit=None):
        if network.filtered:
            network.filtered = self.enforce
            self.enforce(network)
        name = f"{scenario.name}-{kind}"
        (self.place.disk / name).mkdir()
        mounts = scenario.mounts(self.place.disk / name)
        run = session.Session(self.place, network, name, scenario.policy, mounts)
        try:
            with run:
                scenario.play(run, kit or self.kit)
        except Exception as error:  # whatever it was: it did not play, and that is a complaint
            self.complaints.append(f"{name}: did not play: {type(error).__name__}: {error}")
            return
        bad = [f"{name}: {finding.kind}: {finding.text}" for finding in run.findings]
        attempts = sum(finding.kind == "attempt" for finding in run.findings)
        self.scenarios.append({"name": scenario.name, "text": scenario.text, "network": kind, "attempts": attempts,
                               "facts": run.facts, "findings": bad})
        self.complaints += bad
        print(f"  {scenario.name:12} {kind:4} {run.facts['seconds']:6} s  {run.facts['frames_sent']} frames, {attempts} attempts"
              f"{'' if not bad else ' '.join(['', *bad[:3]])}")

    def plant(self):
        with Network("leakers", ipv6=True) as unfiltered, \
                Network("leakers-host", ipv6=True, filtered=self.load) as filtered:
            columns = [(column, host) for column, (_, host) in leakers.LAYERS.items()
                       if self.wanted(column) and (self.chosen.fence or column != leakers.FENCE)]
            with concurrent.futures.ThreadPoolExecutor() as both:
                planted = [both.submit(self.columns, [column for column, host in columns if host == with_host], network)
                           for with_host, network in ((False, unfiltered), (True, filtered))]
            found = {column: outcomes for one in planted for column, outcomes in one.result().items()}
            self.outcomes = [outcome for column, _ in columns for outcome in found[column]]
            self.costs = costs.measure(self.place, unfiltered, filtered)
        self.complaints += leakers.shortfalls(self.outcomes)


def main():
    chosen, begun = options(), time.monotonic()
    sys.stdout.reconfigure(line_buffering=True)
    print("egress-proof: an appliance, a country and a world of its own; every frame, every attempt")
    proof = Proof(chosen)
    proof.judge()
    proof.play()
    proof.plant()
    programs = {name: proof.place.programs / name for name in PROGRAMS}
    sealed = report.write(chosen.output, proof.scenarios, proof.outcomes, proof.costs, proof.complaints, programs,
                          chosen.programs.name)
    for complaint in proof.complaints:
        print(f"egress-proof: {complaint}", file=sys.stderr)
    word = "clean" if not proof.complaints else f"{len(proof.complaints)} complaints"
    print(f"egress-proof: {word}, {time.monotonic() - begun:.0f} s; {chosen.output}/report.md, report.json {sealed[:16]}…")
    return 1 if proof.complaints else 0


sys.exit(main())
