"""A TUF repository in memory, made with python-tuf: bend a role's metadata, then `publish` it."""

from datetime import datetime, timedelta, timezone
from functools import cache
from urllib.parse import quote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

TOP = ("root", "timestamp", "snapshot", "targets")


def in_days(days: float) -> datetime:
    return (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)


@cache
def signer(name: str) -> CryptoSigner:
    """The key of a name, the same all through one run; `rsa-…` and `ecdsa-…` are of these kinds."""
    if name.startswith("rsa-"):
        return CryptoSigner.generate_rsa(size=2048)
    if name.startswith("ecdsa-"):
        return CryptoSigner.generate_ecdsa()
    return CryptoSigner.generate_ed25519()


class Repository:
    def __init__(self) -> None:
        self.roles = {
            "root": Metadata(Root(expires=in_days(60), consistent_snapshot=True)),
            "targets": Metadata(Targets(expires=in_days(30))),
            "snapshot": Metadata(Snapshot(expires=in_days(30))),
            "timestamp": Metadata(Timestamp(expires=in_days(30))),
        }
        self.signers = {role: [role] for role in TOP}
        for role in TOP:
            self.root.add_key(signer(role).public_key, role)
        self.files: dict[str, bytes] = {}  # what is served, by path below the repository
        self.faults: dict[str, int] = {}  # path -> status sent instead
        self.requests: list[str] = []
        self.state_hashes = False  # whether timestamp and snapshot state lengths and hashes
        for role in ("root", "targets", "snapshot", "timestamp"):
            self.serve(role)

    def __getattr__(self, role: str):
        if role in TOP:
            return self.roles[role].signed
        raise AttributeError(role)

    def publish(self, *roles: str) -> None:
        """The next version of each role, in this order; whoever lists a role comes after it."""
        for role in roles:
            self.roles[role].signed.version += 1
            self.serve(role)

    def publish_all(self) -> None:
        self.publish("targets", "snapshot", "timestamp")

    def serve(self, role: str, path: str | None = None) -> None:
        """Signs a role as it stands, serves it and lists it where it belongs."""
        document = self.roles[role]
        document.signatures.clear()
        for name in self.signers[role]:
            document.sign(signer(name), append=True)
        raw = document.to_bytes(JSONSerializer())
        version = document.signed.version
        listed = MetaFile.from_data(version, raw, ["sha256"]) if self.state_hashes else MetaFile(version)
        if role == "snapshot":
            self.timestamp.snapshot_meta = listed
        elif role not in ("root", "timestamp"):
            self.snapshot.meta[f"{role}.json"] = listed
        self.files[path or self.path(role)] = raw

    def path(self, role: str, version: int | None = None) -> str:
        if role == "timestamp":
            return "metadata/timestamp.json"
        return f"metadata/{version or self.roles[role].signed.version}.{quote(role, '')}.json"

    def raw(self, role: str) -> bytes:
        return self.files[self.path(role)]

    def rotate(self, role: str, *names: str, threshold: int = 1) -> None:
        """Gives a top-level role other keys, which sign it from now on."""
        self.root.roles[role].keyids.clear()
        for name in names:
            self.root.add_key(signer(name).public_key, role)
        self.root.roles[role].threshold = threshold
        self.signers[role] = list(names)

    def set_version(self, role: str, version: int) -> None:
        """The version `publish` will give it."""
        self.roles[role].signed.version = version - 1

    def add(self, role: str, path: str, content: bytes, hashes: tuple[str, ...] = ("sha256",)) -> TargetFile:
        target = TargetFile.from_data(path, content, list(hashes))
        self.roles[role].signed.targets[path] = target
        folder, slash, name = path.rpartition("/")
        for digest in target.hashes.values():
            self.files[f"targets/{folder}{slash}{digest}.{name}"] = content
        return target

    def delegate(self, delegator: str, role: str, *paths: str, terminating: bool = False) -> None:
        """A further role; `publish` it before whoever lists it."""
        name = role if role not in self.signers else f"{delegator}-{role}"
        targets = self.roles[delegator].signed
        if targets.delegations is None:
            targets.delegations = Delegations({}, {})
        targets.delegations.roles[role] = DelegatedRole(role, [], 1, terminating, list(paths))
        targets.add_key(signer(name).public_key, role)
        if role not in self.roles:
            self.roles[role] = Metadata(Targets(expires=in_days(30), version=1))
            self.roles[role].signed.version = 0
            self.signers[role] = []
        self.signers[role].append(name)

    def asked(self) -> list[str]:
        """Metadata files asked for since the last question."""
        names = [path.removeprefix("metadata/") for path in self.requests if path.startswith("metadata/")]
        self.requests.clear()
        return names
