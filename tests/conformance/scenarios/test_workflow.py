"""The order of work, missing and mismatching files, expiry."""

import json

import pytest
from repository import TOP, in_days

ABOVE = {"targets": ("targets", "snapshot", "timestamp"), "snapshot": ("snapshot", "timestamp")}


def test_files_are_asked_for_in_order(repo, client):
    assert client.refresh()
    assert repo.asked() == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert client.matches(repo)


def test_what_is_current_is_not_asked_for_again(repo, client):
    assert client.refresh()
    repo.asked()
    assert client.refresh()
    assert repo.asked() == ["2.root.json", "timestamp.json"]


def test_a_download_refreshes_first(repo, client):
    assert not client.download("nothing")
    assert client.matches(repo)


def test_bytes_are_stored_as_received(repo, client):
    repo.files["metadata/timestamp.json"] += b" "
    assert client.refresh()
    assert client.stored("timestamp").endswith(b"} ")


@pytest.mark.parametrize("fault", ["no version", "another signature", "no JSON"])
def test_a_bad_first_root_reaches_no_repository(repo, start, fault):
    root = json.loads(repo.raw("root"))
    if fault == "no version":
        del root["signed"]["version"]
    if fault == "another signature":
        root["signatures"][0]["sig"] = "00" * 64
    client = start(repo, b"{" if fault == "no JSON" else json.dumps(root).encode())
    assert not client.refresh()
    assert repo.requests == []


@pytest.mark.parametrize("role", TOP)
def test_unsigned_metadata_is_refused(repo, client, role):
    repo.signers[role] = []
    repo.publish("root")
    repo.publish_all()
    assert not client.refresh()
    order = ("root", "timestamp", "snapshot", "targets")
    refused = order[order.index(role):]
    expected = {name: 2 for name in order} | {name: None for name in refused}
    if role == "root":
        expected["root"] = 1
    assert client.trusts(**expected)


@pytest.mark.parametrize("role", ["root", "snapshot", "targets"])
def test_another_version_than_the_name_says_is_refused(repo, client, role):
    path = repo.path(role, repo.roles[role].signed.version + 1)
    repo.roles[role].signed.version += 2
    repo.serve(role, path)
    if role != "root":
        listed = repo.timestamp.snapshot_meta if role == "snapshot" else repo.snapshot.meta["targets.json"]
        listed.version -= 1
        repo.publish(*ABOVE[role][1:])
    assert not client.refresh()
    assert client.version(role) != repo.roles[role].signed.version


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_missing_file_is_an_error(repo, client, role):
    assert client.refresh()
    repo.publish_all()
    del repo.files[repo.path(role)]
    assert not client.refresh()
    assert client.version(role) == 1


@pytest.mark.parametrize("path", ["metadata/2.root.json", "metadata/timestamp.json", "metadata/1.snapshot.json"])
@pytest.mark.parametrize("status", [500, 503, -1])
def test_a_transport_error_is_not_taken_for_no_such_file(repo, client, path, status):
    repo.publish("root")
    repo.faults[path] = status
    assert not client.refresh()
    del repo.faults[path]
    assert client.refresh()
    assert client.matches(repo)


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_stated_hashes_are_checked(repo, client, role):
    repo.state_hashes = True
    repo.publish_all()
    assert client.refresh()
    repo.publish(role)
    listed = repo.timestamp.snapshot_meta if role == "snapshot" else repo.snapshot.meta["targets.json"]
    listed.hashes["sha256"] = "00" * 32
    repo.publish(*ABOVE[role][1:])
    assert not client.refresh()
    assert client.version(role) == 2


@pytest.mark.parametrize("role", TOP)
def test_expired_metadata_is_refused(repo, client, role):
    assert client.refresh()
    repo.roles[role].signed.expires = in_days(-1)
    repo.publish("root")
    repo.publish_all()
    assert not client.refresh()
    # An expired root is kept: the next one builds on it (5.3.10).
    assert client.version(role) == (2 if role == "root" else 1)


def test_an_expired_root_on_the_way_is_no_obstacle(repo, client):
    repo.root.expires = in_days(-1)
    repo.publish("root")
    repo.root.expires = in_days(10)
    repo.publish("root")
    assert client.refresh()
    assert client.trusts(root=3)


def test_a_stored_timestamp_that_expired_is_no_obstacle(repo, client):
    repo.timestamp.expires = in_days(7)
    repo.publish("timestamp")
    assert client.refresh()
    assert not client.refresh(at=in_days(18))
    repo.timestamp.expires = in_days(21)
    repo.publish_all()
    assert client.refresh(at=in_days(18))
    assert client.trusts(timestamp=3, snapshot=2, targets=2)


def test_a_document_of_another_type_is_refused(repo, client):
    # Signed by the right key and shaped like a timestamp, but it says it is a snapshot.
    repo.rotate("snapshot", "timestamp")
    repo.publish("root")
    repo.snapshot.meta = {"snapshot.json": repo.timestamp.snapshot_meta}
    repo.serve("snapshot", "metadata/timestamp.json")
    assert not client.refresh()
    assert client.trusts(root=2, timestamp=None)


def test_unknown_members_are_signed_content_like_any_other(repo, client):
    repo.root.unrecognized_fields["custom"] = {"a": [1, "b"]}
    repo.root.roles["targets"].unrecognized_fields["custom"] = True
    repo.publish("root")
    assert client.refresh()
    assert client.trusts(root=2)


@pytest.mark.parametrize("role", ["timestamp", "root"])
def test_endless_data_is_cut_off(repo, client, role):
    repo.publish("root")
    repo.files[repo.path(role)] += b" " * 40_000_000
    assert not client.refresh()
