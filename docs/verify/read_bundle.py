#!/usr/bin/env python3
"""Reads and verifies a bundle, from docs/format.md alone: standard library and `cryptography`, nothing of Casemate.

    read_bundle.py BUNDLE --root ROOT.json [--appliance ID] [--at 2026-03-01T12:00:00Z]

Lists every member and says what signed metadata makes of it. ROOT is the root the reader trusts already. Exit code 0:
the bundle verifies and is whole for those it addresses; 1: it is refused, and the reason stands on stderr.
"""
import argparse
import datetime
import hashlib
import ipaddress
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

BLOCK = 512
MAX_PART = 64 << 20
NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
METADATA = re.compile(r"metadata/([1-9][0-9]{0,18})\.([a-z0-9_][a-z0-9._-]{0,127})\.json")
OBJECT = re.compile(r"objects/([0-9a-f]{64})")
OWNER = re.compile(rf"(group|tenant)\.({NAME})")
COMPONENT = re.compile(r"[A-Za-z0-9._@+][A-Za-z0-9._@+-]{0,254}")
DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
WINDOW = re.compile(rf"(?:({DAY}(?:,{DAY})*) )?({CLOCK})-({CLOCK})")
UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]*\.(service|socket|target|timer|path|mount)")
URL = re.compile(r"http://([0-9.]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?(/[!\"$-~]*)?")
BOUNDARY = re.compile(rf"boundary/[^/]+|tenants/{NAME}/boundary\.json")
PORTS = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?")
NETWORK = re.compile(r"[0-9A-Fa-f:.]+(?:/(?:0|[1-9][0-9]{0,2}))?")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
LEAVES_NO_MACHINE = [ipaddress.ip_network(text) for text in (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/128", "::1/128", "fe80::/10", "ff00::/8",
    "::ffff:0:0/96")]
MAX_DOCUMENT = 256 << 10
LIMITS = {"root": 512_000, "timestamp": 16 << 10, "snapshot": 4 << 20}


class Refused(Exception):
    """The bundle is not acceptable."""


def need(condition, reason):
    if not condition:
        raise Refused(reason)


# 1. JSON

def parse(raw):
    def pairs(items):
        keys = [key for key, _ in items]
        need(len(keys) == len(set(keys)), "a key stands twice in one object")
        return dict(items)

    def fraction(text):
        raise Refused(f"{text} is no integer")

    def depth(value, level=0):
        need(level <= 32, "nested too deeply")
        if isinstance(value, (dict, list)):
            for item in value.values() if isinstance(value, dict) else value:
                depth(item, level + 1)

    try:
        value = json.loads(raw.decode(), object_pairs_hook=pairs, parse_float=fraction, parse_constant=fraction)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from error
    depth(value)
    return value


def canonical(value):
    if isinstance(value, dict):
        return b"{" + b",".join(canonical(key) + b":" + canonical(value[key]) for key in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(canonical, value)) + b"]"
    if isinstance(value, str):
        return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode()
    return {True: b"true", False: b"false", None: b"null"}[value]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# 1. Keys and thresholds

def fingerprint(key):
    return sha256(canonical({"keytype": key["keytype"], "scheme": key["scheme"],
                             "keyval": {"public": key["keyval"]["public"]}}))


def signed_by(key, message, signature):
    kind = (key["keytype"], key["scheme"])
    public = key["keyval"]["public"]
    try:
        if kind == ("ed25519", "ed25519"):
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, message)
        elif kind == ("ecdsa", "ecdsa-sha2-nistp256"):
            serialization.load_pem_public_key(public.encode()).verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif kind == ("rsa", "rsassa-pss-sha256"):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            serialization.load_pem_public_key(public.encode()).verify(signature, message, pss, hashes.SHA256())
        else:
            return False
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def verify(name, raw, keys, role, persons, at):
    """The signed part of `raw`, if the threshold of `role` (`keyids`, `threshold`) is met and it has not expired."""
    document = parse(raw)
    signed, signatures = document["signed"], document["signatures"]
    need(len(signatures) <= 256, f"{name}: too many signatures")
    ids = [signature["keyid"] for signature in signatures]
    need(len(ids) == len(set(ids)), f"{name}: two signatures name one key")
    message = canonical(signed)
    found = {}
    for signature in signatures:
        key = keys.get(signature["keyid"])
        if signature["keyid"] in role["keyids"] and key:
            if signed_by(key, message, bytes.fromhex(signature["sig"])):
                found[fingerprint(key)] = signature["keyid"]
    counted = len(found)
    if persons is not None and role["threshold"] > 1:
        counted = len({persons[keyid] for keyid in found.values() if keyid in persons})
    need(role["threshold"] >= 1 and counted >= role["threshold"],
         f"{name}: {counted} of {role['threshold']} needed keys and persons have signed")
    need(at is None or signed["expires"] > at, f"{name}: expired at {signed['expires']}")
    return signed


