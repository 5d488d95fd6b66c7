"""Delegated roles and the search through them."""

from urllib.parse import quote

import pytest
from repository import in_days

GRAPHS = {
    "one": ([("targets", "A")], "A"),
    "two beside each other": ([("targets", "A"), ("targets", "B")], "AB"),
    "two levels": ([("targets", "A"), ("targets", "B"), ("B", "C")], "ABC"),
    "depth first": ([("targets", "A"), ("targets", "B"), ("A", "C"), ("C", "D")], "ACDB"),
    "terminating": ([("targets", "A"), ("targets", "B"), ("A", "C", True), ("A", "D")], "AC"),
    "a cycle": ([("targets", "A"), ("A", "B"), ("B", "C"), ("C", "A")], "ABC"),
    "reached twice": ([("targets", "A"), ("targets", "B"), ("B", "C"), ("A", "C")], "ACB"),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_roles_are_visited_in_order(repo, client, case):
    edges, visited = GRAPHS[case]
    for delegator, role, *terminating in edges:
        repo.delegate(delegator, role, "*", terminating=bool(terminating))
    repo.publish(*sorted({edge[1] for edge in edges}), "targets", "snapshot", "timestamp")
    assert not client.download("nothing")
    assert repo.asked()[4:] == [f"1.{role}.json" for role in visited]


@pytest.mark.parametrize("path, found", [
    ("README.md", True), ("foo-1.tgz", True), ("foo-alpha.tgz", False), ("README.MD", False),
    ("releases/README.md", False), ("releases/x/v1", True), ("releases/x/y/v1", False), ("top", True),
])
def test_paths_match_component_by_component(repo, client, path, found):
    repo.delegate("targets", "A", "*.md", "foo-?.tgz")
    repo.delegate("targets", "B", "releases/*/*")
    repo.add("targets" if path == "top" else "B" if path.startswith("releases/x") else "A", path, b"content")
    repo.publish("A", "B", "targets", "snapshot", "timestamp")
    assert client.download(path) == found
    assert client.downloaded() == ({b"content"} if found else set())


@pytest.mark.parametrize("role", ["?", "#", "/role", "../role", "a b", "é"])
def test_unusual_role_names_are_quoted(repo, client, role):
    repo.delegate("targets", role, "*")
    repo.add(role, "file", b"content")
    repo.publish(role, "targets", "snapshot", "timestamp")
    assert client.download("file")
    assert f"1.{quote(role, '')}.json" in repo.asked()
    assert len(list(client.metadata.glob("*.json"))) == 5


def test_a_role_the_snapshot_does_not_list_is_not_used(repo, client):
    repo.delegate("targets", "A", "*")
    repo.add("A", "file", b"content")
    repo.publish("A", "targets")
    del repo.snapshot.meta["A.json"]
    repo.publish("snapshot", "timestamp")
    assert client.refresh()
    assert not client.download("file")
    assert "1.A.json" not in repo.asked()


def test_a_stored_role_is_judged_under_each_delegator(repo, client):
    for parent in ("left", "right"):
        repo.delegate("targets", parent, f"{parent}/*")
        repo.delegate(parent, "shared", f"{parent}/*")
        repo.add("shared", f"{parent}/file", parent.encode())
    repo.signers["shared"] = ["shared"]  # left's key for it, not right's
    repo.publish("shared", "left", "right", "targets", "snapshot", "timestamp")
    assert not client.download("left/file", "right/file")
    assert client.downloaded() == {b"left"}


@pytest.mark.parametrize("trouble", ["unsigned", "missing", "expired"])
def test_a_broken_role_blocks_its_own_paths_alone(repo, client, trouble):
    repo.delegate("targets", "A", "a/*")
    repo.delegate("targets", "B", "b/*")
    repo.add("A", "a/file", b"a")
    repo.add("B", "b/file", b"b")
    if trouble == "unsigned":
        repo.signers["A"] = []
    if trouble == "expired":
        repo.roles["A"].signed.expires = in_days(-1)
    repo.publish("A", "B", "targets", "snapshot", "timestamp")
    if trouble == "missing":
        del repo.files[repo.path("A")]
    assert client.download("b/file")
    assert not client.download("a/file")
    assert client.downloaded() == {b"b"}
