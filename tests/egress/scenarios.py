"""The scenarios: what an appliance lives through while it is listened to. Each is one line of the list at the end.

A scenario is a function of a session and the kit; what it asserts is that the agent did what it does in life, so that
silence is not that of a program that did nothing. What left the appliance is the verdict's affair.
"""
import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing

import plan
from kit import GROUP, HOST, PATIENCE, URL, Appliance, Enforcer, Operator

HERE = pathlib.Path(__file__).resolve().parent
LOCAL_PORT = 18008


@dataclasses.dataclass
class Kit:
    """What scenarios find ready: set by the first."""
    state: pathlib.Path = None          # of an enrolled appliance that has imported the first bundle
    first: pathlib.Path = None          # sticks
    urls: pathlib.Path = None
    probed: pathlib.Path = None         # sticks whose generations are on trial
    redirected: pathlib.Path = None
    wide: pathlib.Path = None           # sticks with boundaries: two peers, then one, then one that nobody is at
    narrow: pathlib.Path = None
    vain: pathlib.Path = None
    grant: pathlib.Path = None
    words: str = ""
    bounded: dict = dataclasses.field(default_factory=dict)  # disks under the first of these, by network
    idle: float = 15                    # seconds


def operator(session, kit):
    """Site, enrolment, plan, sign, check and pack by the control plane's tool; the appliance is enrolled and fed."""
    operator, appliance = Operator(session), Appliance(session)
    operator.found()
    operator.write("A notice", {"notice": "welcome\n"})
    appliance.works("enrol", "request", "-o", "lux-001.req")
    operator.casemate("appliance", "enrol", "lux-001.req", "--group", GROUP)
    words = operator.words("lux-001")
    appliance.works("enrol", "accept", "lux-001.grant", "--words", words)
    operator.casemate("appliance", "confirm", "lux-001", "--words", words)
    kit.first = operator.bundle("first")
    appliance.works("import", kit.first)
    assert appliance.current("notice") == "welcome\n"
    kit.state = appliance.folder / "state"
    operator.write(f"{URL} https://{HOST}/ mqtt://{plan.OUTSIDE}:1883", urls_everywhere(), consumers_everywhere())
    kit.urls = operator.bundle("urls")
    trial = '[apply]\nhold = "1s"\ndeadline = "8s"\n[[probe]]\nhttp = "http://127.0.0.1:%d/%s"\n'
    operator.write("On trial", {"notice": "on trial\n"}, trial % (LOCAL_PORT, "health"))
    kit.probed = operator.bundle("probed")
    operator.write("On trial", {"notice": "redirected\n"}, trial % (LOCAL_PORT, "redirect"))
    kit.redirected = operator.bundle("redirected")
    for foreign in (f'http = "{URL}"', f'http = "http://{HOST}/"', f'tcp = "{plan.OUTSIDE}:443"'):
        operator.write("Foreign", {"notice": "foreign\n"}, f"[[probe]]\n{foreign}\n")
        operator.refuses("plan")
    kit.grant, kit.words = session.disk / "lux-001.grant", words
    operator.write("Bounded", {"notice": "bounded\n"})
    operator.assign("lux-001", "clinics")
    for foreign in (plan.OUTSIDE, HOST):
        operator.bound("clinics", foreign=((foreign, 443), False))
        operator.refuses("plan")
    # A flow is for workloads: the agent does nothing with it, whatever it is called.
    flow = ('[[flow]]\npurpose = "%s"\ndirection = "out"\nprotocol = "tcp"\nto = "10.20.7.0/24"\nports = "443"\n'
            % f"https-{HOST}".replace(".", "-"))
    operator.bound("clinics", flow, control=(plan.CONTROL, True), broker=(plan.BROKER, False))
    kit.wide = operator.bundle("wide")
    operator.bound("clinics", control=(plan.CONTROL, True))
    kit.narrow = operator.bundle("narrow")
    operator.bound("clinics", control=(plan.CONTROL, False), absent=(plan.ABSENT, True))
    kit.vain = operator.bundle("vain")