# 2. The archive

def header(name, size):
    block = name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
    block += b"%011o\0" % size + b"0" * 11 + b"\0" + b" " * 8 + b"0" + bytes(100) + b"ustar\x0000" + bytes(64)
    block += b"0000000\0" * 2 + bytes(167)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def members(file):
    """Yields (name, length, read) in order; the content is read, or passed over, before the next."""
    def exactly(count):
        data = file.read(count)
        need(len(data) == count, f"the file ends at byte {file.tell()}")
        return data

    while True:
        block = exactly(BLOCK)
        if block == bytes(BLOCK):
            break
        name = block[:100].rstrip(b"\0").decode("ascii", "replace")
        need(re.fullmatch(rb"[0-7]{11}\0", block[124:136]), f"{name}: the length is oddly spelt")
        size = int(block[124:135], 8)
        need(block == header(name, size) and size > 0, f"{name}: the header is not the only one it can have")
        need(METADATA.fullmatch(name) or OBJECT.fullmatch(name) or name == "presumes.json", f"{name}: no member name")
        left = [size]

        def read(count=None):
            count = left[0] if count is None else min(count, left[0])
            left[0] -= count
            return exactly(count)

        yield name, size, read
        while left[0]:
            read(1 << 20)
        need(not any(exactly(-size % BLOCK)), f"{name}: padding is not zero")
    need(exactly(BLOCK) == bytes(BLOCK), "one zero block, not two")
    need(not file.read(1), "the bundle ends, but the file goes on")


# 3. The bundle

