"""Old versions, and the ways back that a rotated key opens."""

import pytest


@pytest.mark.parametrize("hashes", [False, True], ids=["plain", "hashes"])
@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_an_older_version_is_refused(repo, client, role, hashes):
    repo.state_hashes = hashes
    repo.publish_all()
    assert client.refresh()
    repo.set_version(role, 1)
    above = ("targets", "snapshot", "timestamp")
    repo.publish(*above[above.index(role):])
    assert not client.refresh()
    assert client.version(role) == 2


@pytest.mark.parametrize("damage", ["gone", "empty", "torn", "flipped"])
@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_damaged_stored_file_opens_no_way_back(repo, client, role, damage):
    old = {path: raw for path, raw in repo.files.items() if "root" not in path}
    repo.publish_all()
    assert client.refresh()
    stored = client.metadata / f"{role}.json"
    raw = bytearray(stored.read_bytes())
    if damage == "gone":
        stored.unlink()
    else:
        raw[len(raw) // 2] ^= 1
        stored.write_bytes({"empty": b"", "torn": raw[: len(raw) // 2], "flipped": raw}[damage])
    new, repo.files = repo.files, repo.files | old
    assert not client.refresh()
    repo.files = new
    assert client.refresh()
    assert client.trusts(timestamp=2, snapshot=2, targets=2)


def test_one_lost_copy_of_the_floors_is_no_loss_and_both_are_an_error(repo, client):
    old = dict(repo.files)
    repo.publish_all()
    assert client.refresh()
    copies = sorted(client.metadata.glob("floors-*/floors"))
    assert len(copies) == 2
    copies[0].write_bytes(b"torn")
    new, repo.files = repo.files, repo.files | old
    assert not client.refresh()
    repo.files = new
    assert client.refresh()
    for copy in copies:
        copy.write_bytes(b"torn")
    assert not client.refresh()


def test_a_vanished_role_is_refused(repo, client):
    repo.delegate("targets", "role", "x/*")
    repo.publish("role", "targets", "snapshot", "timestamp")
    assert client.refresh()
    del repo.snapshot.meta["role.json"]
    repo.publish("snapshot", "timestamp")
    assert not client.refresh()
    assert client.trusts(snapshot=2)


def test_another_timestamp_of_the_same_version_changes_nothing(repo, client):
    assert client.refresh()
    first = client.stored("timestamp")
    repo.timestamp.snapshot_meta.version = 100
    repo.serve("timestamp")
    client.refresh()
    assert client.stored("timestamp") == first


@pytest.mark.parametrize("role, rotated", [
    ("timestamp", ["timestamp"]), ("snapshot", ["snapshot", "timestamp"]), ("targets", ["snapshot"]),
])
def test_a_fast_forward_is_undone_by_rotating_keys(repo, client, role, rotated):
    repo.set_version(role, 2**62)
    repo.publish(role)
    above = ("targets", "snapshot", "timestamp")
    repo.publish(*above[above.index(role) + 1:])
    assert client.refresh()
    repo.set_version(role, 3)
    repo.publish(*above[above.index(role):])
    assert not client.refresh()
    for name in rotated:
        repo.rotate(name, f"fresh-{name}")
    repo.publish("root", *above[above.index(role):])
    assert client.refresh()
    assert client.version(role) == 4