def urls_everywhere():
    """Files whose paths and contents are addresses, in the formats that parsers like to follow."""
    followed = {"page.html": f'<img src="{URL}"><link rel="prefetch" href="//{HOST}/">',
                "schema.xml": f'<!DOCTYPE x [<!ENTITY e SYSTEM "{URL}">]><x xmlns="http://{HOST}/">&e;</x>',
                "schema.json": f'{{"$schema": "{URL}", "$ref": "https://{HOST}/x.json"}}',
                "pip.conf": f"[global]\nindex-url = {URL}\n", "proxy.env": f"HTTPS_PROXY={URL}\n",
                ".gitmodules": f'[submodule "x"]\n\turl = {URL}\n', "resolv.conf": f"nameserver {plan.RESOLVER}\n",
                f"{HOST}/{plan.OUTSIDE}": URL, f"http/{HOST}@443": URL}
    return followed


def consumers_everywhere():
    """Consumers that are called after machines, with a unit of such a name and a question to ask on this machine."""
    name = HOST.replace(".", "-")
    return (f'[consumer.{name}]\nunit = "{HOST}.service"\n'
            f'ready = "http://127.0.0.1:{LOCAL_PORT}/{HOST}/http:/{plan.OUTSIDE}/collect"\n'
            f'[consumer.https-{plan.OUTSIDE.replace(".", "-")}]\n')


def start(session, kit):
    """Started with an enrolled state, asked for its health, stopped."""
    appliance = Appliance(session, kit.state)
    appliance.start()
    appliance.works("status")
    appliance.works("health")
    assert appliance.stop() == 0


def idle(session, kit):
    """Running, with nothing to do."""
    appliance = Appliance(session, kit.state)
    appliance.start()
    time.sleep(kit.idle)
    assert appliance.stop() == 0


def urls(session, kit):
    """A bundle whose every text is an address: summary, paths, contents, the archive's and the stick's file names."""
    appliance = Appliance(session, kit.state)
    appliance.start()
    bundle = only(kit.urls)
    named = session.disk / f"http:__{plan.OUTSIDE}_collect?x={HOST}.casemate"
    shutil.copy(bundle, named)
    appliance.works("import", named)
    assert appliance.current("page.html").startswith("<img")
    stick = appliance.folder / "stick/in"
    stick.mkdir()
    shutil.copy(bundle, stick / f"https:{HOST}.casemate")
    (stick / "autorun.inf").write_text(f"[autorun]\nopen={URL}\n")
    appliance.works("import", appliance.folder / "stick")
    appliance.works("receipts", "list")
    assert appliance.stop() == 0


