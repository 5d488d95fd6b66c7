"""docs/verify/read_bundle.py, written from docs/format.md alone, reads golden bundles and refuses what was done to them."""
import hashlib
import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from conftest import Site

TOP = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = TOP / "tests/vectors/golden-v1"
AT = "2026-03-02T00:00:00Z"


def read(bundle, *more, at=AT):
    return subprocess.run(
        [sys.executable, TOP / "docs/verify/read_bundle.py", bundle, "--root", GOLDEN / "1.root.json", "--at", at, *more],
        capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["sample.casemate", "presumes.casemate"])
def test_a_golden_bundle_is_read_and_every_object_is_named(name):
    result = read(GOLDEN / name)
    assert result.returncode == 0, result.stderr
    assert "addressed: lux-001: group.clinics" in result.stdout
    assert "addressed: lux-002" in result.stdout
    assert "groups/labs/files/nftables/rules.nft" in result.stdout


def test_a_bundle_with_conditions_is_read_and_says_them_in_words():
    result = read(GOLDEN / "gated.casemate")
    assert result.returncode == 0, result.stderr
    asked = "in the window Mon,Wed 22:00-02:00, follower, synapse ready, 5 probes held 15 s, within 120 s"
    assert f"addressed: lux-001: group.clinics version 3: 2 files, {asked}\n" in result.stdout
    assert "group.labs version 1: 2 files, at once" in result.stdout


def load():
    spec = importlib.util.spec_from_file_location("read_bundle", TOP / "docs/verify/read_bundle.py")
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    return reader


def conditions(**manifest):
    reader = load()
    try:
        return reader.conditions("manifest", {"files": [], **manifest})
    except reader.Refused as refused:
        return f"refused: {refused}"


def test_conditions_are_read_as_strictly_as_the_format_says():
    def apply(**apply):
        return conditions(apply=apply)

    probes = [{"tcp": "[::1]:80"}]
    assert apply(deadline="6s", probes=probes) == "1 probes held 3 s, within 6 s"
    assert conditions(consumers={"a": {}}) == "at once"
    for refused in [
        apply(more=1), apply(window="Someday"), apply(window="Sun 02:00-02:00"), apply(window="Sun,Sun 01:00-02:00"),
        apply(deadline="1s"), apply(deadline="25h"), apply(deadline="10s", hold="10s", probes=probes),
        apply(confirm=["control-plane"]), apply(confirm=["consumers"]), apply(probes=[{"http": "http://10.0.0.1/"}]),
        apply(probes=[{"http": "http://localhost/"}]), apply(probes=[{"tcp": "127.0.0.1:0"}]), apply(probes=[{}]),
        apply(probes=[{"unix": "/run/../x"}]), apply(probes=[{"unit": "a; b.service"}]), apply(probes=probes * 17),
        conditions(consumers={"a": {"ready": "http://[::ffff:127.0.0.1]/"}}), conditions(consumers={"a": {"verb": "x"}}),
        conditions(files=[{"consumer": "nobody"}]),
    ]:
        assert refused.startswith("refused: "), refused


def shown(name):
    """The bytes of a document as docs/format.md shows them."""
    page = (TOP / "docs/format.md").read_text()
    return page.split(f"```json {name}.json\n", 1)[1].split("```", 1)[0].encode()


def test_a_golden_bundle_with_a_boundary_is_read_and_only_the_appliance_in_it_has_one():
    golden = TOP / "tests/vectors/boundary-v1"
    result = read(golden / "clinics.casemate", "--root", golden / "1.root.json")
    assert result.returncode == 0, result.stderr
    assert "; boundary clinics version 1: 4 entries, observed until 2026-12-01T00:00:00Z\n" in result.stdout
    assert "addressed: lux-002: group.clinics version 1: 1 files, at once\n" in result.stdout


