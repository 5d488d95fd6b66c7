"""docs/verify/read_bundle.py, written from docs/format.md alone, reads golden bundles and refuses what was done to them."""
import hashlib
import importlib.util
import pathlib
import subprocess
import sys

import pytest

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


def conditions(**manifest):
    spec = importlib.util.spec_from_file_location("read_bundle", TOP / "docs/verify/read_bundle.py")
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
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