def refusal(session, kit):
    """Bundles that are cut, changed in their content and changed in what is signed: refused."""
    appliance = Appliance(session, kit.state)
    appliance.start()
    whole = only(kit.urls).read_bytes()
    for name, bad in {"cut": whole[:len(whole) // 2], "content": whole.replace(b"prefetch", b"preFetch"),
                      "signed": whole.replace(b'"signed_at":"20', b'"signed_at":"77'), "noise": bytes(range(256)) * 64,
                      "none": b""}.items():
        assert bad != whole
        place = session.disk / f"{name}.casemate"
        place.write_bytes(bad)
        status, said = appliance.agent("import", place)
        assert status not in (0, 101), f"{name}: exit {status}: {said}"
    assert appliance.current("notice") == "welcome\n"
    assert appliance.stop() == 0


def crash(session, kit):
    """Killed and aborted, in the middle of an import too, and started again each time."""
    appliance = Appliance(session, kit.state)
    for how in (signal.SIGKILL, signal.SIGABRT, signal.SIGTRAP):
        appliance.start()
        number = session.start([session.place.program("casemate-agent"), "--config", appliance.config, "import",
                                only(kit.urls)])
        appliance.stop(how)
        session.wait(number)
    appliance.start()
    appliance.works("import", only(kit.urls))
    assert appliance.current("page.html").startswith("<img")
    assert appliance.stop() == 0


def restart(session, kit):
    """Stopped and started five times, as by a service manager."""
    appliance = Appliance(session, kit.state)
    for _ in range(5):
        appliance.start()
        assert appliance.stop() == 0


def config_error(session, kit):
    """Configurations with unknown keys, addresses where none belong, and no configuration at all: refused."""
    appliance = Appliance(session, kit.state)
    for wrong in (f'proxy = "{URL}"\n', f'log = "{URL}"\n', "= broken\n"):
        appliance.configure(wrong)
        status, said = appliance.agent("run")
        assert status == 2, f"{wrong}: exit {status}: {said}"
    appliance.config.unlink()
    status, said = appliance.agent("run")
    assert status != 0, said


def full_disk(session, kit):
    """The disk fills up before an import; the agent reports and goes on, and starts again on the full disk."""
    folder = session.disk / "appliance"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "small", folder], check=True)
    appliance = Appliance(session, kit.state)
    appliance.start()
    with open(folder / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 16))
        except OSError:
            pass
    status, said = appliance.agent("import", only(kit.urls))
    assert status != 0, said
    appliance.stop()
    appliance.session.run([session.place.program("casemate-agent"), "--config", appliance.config, "health"])


