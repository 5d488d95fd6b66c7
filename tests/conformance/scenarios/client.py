"""The client under test, run as its own process."""

import json
import subprocess
from datetime import datetime
from pathlib import Path

from repository import Repository


class Client:
    def __init__(self, program: str, url: str, folder: Path, root: bytes) -> None:
        self.program, self.url = program, url
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self.metadata.mkdir(parents=True)
        self.targets.mkdir()
        (folder / "root.json").write_bytes(root)
        self.run("init", str(folder / "root.json"))

    def run(self, *words: str, at: datetime | None = None) -> bool:
        clock = ["faketime", at.strftime("%Y-%m-%d %H:%M:%S UTC")] if at else []
        command = [*clock, self.program, "--metadata-dir", str(self.metadata), *words]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    def refresh(self, at: datetime | None = None) -> bool:
        return self.run("--metadata-url", f"{self.url}/metadata/", "refresh", at=at)

    def download(self, *names: str) -> bool:
        options = ["--metadata-url", f"{self.url}/metadata/", "--target-base-url", f"{self.url}/targets/"]
        options += ["--target-dir", str(self.targets)]
        return self.run(*options, *(word for name in names for word in ("--target-name", name)), "download")

    def downloaded(self) -> set[bytes]:
        return {path.read_bytes() for path in self.targets.iterdir()}

    def stored(self, role: str) -> bytes | None:
        path = self.metadata / f"{role}.json"
        return path.read_bytes() if path.exists() else None

    def trusts(self, **versions: int | None) -> bool:
        """Whether the stored metadata of each role has this version; None = there is none."""
        return all(self.version(role) == version for role, version in versions.items())

    def version(self, role: str) -> int | None:
        raw = self.stored(role)
        return None if raw is None else json.loads(raw)["signed"]["version"]

    def matches(self, repository: Repository) -> bool:
        """Whether what it trusts is, byte for byte, what the repository serves."""
        return all(self.stored(role) == repository.raw(role) for role in ("root", "timestamp", "snapshot", "targets"))
