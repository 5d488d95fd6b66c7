"""What scenarios are made of: an operator's site with its bundles, and an enrolled appliance to copy."""
import hashlib
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
PERSONS = ("--person", "anna", "--person", "bob")
RESTART = 75   # the agent's exit status where it has itself started anew
PATIENCE = 45  # seconds


class Operator:
    """The control plane's tool with its site, run under the eyes of a session like everything else."""

    def __init__(self, session):
        self.session, self.folder = session, session.disk

    def casemate(self, *arguments):
        status, said = self.session.run([self.session.place.program("casemate"), *arguments])
        assert status == 0, f"casemate {' '.join(map(str, arguments))}: exit {status}: {said}"
        return said

    def refuses(self, *arguments):
        status, said = self.session.run([self.session.place.program("casemate"), *arguments])
        assert status not in (0, 101), f"casemate {' '.join(map(str, arguments))}: exit {status}: {said}"

    def found(self):
        (self.folder / "envelope.toml").write_text('networks = ["10.20.0.0/16"]\n')
        self.casemate("init", "site", "--jurisdiction", "LU", *PERSONS, "--envelope", "envelope.toml")

    def assign(self, appliance, boundary):
        inventory = self.folder / "site/appliances.csv"
        lines = [line.rstrip(",") + f",{boundary}" if line.startswith(f"{appliance},") else line
                 for line in inventory.read_text().splitlines()]
        inventory.write_text("\n".join(lines) + "\n")

    def bound(self, name, more="", **peers):
        """The boundary of that name: peers by id, each with its address and whether it is required."""
        blocks = [f'[[peer]]\nid = "{peer}"\nprotocol = "https"\naddress = "{address}"\nport = {port}\n'
                  f'pin = "{hashlib.sha256(peer.encode()).hexdigest()}"\npurpose = "repository"\n'
                  f'required = {str(required).lower()}\n' for peer, ((address, port), required) in peers.items()]
        file = self.folder / f"site/boundary/{name}.toml"
        file.write_text("\n".join([*blocks, more, f'[link]\ngateways = ["{plan.GATEWAY}"]\n']))
        own(file.parent)

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
        """Plans, has two persons sign one after the other, checks and packs; gives the folder that stands for the stick."""
        self.casemate("plan")
        self.casemate("sign", "request", "-o", f"{name}.request")
        for person in PERSONS[1::2]:
            self.casemate("sign", "add", f"{name}.request", "--key", f"site-keys/{person}.key", "-o", f"{name}.{person}")
        self.casemate("sign", "finish", *(f"{name}.{person}" for person in PERSONS[1::2]))
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
        self.config.write_text(f'state = "{state}"\nenforcement = "host"\n[boundary]\nrun = "{folder}/run"\n'
                               f'site = "{folder}/narrowing.json"\n')

    def command(self, *arguments):
        return [self.place.program("casemate-agent"), "--config", self.config, "boundary", *map(str, arguments), "--kept",
                self.folder / "kept"]

    def deny_all(self, network):
        """Before anything is signed. Nothing of it is traced: it is done before a run begins."""
        network.inside("appliance", *self.command("enforce", "--deny-all"))

    def pin(self, session, grant, words):
        status, said = session.run(self.command("pin", grant, "--words", words), user=0)
        assert status == 0, said

    def enforce(self, session):
        """As the path unit does where the agent has handed something over."""
        status, said = session.run(self.command("enforce"), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, user=0)
        assert status == 0, said
        session.network.filtered = lambda network: network.inside("appliance", *self.command("enforce"))


def own(path):
    """Gives a tree to the agent's user."""
    os.chown(path, plan.AGENT_UID, plan.AGENT_UID)
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            os.chown(os.path.join(folder, name), plan.AGENT_UID, plan.AGENT_UID, follow_symlinks=False)


class Appliance:
    """The agent with its state and configuration, in a session."""

    def __init__(self, session, state=None, folder=None, reserve="1 MiB", enforcer=None):
        self.session, self.folder = session, folder or session.disk / "appliance"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "stick").mkdir(exist_ok=True)
        self.config, self.enforcer, self.env = self.folder / "agent.toml", enforcer, None
        self.configure(f'reserve = "{reserve}"\n')
        if state:
            shutil.copytree(state, self.folder / "state", symlinks=True)
        own(self.folder)
        self.socket, self.number = self.folder / "agent.sock", None

    def configure(self, more=""):
        where = self.folder
        enforcement = '"process-only"'
        if self.enforcer:
            enforcement = '"host"'
            more += f'[boundary]\nrun = "{self.enforcer.folder}/run"\nsite = "{self.enforcer.folder}/narrowing.json"\n'
        self.config.write_text(f'state = "{where}/state"\nstick = "{where}/stick"\nenforcement = {enforcement}\n{more}'
                               f'[local.admin]\nsocket = "{where}/agent.sock"\n')

    def agent(self, *arguments, env=None):
        """Runs a command to its end. Meanwhile the daemon, if there is one, is started anew as its unit would."""
        program = self.session.place.program("casemate-agent")
        number = self.session.start([program, "--config", self.config, *arguments], env)
        deadline = time.monotonic() + PATIENCE
        while (status := self.session.poll(number)) is None:
            assert time.monotonic() < deadline, f"casemate-agent {' '.join(map(str, arguments))}: takes too long"
            self.renew()
            time.sleep(0.02)
        return status, self.session.said(number)

    def works(self, *arguments, env=None):
        status, said = self.agent(*arguments, env=env)
        assert status == 0, f"casemate-agent {' '.join(map(str, arguments))}: exit {status}: {said}"
        return said

    def refuses(self, code, *arguments):
        status, said = self.agent(*arguments)
        assert status != 0 and code in said, f"casemate-agent {' '.join(map(str, arguments))}: expected {code}: {said}"

    def asks(self, *arguments):
        """What a command answers as JSON."""
        said = self.works("--json", *arguments)
        return json.loads(said[said.index("{"):])

    def begin(self):
        program = self.session.place.program("casemate-agent")
        self.number = self.session.start([program, "--config", self.config, "run"], self.env)

    def renew(self):
        """Does what the service manager does where the daemon has ended for a new process: the enforcer first."""
        if self.number is not None and (status := self.session.poll(self.number)) is not None:
            # A command may own the state for a moment: the unit would start the agent again then, too.
            said = self.session.said(self.number)
            assert status == RESTART or "(state-busy)" in said, f"the agent ended with {status}: {said}"
            if self.enforcer:
                self.enforcer.enforce(self.session)
            self.begin()

    def start(self, env=None):
        self.env = env
        self.socket.unlink(missing_ok=True)
        self.begin()
        self.answers()

    def answers(self):
        """Waits until the daemon takes calls."""
        deadline = time.monotonic() + PATIENCE
        while not answers(self.socket):
            assert time.monotonic() < deadline, f"the agent does not answer: {self.session.said(self.number)}"
            self.renew()
            time.sleep(0.02)

    def stop(self, how=signal.SIGTERM):
        self.renew()
        number, self.number = self.number, None
        return self.session.kill(number, how)

    def current(self, path):
        return (self.folder / f"state/current/groups/{GROUP}" / path).read_text()


def answers(path):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
