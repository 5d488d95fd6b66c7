"""What scenarios are made of: an operator's site with its bundles, and an enrolled appliance to copy."""
import json
import os
import pathlib
import shutil
import signal
import socket
import time

import plan

URL = f"http://{plan.OUTSIDE}/collect"
HOST = "telemetry.example.org"
GROUP = "clinics"


class Operator:
    """The control plane's tool with its site, run under the eyes of a session like everything else."""

    def __init__(self, session):
        self.session, self.folder = session, session.disk

    def casemate(self, *arguments):
        status, said = self.session.run([self.session.place.program("casemate"), *arguments])
        assert status == 0, f"casemate {' '.join(map(str, arguments))}: exit {status}: {said}"
        return said

    def found(self):
        self.casemate("init", "site", "--jurisdiction", "LU", "--demo")

    def words(self, appliance):
        said = self.casemate("appliance", "list", "--json")
        listed = json.loads(said[said.index("{"):])["appliances"]
        return next(one["words"] for one in listed if one["id"] == appliance)

    def write(self, summary, files, more=""):
        """The group's folder: {path on the appliance: content}."""
        group = self.folder / "site/groups" / GROUP
        shutil.rmtree(group, ignore_errors=True)
        blocks = []
        for number, (path, content) in enumerate(files.items()):
            (group / "files").mkdir(parents=True, exist_ok=True)
            (group / f"files/{number}").write_text(content)
            blocks.append(f'[[file]]\npath = "{path}"\nfrom = "files/{number}"\n')
        (group / "bundle.toml").write_text("\n".join([f'format = 1\nsummary = "{summary}"\n', *blocks, more]))
        own(group)

    def bundle(self, name):
        """Plans, signs, checks and packs; gives the folder that stands for the stick."""
        self.casemate("plan")
        self.casemate("sign")
        self.casemate("check")
        self.casemate("pack", "--stick", name, "--group", GROUP)
        return self.folder / name


class Enforcer:
    """The host's part: `boundary enforce` as root, with a folder of its own."""

    def __init__(self, place, folder, state=None):
        self.place, self.folder = place, folder
        (folder / "run").mkdir(parents=True, exist_ok=True)
        (folder / "kept").mkdir(mode=0o700, exist_ok=True)
        self.config = folder / "agent.toml"
        state = state or folder / "state"
        state.mkdir(exist_ok=True)
        os.chown(state, plan.AGENT_UID, plan.AGENT_UID)
        self.config.write_text(f'state = "{state}"\nenforcement = "host"\n[boundary]\nrun = "{folder}/run"\n'
                               f'site = "{folder}/narrowing.json"\n')

    def enforce(self, network, *arguments):
        return network.inside("appliance", self.place.program("casemate-agent"), "--config", self.config, "boundary",
                              "enforce", "--kept", self.folder / "kept", *arguments)


def own(path):
    """Gives a tree to the agent's user."""
    os.chown(path, plan.AGENT_UID, plan.AGENT_UID)
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            os.chown(os.path.join(folder, name), plan.AGENT_UID, plan.AGENT_UID, follow_symlinks=False)


class Appliance:
    """The agent with its state and configuration, in a session."""

    def __init__(self, session, state=None, folder=None, reserve="1 MiB"):
        self.session, self.folder = session, folder or session.disk / "appliance"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "stick").mkdir(exist_ok=True)
        self.config = self.folder / "agent.toml"
        self.configure(f'reserve = "{reserve}"\n')
        if state:
            shutil.copytree(state, self.folder / "state", symlinks=True)
        own(self.folder)
        self.socket, self.number = self.folder / "agent.sock", None

    def configure(self, more=""):
        where = self.folder
        self.config.write_text(f'state = "{where}/state"\nstick = "{where}/stick"\nenforcement = "process-only"\n{more}'
                               f'[local.admin]\nsocket = "{where}/agent.sock"\n')

    def agent(self, *arguments, env=None):
        program = self.session.place.program("casemate-agent")
        return self.session.run([program, "--config", self.config, *arguments], env)

    def works(self, *arguments, env=None):
        status, said = self.agent(*arguments, env=env)
        assert status == 0, f"casemate-agent {' '.join(map(str, arguments))}: exit {status}: {said}"
        return said

    def refuses(self, code, *arguments):
        status, said = self.agent(*arguments)
        assert status != 0 and code in said, f"casemate-agent {' '.join(map(str, arguments))}: expected {code}: {said}"

    def start(self, env=None):
        program = self.session.place.program("casemate-agent")
        self.socket.unlink(missing_ok=True)
        self.number = self.session.start([program, "--config", self.config, "run"], env)
        deadline = time.monotonic() + 30
        while not answers(self.socket):
            assert time.monotonic() < deadline, f"the agent does not answer: {self.session.said(self.number)}"
            time.sleep(0.02)

    def stop(self, how=signal.SIGTERM):
        return self.session.kill(self.number, how)

    def current(self, path):
        return (self.folder / f"state/current/groups/{GROUP}" / path).read_text()


def answers(path):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
