"""The scenarios with transports: an appliance between a real nginx, a real Mosquitto and curl, and what may become of them.

Each goes on where the one before left the appliance. What the servers are made of is in depot.py.
"""
import dataclasses
import pathlib
import shutil
import subprocess
import time

import plan
from depot import Depot
from kit import GROUP, PATIENCE, Appliance, Operator
from scenarios import BOUNDED, Scenario, bounded, in_force, only, until

LISTENER = 9443
PEER = ('[[peer]]\nid = "{id}"\nprotocol = "{protocol}"\naddress = "{place[0]}"\nport = {place[1]}\npin = "{pin}"\n'
        'purpose = "{id}"\nrequired = false\n')


@dataclasses.dataclass
class Kit:
    """What these scenarios find ready: set by the first."""
    state: pathlib.Path = None       # of an enrolled appliance with a first bundle and no boundary
    site: pathlib.Path = None        # where the site, its certificates and the repository's tree are
    linked: pathlib.Path = None      # sticks: the boundary and the appliance's certificate; then one notice each
    pulled: pathlib.Path = None
    pushed: pathlib.Path = None
    grant: pathlib.Path = None
    words: str = ""
    pins: dict = dataclasses.field(default_factory=dict)
    bounded: dict = dataclasses.field(default_factory=dict)  # the disk the last scenario left, by network


def site(session, kit):
    """Authority, certificates, a boundary with a repository, a broker and a listener, and three bundles to come."""
    operator, appliance = Operator(session), Appliance(session)
    operator.found()
    operator.write("A notice", {"notice": "welcome\n"})
    appliance.works("enrol", "request", "-o", "lux-001.req")
    operator.casemate("appliance", "enrol", "lux-001.req", "--group", GROUP)
    kit.words, kit.grant, kit.site = operator.words("lux-001"), session.disk / "lux-001.grant", session.disk
    appliance.works("enrol", "accept", kit.grant, "--words", kit.words)
    operator.casemate("appliance", "confirm", "lux-001", "--words", kit.words)
    appliance.works("import", operator.bundle("first"))
    kit.state = appliance.folder / "state"
    operator.casemate("ca", "init")
    for name, (address, _) in {"repository": plan.CONTROL, "broker": plan.BROKER}.items():
        operator.casemate("ca", "issue", "service", name, "--key-out", f"{name}.key", "--address", address)
        shutil.copy(session.disk / f"site/ca/certificates/service/{name}.pem", session.disk)
        kit.pins[name] = operator.casemate("ca", "pin", f"site/ca/certificates/service/{name}.pem").split()[-1]
    operator.casemate("ca", "issue", "publisher", "publisher-1", "--key-out", "publisher.key")
    operator.casemate("ca", "issue", "appliance", "lux-001")
    for name in ("authority.pem", "crl.pem", "certificates/publisher/publisher-1.pem"):
        shutil.copy(session.disk / "site/ca" / name, session.disk)
    with open(session.disk / "site/site.toml", "a") as settings:
        settings.write('\n[transport]\npoll = "10s"\n')
    (session.disk / "site/boundary/clinics.toml").write_text("".join([
        PEER.format(id="repository", protocol="https", place=plan.CONTROL, pin=kit.pins["repository"]),
        PEER.format(id="broker", protocol="mqtts", place=plan.BROKER, pin=kit.pins["broker"]),
        f'[listen]\nport = {LISTENER}\nfrom = ["{plan.PUBLISHER}/32"]\n[link]\ngateways = ["{plan.GATEWAY}"]\n']))
    operator.assign("lux-001", "clinics")
    kit.linked = operator.bundle("linked")
    operator.write("By pull", {"notice": "by pull\n"})
    kit.pulled = operator.bundle("pulled")
    operator.casemate("pack", "--dir", "tree")
    operator.write("By push", {"notice": "by push\n"})
    kit.pushed = operator.bundle("pushed")
    # The last state of the site is what the broker gets; what is revoked is so in a copy of it.
    operator.write("By broker", {"notice": "by broker\n"})
    operator.bundle("brokered")
    shutil.copytree(session.disk / "site", session.disk / "later", copy_function=copied)
    shutil.chown(session.disk / "later", plan.AGENT_UID, plan.AGENT_UID)
    operator.casemate("--site", "later", "ca", "revoke", "appliance", "lux-001", "--keys", "site-keys")


def copied(theirs, ours):
    """A copy that belongs to the agent's user, with the folder it is in."""
    shutil.copy2(theirs, ours)
    for path in (ours, pathlib.Path(ours).parent):
        shutil.chown(path, plan.AGENT_UID, plan.AGENT_UID)


def connected(session, kit):
    """The appliance as the scenario before left it, running."""
    appliance = bounded(session, kit, kit.bounded[session.network.name])
    kit.bounded[session.network.name] = session.disk
    appliance.start()
    return appliance


def wait(appliance, what, look):
    """What `look` answers once that is something; meanwhile the daemon is started anew where its unit would."""
    def seen():
        appliance.renew()
        return look()
    return until(what, seen)


def arrives(appliance, notice):
    wait(appliance, notice, lambda: appliance.current("notice") == f"{notice}\n")


