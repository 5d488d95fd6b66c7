"""What every scenario starts from: a repository, and a client that was given its first root."""

from pathlib import Path

import pytest
from client import Client
from repository import Repository
from server import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--client", required=True, help="the program under test")


@pytest.fixture(scope="session")
def server() -> Server:
    return Server()


@pytest.fixture
def repo() -> Repository:
    return Repository()


@pytest.fixture
def start(server: Server, tmp_path: Path, request: pytest.FixtureRequest):
    """Makes a client of a repository; `root` replaces the root it is given."""

    def make(repo: Repository, root: bytes | None = None) -> Client:
        folder = tmp_path / str(len(server.repositories))
        root = repo.files["metadata/1.root.json"] if root is None else root
        return Client(request.config.getoption("--client"), server.add(repo), folder, root)

    return make


@pytest.fixture
def client(start, repo: Repository) -> Client:
    return start(repo)
