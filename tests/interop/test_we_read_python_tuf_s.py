"""Our client reads a repository python-tuf wrote."""
import datetime
import subprocess

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp,
)

from conftest import PROGRAMS

CONTENTS = {"plain.txt": b"plain", "folder/in/folder/file.bin": b"below slashes", "delegated/a/b.txt": b"delegated"}


class Repository:
    """Consistent snapshots; top level by Ed25519, ECDSA and RSA keys; one delegation two levels deep."""

    def __init__(self, folder):
        self.folder = folder
        expires = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=30)
        self.signers = {
            "root": CryptoSigner.generate_ed25519(), "timestamp": CryptoSigner.generate_ecdsa(),
            "snapshot": CryptoSigner.generate_rsa(), "targets": CryptoSigner.generate_ed25519(),
            "delegate": CryptoSigner.generate_ecdsa(),
        }
        root = Root(expires=expires, consistent_snapshot=True)
        for role in ("root", "timestamp", "snapshot", "targets"):
            root.add_key(self.signers[role].public_key, role)
        targets, delegate = Targets(expires=expires), Targets(expires=expires)
        key = self.signers["delegate"].public_key
        role = DelegatedRole("delegate", [key.keyid], 1, True, paths=["delegated/*", "delegated/*/*"])
        targets.delegations = Delegations({key.keyid: key}, {"delegate": role})
        for path, content in CONTENTS.items():
            owner = delegate if path.startswith("delegated/") else targets
            file = TargetFile.from_data(path, content, ["sha256"])
            owner.targets[path] = file
            at = folder / "targets" / path
            at.parent.mkdir(parents=True, exist_ok=True)
            at.with_name(f"{file.hashes['sha256']}.{at.name}").write_bytes(content)
        snapshot = Snapshot(expires=expires)
        snapshot.meta = {"targets.json": MetaFile(1), "delegate.json": MetaFile(1)}
        timestamp = Timestamp(expires=expires)
        (folder / "metadata").mkdir()
        for name, signed in (("root", root), ("targets", targets), ("delegate", delegate), ("snapshot", snapshot),
                             ("timestamp", timestamp)):
            metadata = Metadata(signed)
            metadata.sign(self.signers[name])
            file = "timestamp.json" if name == "timestamp" else f"1.{name}.json"
            metadata.to_file(str(folder / "metadata" / file))


@pytest.fixture
def client(tmp_path, serve):
    repository = Repository(tmp_path)
    url, local = serve(tmp_path), tmp_path / "local"
    local.mkdir()
    downloads = tmp_path / "downloads"
    downloads.mkdir()

    def call(*arguments):
        base = [PROGRAMS / "casemate-tuf-client", "--metadata-dir", local]
        return subprocess.run([*base, *arguments], capture_output=True, text=True)

    done = call("init", repository.folder / "metadata" / "1.root.json")
    assert done.returncode == 0, done.stderr

    def download(path):
        done = call("--metadata-url", f"{url}/metadata/", "--target-name", path, "--target-dir", downloads,
                    "--target-base-url", f"{url}/targets/", "download")
        files = [file for file in downloads.rglob("*") if file.is_file()]
        contents = [file.read_bytes() for file in files]
        for file in files:
            file.unlink()
        return done, contents

    return download


@pytest.mark.parametrize("path", CONTENTS)
def test_a_target_is_found_whoever_signed_it_and_wherever_it_stands(client, path):
    done, contents = client(path)
    assert done.returncode == 0, done.stderr
    assert contents == [CONTENTS[path]]


def test_a_target_nobody_listed_is_not_downloaded(client):
    done, contents = client("delegated/other.txt")
    assert (done.returncode, contents) == (1, [])