def probes(session, kit):
    """Probes of a service on the machine: it answers, then it redirects elsewhere; the redirect counts as a failure."""
    appliance = Appliance(session, kit.state)
    appliance.start()
    service = subprocess.Popen(session.network.argv("appliance", sys.executable, HERE / "local_service.py", LOCAL_PORT),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert service.stdout.readline() == "answering\n"
    try:
        appliance.works("import", only(kit.probed))
        assert appliance.current("notice") == "on trial\n"
        appliance.refuses("probe-failed", "import", only(kit.redirected))
        assert appliance.current("notice") == "on trial\n"
    finally:
        service.stdin.close()
        service.wait()
    assert appliance.stop() == 0


def environment(session, kit):
    """Every variable that makes other programs talk is set: proxies, logs, key logs, exporters, resolver options."""
    keys = session.disk / "keys"
    proxy = f"http://{plan.OUTSIDE}:3128"
    env = {name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")}
    env |= {"NO_PROXY": "", "RUST_LOG": "trace", "SSLKEYLOGFILE": str(keys), "OTEL_EXPORTER_OTLP_ENDPOINT": URL,
            "SENTRY_DSN": f"http://x@{plan.OUTSIDE}/1", "RES_OPTIONS": "attempts:9", "LOCALDOMAIN": HOST,
            "RUST_BACKTRACE": "full", "DEBUGINFOD_URLS": URL, "MALLOC_TRACE": str(keys), "TMPDIR": str(session.disk)}
    appliance = Appliance(session, kit.state)
    appliance.start(env)
    appliance.works("import", only(kit.urls), env=env)
    appliance.works("health", env=env)
    talk = session.said(appliance.number)
    assert appliance.stop() == 0
    assert "TRACE" not in talk, "RUST_LOG had an effect"
    assert not keys.exists(), "a file named by the environment was written"


def preload(session, kit):
    """A library preloaded by the environment that reaches outside whenever the agent binds, locks or flushes."""
    library = session.disk / "preload.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, HERE / "preload.c"], check=True)
    env = {"LD_PRELOAD": str(library), "LD_LIBRARY_PATH": str(session.disk), "LD_AUDIT": str(library)}
    bind = [sys.executable, "-ISc", "import socket; socket.socket().bind(('127.0.0.1', 0))"]
    seen = subprocess.run(["unshare", "--net", "strace", "-e", "trace=connect", *bind], env=dict(list(env.items())[:1]),
                          stderr=subprocess.PIPE, text=True)
    assert "htons(3128)" in seen.stderr, "the library does not do its work"
    appliance = Appliance(session, kit.state)
    appliance.start(env)
    appliance.works("import", only(kit.urls))
    assert appliance.stop() == 0


def trust_store(session, kit):
    """Certificates, resolver and name service of the machine are an attacker's."""
    appliance = Appliance(session, kit.state)
    appliance.start()
    appliance.works("import", only(kit.urls))
    appliance.works("health")
    assert appliance.stop() == 0


def attackers_machine(disk):
    """What stands where the operating system's trust store and resolver configuration were: (theirs, ours) to mount."""
    folder = disk / "attacker"
    folder.mkdir(exist_ok=True)
    (folder / "resolv.conf").write_text(f"nameserver {plan.RESOLVER}\noptions attempts:3 timeout:1\nsearch {HOST}\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: dns\n")
    (folder / "hosts").write_text(f"{plan.OUTSIDE} localhost control {HOST}\n")
    certificates = folder / "ssl/certs"
    certificates.mkdir(parents=True, exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                    "-subj", f"/CN={HOST}", "-keyout", folder / "key", "-out", certificates / "ca-certificates.crt"],
                   check=True, stderr=subprocess.DEVNULL)
    return [(folder / "ssl", "/etc/ssl"), *((folder / name, f"/etc/{name}") for name in ("resolv.conf", "nsswitch.conf",
                                                                                      "hosts"))]


def only(stick):
    """The one bundle on a stick."""
    bundle, = (stick / "in").iterdir()
    return bundle


def bounded(session, kit, folder=None):
    """An appliance with its enforcer, where the network has one; as `folder` left them, or pinned just now."""
    enforcer = None
    if session.network.filtered:
        enforcer = Enforcer(session.place, enforcers(session.disk), session.disk / "appliance/state")
    appliance = Appliance(session, folder / "appliance/state" if folder else kit.state, enforcer=enforcer)
    if enforcer:
        if folder:
            shutil.copytree(enforcers(folder) / "kept", enforcer.folder / "kept", dirs_exist_ok=True)
        else:
            enforcer.pin(session, kit.grant, kit.words)
        enforcer.enforce(session)
    return appliance


def enforcers(disk):
    """The enforcer's folder beside an appliance's disk: nobody but root may be able to change what is above it."""
    return disk.parent / f"{disk.name}-enforcer"


def in_force(appliance, version):
    """The peers in force once that version of the boundary is there and no trial of it is under way."""
    deadline = time.monotonic() + PATIENCE
    while True:
        appliance.answers()
        status, said = appliance.agent("--json", "boundary", "show")
        report = json.loads(said[said.index("{"):]) if status == 0 else {}
        if report.get("signed", {}).get("version") == version and not report.get("trial"):
            return sorted(peer["id"] for peer in report["allow"]["peers"]), report
        assert time.monotonic() < deadline, said
        time.sleep(0.3)


def boundary_wider(session, kit):
    """The first boundary arrives by stick: two peers, one of which must be reached before it stays."""
    appliance = bounded(session, kit)
    appliance.start()
    appliance.agent("import", "--no-wait", only(kit.wide))
    peers, report = in_force(appliance, 1)
    assert peers == ["broker", "control"], report
    assert appliance.stop() == 0
    kit.bounded[session.network.name] = session.disk


def boundary_narrower(session, kit):
    """The next names one peer less: in force at once."""
    appliance = bounded(session, kit, kit.bounded[session.network.name])
    appliance.start()
    appliance.agent("import", "--no-wait", only(kit.narrow))
    peers, report = in_force(appliance, 2)
    assert peers == ["control"], report
    assert appliance.stop() == 0


def boundary_in_vain(session, kit):
    """A boundary whose required peer nobody is at: tried over three boots, then what both allow is in force."""
    appliance = bounded(session, kit, kit.bounded[session.network.name])
    appliance.start()
    appliance.agent("import", "--no-wait", only(kit.vain))
    deadline = time.monotonic() + PATIENCE
    while f'inet_addr("{plan.ABSENT[0]}")' not in (session.folder / "trace.txt").read_text(errors="replace"):
        assert time.monotonic() < deadline, "nobody was tried"
        appliance.renew()
        time.sleep(0.1)
    for boot in range(4):
        appliance.answers()
        appliance.stop()
        (session.disk / "boot_id").write_text(f"00000000-0000-4000-8000-00000000000{boot}\n")
        appliance.start()
    peers, report = in_force(appliance, 3)
    assert peers == ["control"] and report["narrowed_by"] == ["fallback"], report
    assert appliance.stop() == 0


def watch(session, kit):
    """Whoever tells on others: it reads what the kernel drops, here of a datagram that comes in, and writes a file."""
    folder = session.disk / "watch"
    folder.mkdir()
    config = folder / "agent.toml"
    config.write_text(f'[boundary]\nwatch = "{folder}"\n')
    number = session.start([session.place.program("casemate-agent"), "--config", config, "boundary", "watch"], user=0)
    until("the watcher", lambda: "watching" in session.said(number))
    if session.network.filtered:
        session.network.knock(LOCAL_PORT)
        rows = until("what was dropped", lambda: (folder / "drops.json").exists()
                     and json.loads((folder / "drops.json").read_text())["rows"])
        assert [(row["direction"], row["port"]) for row in rows] == [("in", LOCAL_PORT)], rows
    session.kill(number, signal.SIGTERM)


def until(what, look):
    """What `look` answers once that is something."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.05)
    return seen


def boots(disk):
    """A boot identity that the scenario changes."""
    identity = disk / "boot_id"
    identity.write_text("00000000-0000-4000-8000-0000000000ff\n")

    return [(identity, "/proc/sys/kernel/random/boot_id")]


# The enforcer starts nft, which speaks netlink to the machine's own kernel and asks its name service for users.
NFT = ("/usr/sbin/nft", plan.Policy(netlink=frozenset(["NETLINK_NETFILTER", "NETLINK_ROUTE"]), unix=("/var/run/nscd/",)))
BOUNDED = {"programs": NFT[:1], "tools": (NFT,), "gateways": frozenset([plan.GATEWAY])}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One line of the list."""
    name: str
    play: typing.Callable
    policy: plan.Policy = plan.NOTHING
    mounts: typing.Callable = lambda disk: ()

    @property
    def text(self):
        return self.play.__doc__.strip().rstrip(".")


SCENARIOS = [
    Scenario("operator", operator),
    Scenario("start", start),
    Scenario("urls", urls),
    Scenario("refusal", refusal),
    Scenario("crash", crash),
    Scenario("restart", restart),
    Scenario("config-error", config_error),
    Scenario("full-disk", full_disk),
    Scenario("probes", probes, plan.Policy(loopback=frozenset([LOCAL_PORT]))),
    Scenario("environment", environment),
    Scenario("preload", preload),
    Scenario("trust-store", trust_store, mounts=attackers_machine),
    Scenario("boundary-watch", watch, plan.Policy(netlink=frozenset(["NETLINK_NETFILTER", "NETLINK_SOCK_DIAG"]))),
    Scenario("boundary-wider", boundary_wider, plan.Policy(peers=frozenset([plan.CONTROL, plan.BROKER]), **BOUNDED)),
    Scenario("boundary-narrower", boundary_narrower, plan.Policy(peers=frozenset([plan.CONTROL]), **BOUNDED)),
    Scenario("boundary-in-vain", boundary_in_vain, plan.Policy(peers=frozenset([plan.CONTROL, plan.ABSENT]), **BOUNDED),
             mounts=boots),
]
# Played beside all others. The wire is connected after the recorder started, so that the kernel's own greetings count.
IDLE = Scenario("idle", idle)