class Bundle:
    """What has been read so far."""

    def __init__(self, trusted, at):
        self.at = at
        self.root = parse(trusted)["signed"]
        self.check_root("the trusted root", trusted, self.root)
        self.timestamp = self.snapshot = self.targets = None
        self.roles, self.broken = {}, {}
        self.assignments, self.manifests = {}, {}
        self.presumed, self.seen = set(), set()
        self.section, self.last = 0, ""
        self.catalogues = {}

    def persons(self):
        profile = self.root["x-casemate"]
        return None if profile.get("demo") else profile["persons"]

    def check_root(self, name, raw, by):
        profile = by["x-casemate"]
        persons = None if profile.get("demo") else profile["persons"]
        signed = verify(name, raw, by["keys"], by["roles"]["root"], persons, None)
        need(signed["_type"] == "root" and signed["x-casemate"]["format"] == 1, f"{name}: no root of this profile")
        return signed

    def order(self, name, section, key):
        need((section, key) > (self.section, self.last), f"{name}: out of order, or twice")
        self.section, self.last = section, key

    def metadata(self, name, version, role, raw):
        need(len(raw) <= LIMITS.get(role, 8 << 20), f"{name}: too long")
        if role == "root":
            self.order(name, 1, f"{version:019}")
            known = self.root["version"]
            if version > known:
                need(version == known + 1, f"{name}: a gap after root {known}")
                self.check_root(name, raw, self.root)
                newer = self.check_root(name, raw, parse(raw)["signed"])
                need(newer["version"] == version, f"{name}: holds version {newer['version']}")
                need(newer["x-casemate"]["jurisdiction"] == self.root["x-casemate"]["jurisdiction"],
                     f"{name}: changes the jurisdiction")
                self.root = newer
            return
        if role in ("timestamp", "snapshot", "targets"):
            self.order(name, 2, str(["timestamp", "snapshot", "targets"].index(role)))
            need(self.at is None or self.root["expires"] > self.at, "the root has expired")
            signed = verify(name, raw, self.root["keys"], self.root["roles"][role], self.persons(), self.at)
            need(signed["_type"] == role and signed["version"] == version, f"{name}: holds something else")
            if role == "timestamp":
                need(signed["x-casemate"]["signed_at"] <= self.root["expires"], "signed after the root expires")
            else:
                self.named(name, role, version, raw)
            setattr(self, role, signed)
            return
        owner = role == "boundary" or OWNER.fullmatch(role)
        need(self.targets, f"{name}: before targets")
        self.order(name, 5 if owner else 3, role)
        self.named(name, role, version, raw, self.snapshot["meta"].get(f"{role}.json"))
        try:
            self.roles[role] = self.delegated(name, role, version, raw)
        except Refused as error:
            self.broken[role] = str(error)

    def named(self, name, role, version, raw, entry=None):
        by = self.timestamp if role == "snapshot" else self.snapshot
        need(by, f"{name}: out of order")
        entry = entry or by["meta"].get(f"{role}.json")
        need(entry and entry["version"] == version, f"{name}: not the version that is listed")
        need(entry.get("length", len(raw)) >= len(raw), f"{name}: longer than signed")
        need(entry.get("hashes", {}).get("sha256", sha256(raw)) == sha256(raw), f"{name}: not the file that is listed")

    def delegated(self, name, role, version, raw):
        bins = [signed for bins, signed in self.roles.items() if bins != "boundary" and not OWNER.fullmatch(bins)]
        for by in [self.targets, *bins]:
            delegations = by.get("delegations") or {}
            for delegation in delegations.get("roles", []):
                if delegation["name"] == role:
                    signed = verify(name, raw, delegations["keys"], delegation, self.persons(), self.at)
                    need(signed["_type"] == "targets" and signed["version"] == version, f"{name}: holds something else")
                    owner = OWNER.fullmatch(role)
                    tree = f"{owner[1]}s/{owner[2]}/" if owner else "boundary/" if role == "boundary" else ""
                    need(all(path.startswith(tree) for path in signed["targets"]), f"{name}: lists a foreign path")
                    if role == "boundary":
                        self.check_boundary(delegations["keys"], delegation)
                    return signed
        raise Refused(f"{name}: nobody delegates to it")

    def check_boundary(self, keys, delegation):
        allowed = {fingerprint(self.root["keys"][keyid]) for keyid in self.root["roles"]["targets"]["keyids"]}
        need(all(fingerprint(keys[keyid]) in allowed for keyid in delegation["keyids"]), "boundary has a key of its own")
        need(delegation["threshold"] >= 2 or self.persons() is None, "boundary needs two persons")

    def catalogue(self, section):
        """Digest → (first path, its target, every path) of the objects a section may hold."""
        if (section, len(self.roles)) in self.catalogues:
            return self.catalogues[section, len(self.roles)]
        found = self.catalogues[section, len(self.roles)] = {}
        listing = [self.targets, *self.roles.values()]
        for path, target in sorted((item for by in listing for item in by["targets"].items()), key=lambda item: item[0]):
            manifest = re.fullmatch(rf"(groups|tenants)/{NAME}/(appliances/{NAME}/)?manifest\.json", path)
            kind = 4 if path.startswith("appliances/") else 6 if manifest or BOUNDARY.fullmatch(path) else 8
            if kind == section and "sha256" in target["hashes"]:
                found.setdefault(target["hashes"]["sha256"], (path, target, []))[2].append(path)
        return found

    def object(self, name, digest, length, read):
        need(self.targets, f"{name}: before the metadata")
        for section in (4, 6, 8):
            entry = self.catalogue(section).get(digest)
            # What a broken role calls its manifest may be anybody's file: it is none while manifests are to come.
            early = section == 8 and self.broken and not self.manifests_read()
            if entry and section >= self.section and (section, digest) not in self.seen and not early:
                break
        else:
            need(self.broken, f"{name}: nothing signed lists it, or it is out of order, or twice")
            need(length <= MAX_PART, f"{name}: too long")
            return "unknown: " + ", ".join(self.broken)
        path, target, paths = entry
        if self.broken:
            self.section = section
        else:
            self.order(name, section, path)
        self.seen.add((section, digest))
        need(length == target["length"], f"{name}: {length} bytes, signed are {target['length']}")
        need(section == 8 or length <= {4: 64 << 10, 6: 8 << 20}[section], f"{name}: too long")
        hasher, content = hashlib.sha256(), b""
        while chunk := read(1 << 20):
            hasher.update(chunk)
            content = content + chunk if section < 8 else content
        need(hasher.hexdigest() == digest, f"{name}: the content hashes to {hasher.hexdigest()}")
        if section == 4:
            self.assignments[path] = parse(content)
        for manifest in paths if section == 6 else []:
            self.manifests[manifest] = content
        return path

    def manifests_read(self):
        """Whether every manifest and boundary document that somebody addressed wants has been read."""
        documents = (path for assignment in self.assignments.values() for _, path in self.documents(assignment))
        if not all(path in self.manifests for path in documents):
            return False
        owned = ((owner, appliance["appliance"]) for appliance in self.assignments.values() for owner in owners(appliance))
        return all(manifest_path(self.roles[owner], owner, appliance) in self.manifests | {None: None}
                   for owner, appliance in owned if owner in self.roles)

    def presumes(self, raw):
        self.order("presumes.json", 7, "")
        value = parse(raw)
        need(value.keys() == {"format", "objects"} and value["format"] == 1, "presumes.json: malformed")
        need(value["objects"] == sorted(set(value["objects"])), "presumes.json: not ascending")
        self.presumed = set(value["objects"])

    def finish(self, appliance):
        """Whom it addresses, every rule of assignments and manifests checked, and that nothing is missing."""
        need(self.targets, "the metadata is incomplete")
        found = {}
        for path, assignment in self.assignments.items():
            need(path == f"appliances/{assignment['appliance']}.json" and assignment["format"] == 1,
                 f"{path}: for somebody else")
            need(assignment["jurisdiction"] == self.root["x-casemate"]["jurisdiction"], f"{path}: other jurisdiction")
            appliance_id = assignment["appliance"]
            found[appliance_id] = [self.owner(owner, appliance_id) for owner in owners(assignment)]
            if "boundary" in assignment:
                found[appliance_id].append(self.boundary(assignment))
        need(appliance is None or appliance in found, f"not addressed to {appliance}")
        return found

    def boundary(self, assignment):
        """What the boundary of `assignment` allows, every rule checked. One that is refused stops nobody."""
        name = assignment["boundary"]
        if "boundary" not in self.roles:
            need("boundary" in self.broken, "the role boundary is missing")
            return f"boundary {name}: {self.broken['boundary']}"
        found = {(role, path): self.document(role, path) for role, path in self.documents(assignment)}
        envelope, raw = (found.get(("boundary", f"boundary/{one}.json")) for one in ("envelope", name))
        tenants = {role: content for (role, _), content in found.items() if role != "boundary"}
        try:
            allow = boundary(self.root["x-casemate"], name, envelope, raw)
        except Refused as error:
            return f"boundary {name}: refused: {error}"
        served = [flow for flow in allow.get("flows", []) if flow.get("owner") in [None, *owners(assignment)]]
        flows = [flow for flow in served if tenants.get(flow.get("owner")) is None]
        for owner, content in tenants.items():
            flows += narrowed(owner, content, served)
        link = allow.get("link", {})
        count = len(allow.get("peers", [])) + len(flows) + len(link.get("gateways", [])) + bool(link.get("dhcp"))
        count += "observe_until" in allow
        observed = f", observed until {allow['observe_until']}" if "observe_until" in allow else ""
        return f"boundary {name} version {self.roles['boundary']['version']}: {count} entries{observed}"

    def documents(self, assignment):
        """(role, path) of every boundary document the appliance of `assignment` reads."""
        name = assignment.get("boundary")
        wanted = [("boundary", f"boundary/{one}.json") for one in ("envelope", name)] if name else []
        wanted += [(owner, f"{tree_of(owner)}boundary.json") for owner in owners(assignment) if owner[0] == "t"]
        listed = ((role, path) for role, path in wanted if path in self.roles.get(role, {"targets": {}})["targets"])
        return [(role, path) for role, path in listed if self.roles[role]["targets"][path]["length"] <= MAX_DOCUMENT]

    def document(self, role, path):
        need(path in self.manifests, f"{path} is missing")
        return self.manifests[path]

    def owner(self, owner, appliance):
        if owner not in self.roles:
            need(owner in self.broken, f"the role {owner} is missing")
            return f"{owner}: {self.broken[owner]}"
        tree, listed = tree_of(owner), self.roles[owner]["targets"]
        path = manifest_path(self.roles[owner], owner, appliance)
        need(path, f"{owner} lists no manifest")
        need(path in self.manifests, f"{path} is missing")
        manifest = parse(self.manifests[path])
        members_of(path, manifest, "format owner summary files", "apply consumers")
        need(manifest["format"] == 1 and manifest["owner"] == owner, f"{path}: of another owner or format")
        names = [file["path"] for file in manifest["files"]]
        need(names == sorted(set(names)), f"{path}: files are not in order")
        for file in manifest["files"]:
            members_of(path, file, "path length parts", "consumer")
            need(all(COMPONENT.fullmatch(part) and part not in (".", "..") for part in file["path"].split("/")),
                 f"{path}: {file['path']} is no path")
            end = 0
            for part in file["parts"]:
                target = listed.get(part["target"])
                need(target and part["target"].startswith(tree), f"{path}: {part['target']} is not listed")
                need(part["offset"] == end and 0 < part["length"] <= MAX_PART, f"{path}: a gap in {file['path']}")
                need(part is file["parts"][-1] or part["length"] == MAX_PART, f"{path}: a short part")
                need((target["length"], target["hashes"]["sha256"]) == (part["length"], part["sha256"]),
                     f"{path}: {part['target']} is not what is signed")
                need((8, part["sha256"]) in self.seen or part["sha256"] in self.presumed,
                     f"objects/{part['sha256']} is missing")
                end += part["length"]
            need(end == file["length"], f"{path}: {file['path']} is not {file['length']} bytes long")
        return f"{owner} version {self.roles[owner]['version']}: {len(names)} files, {conditions(path, manifest)}"