def connections(session, place):
    """The ends of established connections that somebody has at that place in the country."""
    listed = session.network.inside("country", "ss", "-Htn", "state", "established", f"src {place[0]}:{place[1]}")
    return [line.split()[-1] for line in listed.splitlines()]


def pull(session, kit):
    """The boundary comes by stick; then a bundle from a real nginx, while broker and listener are there as well."""
    with Depot(session, kit.site) as depot:
        depot.repository()
        depot.broker()
        appliance = bounded(session, kit)
        kit.bounded[session.network.name] = session.disk
        appliance.start()
        appliance.agent("import", "--no-wait", only(kit.linked))
        peers, report = in_force(appliance, 1)
        assert peers == ["broker", "repository"], report
        arrives(appliance, "by pull")
        wait(appliance, "the broker", lambda: connections(session, plan.BROKER))
        assert appliance.stop() == 0


def push(session, kit):
    """A bundle handed in by curl at the appliance's own listener; then the one before it, and a torn one: refused."""
    with Depot(session, kit.site) as depot:
        depot.repository()
        depot.broker()
        appliance = connected(session, kit)
        held = wait(appliance, "the broker", lambda: connections(session, plan.BROKER))
        wait(appliance, "the listener", lambda: curl(session, kit, only(kit.pushed))[0] == 0)
        arrives(appliance, "by push")
        _, said = curl(session, kit, only(kit.pulled))
        assert "metadata-rollback" in said, said
        torn = depot.folder / "torn.casemate"
        torn.write_bytes(only(kit.pushed).read_bytes()[:4000])
        _, said = curl(session, kit, torn)
        assert '"code"' in said and '"applied"' not in said, said
        assert appliance.current("notice") == "by push\n"
        now = connections(session, plan.BROKER)
        assert now == held, f"a bundle without other certificates cut the broker off: {held}, then {now}"
        assert appliance.stop() == 0


def curl(session, kit, bundle):
    """The publisher's: its status, and what the appliance said."""
    site = kit.site
    done = subprocess.run(session.network.argv(
        "country", "curl", "--silent", "--show-error", "--max-time", 30, "--interface", plan.PUBLISHER, "--connect-to",
        f"::{plan.APPLIANCE}:{LISTENER}", "--cacert", site / "authority.pem", "--cert", site / "publisher-1.pem", "--key",
        site / "publisher.key", "-H", "Content-Type: application/vnd.casemate.bundle", "--data-binary", f"@{bundle}",
        "https://lux-001/v1/bundles"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def broker(session, kit):
    """The broker is killed and comes back; the appliance as well; a bundle left there meanwhile arrives."""
    with Depot(session, kit.site) as depot:
        depot.broker()
        appliance = connected(session, kit)
        wait(appliance, "the broker", lambda: connections(session, plan.BROKER))
        depot.die("mosquitto")
        wait(appliance, "that it is noticed", lambda: "broker" in session.said(appliance.number))
        depot.broker()
        program = session.place.program("casemate")
        done = subprocess.run(session.network.argv(
            "country", program, "--site", kit.site / "site", "pack", "--mqtt", "%s:%d" % plan.BROKER, "--to", "group", GROUP,
            "--certificate", kit.site / "publisher-1.pem", "--key", kit.site / "publisher.key", "--pin", kit.pins["broker"]),
            cwd=depot.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        arrives(appliance, "by broker")
        assert appliance.stop() == 0


def revoked(session, kit):
    """The appliance's own certificate is revoked: web server and broker turn it away, again and again."""
    with Depot(session, kit.site) as depot:
        depot.repository("later/ca/crl.pem")
        depot.broker("later/ca/crl.pem")
        appliance = connected(session, kit)
        wait(appliance, "two refusals by nginx", lambda: depot.said("asked").count('" 400 ') >= 2)
        wait(appliance, "two refusals by Mosquitto", lambda: depot.said("broker").count("certificate revoked") >= 2
             or depot.said("broker").count("certificate verify failed") >= 2)
        appliance.works("health")
        assert appliance.stop() == 0


def hostile(session, kit):
    """Repository and broker are an attacker's with their keys: redirects, Alt-Svc and Link; server moved, Server Reference."""
    with Depot(session, kit.site) as depot:
        depot.hostile()
        appliance = connected(session, kit)
        for answer in ("redirect", "server-moved"):
            wait(appliance, f"two times {answer}", lambda answer=answer: depot.said("answered").count(answer) >= 2)
        said = wait(appliance, "that it says so", lambda: (said := session.said(appliance.number)).count("redirect-ignored")
                    >= 2 and said)
        assert all(f"peer={peer}" in said for peer in ("repository", "broker")), said
        assert appliance.current("notice") == "by broker\n"
        assert appliance.stop() == 0


TALKING = plan.Policy(peers=frozenset([plan.CONTROL, plan.BROKER]), listens=frozenset([LISTENER]),
                      callers=frozenset([plan.PUBLISHER]), **BOUNDED)
# The first is played once, the others in each network.
SCENARIOS = [Scenario("transports-site", site)] + [
    Scenario(f"transport-{play.__name__}", play, TALKING) for play in (pull, push, broker, revoked, hostile)]