def test_a_bundle_with_a_boundary_is_read_and_what_it_allows_is_counted(tmp_path):
    (tmp_path / "envelope.toml").write_text('networks = ["10.20.0.0/16"]\npins = ["' + "5e" * 32 + '"]\nobserve = true\n')
    site = Site(tmp_path, "--envelope", "envelope.toml")
    inventory = tmp_path / "site/appliances.csv"
    inventory.write_text(inventory.read_text().replace("lux-001,,clinics,", "lux-001,,clinics,clinics"))
    boundary = json.loads(shown("clinics"))["allow"]["flows"][1]
    (tmp_path / "site/boundary/clinics.toml").write_text(
        'observe_until = "2999-01-01T00:00:00Z"\n[[flow]]\n'
        + "".join(f"{ {'network': 'to'}.get(key, key)} = {json.dumps(value)}\n" for key, value in boundary.items())
        + '[link]\ngateways = ["10.20.0.1"]\n')
    site.publish()
    bundle = site.tool("pack", "--bundle", "out").strip()
    root = tmp_path / "site/repository/metadata/1.root.json"
    result = subprocess.run([sys.executable, TOP / "docs/verify/read_bundle.py", tmp_path / bundle, "--root", root],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "boundary/envelope.json" in result.stdout and "boundary/clinics.json" in result.stdout
    assert "; boundary clinics version 1: 3 entries, observed until 2999-01-01T00:00:00Z\n" in result.stdout


def test_boundary_documents_are_read_as_strictly_as_the_format_says():
    reader, envelope = load(), shown("envelope")
    profile = {"envelope": hashlib.sha256(envelope).hexdigest(), "jurisdiction": "LU"}

    def judged(profile=profile, envelope=envelope, **change):
        document = json.loads(shown("clinics"))
        for path, value in change.items():
            *above, last = path.split("__")
            place = document["allow"]
            for step in above:
                place = place[int(step) if step.isdigit() else step]
            place[last] = value
        try:
            reader.boundary(profile, "clinics", envelope, json.dumps(document).encode())
        except reader.Refused as refused:
            return f"refused: {refused}"
        return "allowed"

    assert judged() == "allowed"
    assert judged(observe_until="2026-12-02T00:00:00Z", peers__0__port=1, flows__1__ports="1-65535") == "allowed"
    for refused in [
        judged(profile={**profile, "envelope": "0" * 64}), judged(profile={"jurisdiction": "LU"}), judged(envelope=None),
        judged(profile={**profile, "jurisdiction": "RS"}), judged(envelope=envelope.replace(b"/16", b"/15")),
        judged(more=1), judged(link__dhcp=True), judged(link__gateways=["10.21.0.1"]), judged(observe_until="soon"),
        judged(peers__0__address="10.21.0.5"), judged(peers__0__address="10.20.0.0/24"), judged(peers__0__port=0),
        judged(peers__0__address="control.example"), judged(peers__0__pins={"current": "0" * 64}),
        judged(peers__0__purpose="chat"), judged(peers__0__protocol="http"), judged(flows__0__direction="forward"),
        judged(flows__0__network="10.0.0.0/8"), judged(flows__0__network="10.20.0.1/24"), judged(flows__0__ports="9-8"),
        judged(flows__0__network="127.0.0.1"), judged(flows__0__protocol="echo"), judged(flows__0__ports="080"),
        judged(flows__0__owner="north"), judged(flows__0__more=1),
    ]:
        assert refused.startswith("refused: "), refused


def test_a_network_is_one_that_leaves_the_machine_and_never_half_of_everything():
    reader = load()
    assert [str(reader.network("x", text)) for text in ("10.20.0.5", "fd00:1::/32")] == ["10.20.0.5/32", "fd00:1::/32"]
    for text in ["0.0.0.0/0", "128.0.0.0/1", "64.0.0.0/2", "8000::/1", "::ffff:10.0.0.1", "10.0.0.1/8", "10.0.0.0/08",
                 "10.0.0.0/255.0.0.0", "fe80::1%eth0", "control.example", ""]:
        with pytest.raises(reader.Refused):
            reader.network("x", text)


def test_a_tenant_leaves_less_of_its_flows_and_never_more():
    reader, flows = load(), json.loads(shown("clinics"))["allow"]["flows"]

    def narrowed(**change):
        document = {"format": 1, "flows": [{**flows[0], **change}]}
        try:
            return len(reader.narrowed("tenant.north", json.dumps(document).encode(), flows))
        except reader.Refused as refused:
            return f"refused: {refused}"

    assert narrowed() == narrowed(network="10.20.3.0/24") == 1
    for refused in [narrowed(network="10.0.0.0/8"), narrowed(ports="443-444"), narrowed(direction="out"),
                    narrowed(protocol="udp"), narrowed(network="10.20.1.0/24", ports="8448")]:
        assert refused.startswith("refused: "), refused


def members(data):
    """[(name, start, end)] of an archive, and where the end mark starts."""
    found, at = [], 0
    while any(data[at:at + 512]):
        size = int(data[at + 124:at + 135], 8)
        end = at + 512 + -(-size // 512) * 512
        found.append((data[at:at + 100].rstrip(b"\0").decode(), at, end))
        at = end
    return found, at


def with_checksum(header):
    return header[:148] + b"%06o\0 " % sum(header[:148] + b" " * 8 + header[156:]) + header[156:]


def flip_content(data):
    found, _ = members(data)
    start = found[-1][1] + 512
    return data[:start] + bytes([data[start] ^ 1]) + data[start + 1:]


def flip_metadata(data):
    found, _ = members(data)
    _, start, end = next(member for member in found if ".snapshot." in member[0])
    return data[:start] + data[start:end].replace(b'"version":1', b'"version":2', 1) + data[end:]


def swap_members(data):
    found, end = members(data)
    (_, a, b), (_, _, c) = found[-2], found[-1]
    return data[:a] + data[b:c] + data[a:b] + data[end:]


def add_member(data):
    _, end = members(data)
    content = b"stray"
    name = f"objects/{hashlib.sha256(content).hexdigest()}".encode().ljust(100, b"\0")
    header = with_checksum(name + data[100:124] + b"%011o\0" % len(content) + data[136:512])
    return data[:end] + header + content.ljust(512, b"\0") + data[end:]


def leave_out(data):
    found, _ = members(data)
    _, start, end = found[-1]
    return data[:start] + data[end:]


def link(data):
    found, _ = members(data)
    start = found[-1][1]
    header = data[start:start + 156] + b"2" + data[start + 157:start + 512]
    return data[:start] + with_checksum(header) + data[start + 512:]


TAMPERED = {
    "content": (flip_content, "hashes to"),
    "metadata": (flip_metadata, "needed keys and persons have signed"),
    "order": (swap_members, "out of order"),
    "unlisted": (add_member, "nothing signed lists it"),
    "missing": (leave_out, "is missing"),
    "link": (link, "only one it can have"),
    "truncated": (lambda data: data[:-700], "the file ends"),
    "trailing": (lambda data: data + b"\0", "the file goes on"),
    "twice": (lambda data: data[:-1024] + data, "out of order"),
}


@pytest.mark.parametrize("fault", TAMPERED)
def test_a_tampered_bundle_is_refused_and_the_reason_is_told(fault, tmp_path):
    change, reason = TAMPERED[fault]
    bundle = tmp_path / "tampered.casemate"
    bundle.write_bytes(change((GOLDEN / "sample.casemate").read_bytes()))
    result = read(bundle)
    assert result.returncode == 1, result.stdout
    assert reason in result.stderr


def test_a_bundle_for_others_and_an_expired_one_are_refused():
    assert "not addressed" in read(GOLDEN / "sample.casemate", "--appliance", "lux-009").stderr
    assert "expired" in read(GOLDEN / "sample.casemate", at="2026-09-01T00:00:00Z").stderr