def owners(assignment):
    return [f"group.{name}" for name in assignment["groups"]] + [f"tenant.{name}" for name in assignment.get("tenants", [])]


def tree_of(owner):
    kind, name = OWNER.fullmatch(owner).groups()
    return f"{kind}s/{name}/"


def manifest_path(role, owner, appliance):
    """The path of the manifest that counts for `appliance`; None if there is none."""
    paths = [f"{tree_of(owner)}appliances/{appliance}/manifest.json", f"{tree_of(owner)}manifest.json"]
    return next((path for path in paths if path in role["targets"]), None)


# 3. What a manifest asks beyond files

def members_of(where, value, needed, optional):
    need(isinstance(value, dict), f"{where}: {value!r} is no object")
    known, needed = set((needed + " " + optional).split()), set(needed.split())
    need(needed <= value.keys() <= known, f"{where}: members are {sorted(value)}, known are {sorted(known)}")


def span(where, text, least):
    match = re.fullmatch(r"([0-9]+)([smh])", text)
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else -1
    need(least <= seconds <= 86_400, f"{where}: {text} is no time from {least} s to a day")
    return seconds


def loopback(where, host, port):
    try:
        local = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        local = None
    is_local = local and local.is_loopback and not getattr(local, "ipv4_mapped", None)
    need(is_local and 0 < int(port) < 65_536, f"{where}: {host}:{port} is not on the appliance itself")


