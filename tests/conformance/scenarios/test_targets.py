"""Downloads."""

import pytest


def asked_targets(repo) -> list[str]:
    return [path for path in repo.requests if path.startswith("targets/")]


@pytest.mark.parametrize("path", ["file", "path/to/a/file"])
def test_a_listed_target_is_downloaded_once(repo, client, path):
    target = repo.add("targets", path, b"content")
    repo.publish_all()
    assert client.download(path) and client.download(path)
    assert client.downloaded() == {b"content"}
    folder, slash, name = path.rpartition("/")
    assert asked_targets(repo) == [f"targets/{folder}{slash}{target.hashes['sha256']}.{name}"]


@pytest.mark.parametrize("hashes", [("sha256",), ("sha512",), ("sha256", "sha512")])
def test_known_hashes_suffice(repo, client, hashes):
    repo.add("targets", "file", b"content", hashes)
    repo.publish_all()
    assert client.download("file")


def test_unknown_hashes_do_not(repo, client):
    target = repo.add("targets", "file", b"content", ("sha512",))
    target.hashes["unknown"] = target.hashes.pop("sha512")
    repo.publish_all()
    assert not client.download("file")
    assert client.downloaded() == set()


@pytest.mark.parametrize("content", [b"CONTENT", b"content and more", b"con", b""])
def test_another_content_is_refused(repo, client, content):
    repo.add("targets", "file", b"content")
    for path in [path for path in repo.files if path.startswith("targets/")]:
        repo.files[path] = content
    repo.publish_all()
    assert not client.download("file")
    assert client.downloaded() == set()


def test_a_changed_target_replaces_the_earlier_one(repo, client):
    for content in (b"one", b"two", b"three"):
        repo.add("targets", "file", content)
        repo.publish_all()
        assert client.download("file")
        assert client.downloaded() == {content}


def test_files_without_versions_in_a_plain_repository(repo, start):
    repo.root.consistent_snapshot = False
    repo.set_version("root", 1)
    repo.publish("root")
    repo.add("targets", "folder/file", b"content")
    repo.publish_all()
    for role in ("snapshot", "targets"):
        repo.files[f"metadata/{role}.json"] = repo.files.pop(repo.path(role))
    repo.files["targets/folder/file"] = b"content"
    client = start(repo)
    assert client.download("folder/file")
    assert asked_targets(repo) == ["targets/folder/file"]