def probe(where, kind, text):
    if kind == "http":
        match = URL.fullmatch(text)
        need(match and len(text) <= 200, f"{where}: {text} is no URL of a loopback address")
        loopback(where, match[1], match[2] or 80)
    elif kind == "tcp":
        host, _, port = text.rpartition(":")
        need(re.fullmatch(r"[0-9.]+|\[[0-9a-f:]+\]", host) and re.fullmatch("[0-9]{1,5}", port), f"{where}: {text}")
        loopback(where, host, port)
    elif kind == "unix":
        plain = re.fullmatch(r"/[!-~]*", text) and ".." not in text.split("/") and len(text) < 108
        need(plain, f"{where}: {text} is no absolute path of a socket")
    else:
        need(kind == "unit" and UNIT.fullmatch(text) and len(text) <= 255, f"{where}: {kind} {text} is no probe")


def conditions(path, manifest):
    """When it is applied and what has to confirm it, every rule checked."""
    apply, consumers = manifest.get("apply", {}), manifest.get("consumers", {})
    members_of(path, apply, "", "window deadline hold confirm probes")
    need(len(consumers) <= 16, f"{path}: too many consumers")
    for name, consumer in consumers.items():
        where = f"{path}: consumer {name}"
        need(re.fullmatch(NAME, name), f"{where}: no name")
        members_of(where, consumer, "", "unit on_change ready")
        need(consumer.get("on_change", "none") in ("restart", "reload", "none"), f"{where}: no reaction")
        if "unit" in consumer:
            probe(where, "unit", consumer["unit"])
        if "ready" in consumer:
            probe(where, "http", consumer["ready"])
    need(all(file.get("consumer", None) in consumers.keys() | {None} for file in manifest["files"]),
         f"{path}: a file names a consumer that is not declared")
    probes = list(apply.get("probes", []))
    for entry in probes:
        need(len(entry) == 1, f"{path}: a probe asks one thing")
        probe(path, *next(iter(entry.items())))
    confirm = apply.get("confirm", [])
    need(set(confirm) <= {"consumers"}, f"{path}: {confirm} cannot confirm")
    need(consumers or not confirm, f"{path}: no consumer is declared to wait for")
    probes += [consumer for consumer in consumers.values() if "ready" in consumer and confirm]
    need(len(probes) <= 16, f"{path}: too many probes")
    deadline = span(path, apply.get("deadline", "10m"), 5)
    hold = span(path, apply["hold"], 0) if "hold" in apply else min(10, deadline // 2)
    need(not probes or hold < deadline, f"{path}: hold does not fit into deadline")
    asked = []
    if "window" in apply:
        match = WINDOW.fullmatch(apply["window"])
        days = match[1].split(",") if match and match[1] else []
        need(match and match[2] != match[3] and len(days) == len(set(days)), f"{path}: {apply['window']} is no window")
        asked.append(f"in the window {apply['window']}")
    if confirm:
        asked.append(f"{', '.join(sorted(consumers))} ready")
    if probes:
        asked.append(f"{len(probes)} probes held {hold} s")
    return ", ".join(asked + [f"within {deadline} s"] * bool(confirm or probes)) or "at once"


# 3. Boundary documents

def network(where, text):
    try:
        found = ipaddress.ip_network(text) if NETWORK.fullmatch(text) else None
    except ValueError:
        found = None
    need(found, f"{where}: {text} is no network")
    need(not any(found.version == special.version and found.overlaps(special) for special in LEAVES_NO_MACHINE), f"{where}: {text} leaves no machine")
    return found


def address(where, text):
    need("/" not in text, f"{where}: {text} is no address")
    return network(where, text)


def port_range(where, text):
    match = PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    need(first <= last <= 65_535, f"{where}: {text} is no range of ports")
    return first, last


def name_in(where, text):
    need(re.fullmatch(NAME, text), f"{where}: {text} is no name")


def digest_in(where, text):
    need(re.fullmatch("[0-9a-f]{64}", text), f"{where}: {text} is no SHA-256")


def flow_of(where, flow):
    """The flow as (direction, protocol, network, ports), every rule checked."""
    members_of(where, flow, "purpose direction protocol network", "ports owner")
    name_in(where, flow["purpose"])
    need(flow["direction"] in ("in", "out") and flow["protocol"] in ("tcp", "udp", "echo"), f"{where}: unknown word")
    need(("ports" in flow) == (flow["protocol"] != "echo"), f"{where}: ports where none are, or none")
    need("owner" not in flow or OWNER.fullmatch(flow["owner"]), f"{where}: {flow.get('owner')} is no owner")
    ports = port_range(where, flow["ports"]) if "ports" in flow else None
    return flow["direction"], flow["protocol"], network(where, flow["network"]), ports


def inside(one, networks):
    return any(one.version == outer.version and one.subnet_of(outer) for outer in networks)


def policy(where, allow):
    """Every network and every pin that `allow` names, every rule checked."""
    members_of(where, allow, "", "peers flows link observe_until")
    peers, flows, link = allow.get("peers", []), allow.get("flows", []), allow.get("link", {})
    members_of(where, link, "", "gateways dhcp")
    gateways = link.get("gateways", [])
    need(len(peers) <= 16 and len(flows) <= 256 and len(gateways) <= 16, f"{where}: too many entries")
    need("observe_until" not in allow or TIME.fullmatch(allow["observe_until"]), f"{where}: no time")
    networks, pins, ids, sockets = [], [], set(), set()
    for peer in peers:
        members_of(where, peer, "id protocol address port pins purpose", "required")
        members_of(where, peer["pins"], "current", "next")
        name_in(where, peer["id"])
        need(peer["protocol"] in ("https", "mqtts"), f"{where}: {peer['protocol']} is no protocol")
        need(peer["purpose"] in ("repository", "broker", "control-plane", "witness"), f"{where}: no purpose")
        need(type(peer["port"]) is int and 0 < peer["port"] < 65_536, f"{where}: {peer['port']} is no port")
        networks.append(address(where, peer["address"]))
        pins += peer["pins"].values()
        ids.add(peer["id"])
        sockets.add((networks[-1], peer["port"]))
    need(len(ids) == len(sockets) == len(peers), f"{where}: a peer stands there twice")
    for pin in pins:
        digest_in(where, pin)
    networks += [flow_of(where, flow)[2] for flow in flows] + [address(where, gateway) for gateway in gateways]
    return networks, pins


def boundary(profile, name, envelope_raw, raw):
    """What the boundary `name` allows, inside the envelope that root binds."""
    need(envelope_raw is not None and raw is not None, "a document is not listed, or too long")
    need(profile.get("envelope") == sha256(envelope_raw), "the envelope is not the one root binds")
    envelope, document = parse(envelope_raw), parse(raw)
    members_of("envelope", envelope, "format jurisdiction networks", "pins dhcp observe")
    members_of(name, document, "format name jurisdiction allow", "")
    need(envelope["format"] == document["format"] == 1 and document["name"] == name, "another format, or name")
    need(envelope["jurisdiction"] == document["jurisdiction"] == profile["jurisdiction"], "another jurisdiction")
    outer = [network("envelope", text) for text in envelope["networks"]]
    for pin in envelope.get("pins", []):
        digest_in("envelope", pin)
    allow = document["allow"]
    networks, pins = policy(name, allow)
    for one in networks:
        need(inside(one, outer), f"{one} is beyond the envelope")
    need(all(pin in envelope.get("pins", pins) for pin in pins), "a peer's key is beyond the envelope")
    need(envelope.get("dhcp") or not allow.get("link", {}).get("dhcp"), "dhcp is beyond the envelope")
    need(envelope.get("observe") or "observe_until" not in allow, "observe_until is beyond the envelope")
    return allow


def narrowed(owner, raw, flows):
    """What a tenant leaves of its flows."""
    document = parse(raw)
    members_of(owner, document, "format flows", "")
    need(document["format"] == 1, f"{owner}: another format")
    own = [flow_of(owner, flow) for flow in flows if flow.get("owner") == owner]
    for flow in document["flows"]:
        direction, protocol, where, ports = flow_of(owner, flow)
        need(any((direction, protocol) == outer[:2] and inside(where, [outer[2]])
                 and (ports is None or outer[3][0] <= ports[0] and ports[1] <= outer[3][1]) for outer in own),
             f"{owner}: a flow to {where} is beyond the boundary")
    return document["flows"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("bundle")
    arguments.add_argument("--root", required=True, help="the root metadata trusted already")
    arguments.add_argument("--appliance", help="must be addressed")
    arguments.add_argument("--at", help="judge expiry at this time instead of now")
    given = arguments.parse_args()
    at = given.at or datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        with open(given.root, "rb") as root, open(given.bundle, "rb") as file:
            bundle = Bundle(root.read(), at)
            for name, length, read in members(file):
                if match := METADATA.fullmatch(name):
                    need(length <= 8 << 20, f"{name}: too long")
                    bundle.metadata(name, int(match[1]), match[2], read())
                    note = bundle.broken.get(match[2], "verified")
                elif match := OBJECT.fullmatch(name):
                    note = bundle.object(name, match[1], length, read)
                else:
                    need(length <= 5 << 20, f"{name}: too long")
                    bundle.presumes(read())
                    note = "unsigned"
                print(f"{length:>12} {name}  {note}")
        for appliance, owners in sorted(bundle.finish(given.appliance).items()):
            print(f"addressed: {appliance}: " + "; ".join(owners))
        print(f"timestamp {bundle.timestamp['version']}, root {bundle.root['version']}, "
              f"jurisdiction {bundle.root['x-casemate']['jurisdiction']}")
    except (Refused, KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        print(f"refused: {error if isinstance(error, Refused) else repr(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
