"""Thresholds, rotations, algorithms."""

import json

import pytest
from repository import signer

ROTATIONS = {
    # keys, threshold and signers of each root from the first on, and whether the last one is acceptable
    "one key to another": ([("a", 1, "a"), ("b", 1, "ab"), ("b", 1, "b")], True),
    "foreign signatures do no harm": ([("a", 1, "xay"), ("b", 1, "xbay")], True),
    "three of five, other ones each time": ([("abcde", 3, "ace"), ("abcde", 3, "bde"), ("abcde", 3, "abc")], True),
    "all of three of five": ([("abcde", 3, "ace"), ("fghij", 3, "acefgh"), ("fghij", 3, "hij")], True),
    "a higher threshold": ([("abc", 1, "a"), ("abc", 2, "ab")], True),
    "a lower threshold": ([("abc", 2, "ab"), ("abc", 1, "ab"), ("abc", 1, "c")], True),
    "not signed by the old key": ([("a", 1, "a"), ("b", 1, "bxy")], False),
    "not signed by the new key": ([("a", 1, "a"), ("b", 1, "axy")], False),
    "too few old keys": ([("abcde", 3, "ace"), ("abdef", 3, "aef")], False),
    "too few new keys": ([("abcde", 3, "ace"), ("abdef", 3, "ace")], False),
    "a new threshold not reached": ([("abc", 1, "a"), ("abc", 2, "b")], False),
    "an old threshold not reached": ([("abc", 2, "ab"), ("abc", 1, "a")], False),
}


@pytest.mark.parametrize("case", ROTATIONS)
def test_root_rotation(repo, start, case):
    roots, acceptable = ROTATIONS[case]
    repo.set_version("root", 1)
    for keys, threshold, signers in roots:
        repo.rotate("root", *keys, threshold=threshold)
        repo.signers["root"] = list(signers)
        repo.publish("root")
    client = start(repo)
    assert client.refresh() == acceptable
    assert client.trusts(root=len(roots) if acceptable else len(roots) - 1)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("signers, acceptable", [("ace", True), ("acy", False), ("ac", False), ("aaa", False)])
def test_thresholds_of_the_other_roles(repo, client, role, signers, acceptable):
    repo.rotate(role, *"abcde", threshold=3)
    repo.signers[role] = list(signers)
    repo.publish("root")
    repo.publish_all()
    assert client.refresh() == acceptable


def test_one_key_listed_often_counts_once(repo, client):
    # python-tuf would not write this: the key ids are multiplied in the raw text and signed again.
    repo.rotate("snapshot", "a")
    root = repo.roles["root"]
    root.signed.roles["snapshot"].threshold = 2
    keyid = signer("a").public_key.keyid
    root.signed.roles["snapshot"].keyids = [keyid, keyid]
    repo.publish("root")
    repo.publish_all()
    raw = json.loads(repo.raw("snapshot"))
    raw["signatures"] *= 2
    repo.files[repo.path("snapshot")] = json.dumps(raw).encode()
    assert not client.refresh()
    assert client.trusts(snapshot=None)


def test_a_repeated_signature_is_refused(repo, client):
    raw = json.loads(repo.raw("snapshot"))
    raw["signatures"] *= 2
    repo.files[repo.path("snapshot")] = json.dumps(raw).encode()
    assert not client.refresh()
    assert client.trusts(snapshot=None)


@pytest.mark.parametrize("name", ["ed25519-x", "ecdsa-x", "rsa-x"])
def test_every_key_type_verifies_and_refuses(repo, client, name):
    repo.rotate("root", "root", name, threshold=2)
    repo.publish("root")
    assert client.refresh()
    assert client.trusts(root=2)
    repo.publish("root")
    raw = json.loads(repo.raw("root"))
    keyid = signer(name).public_key.keyid
    other = json.loads(repo.files["metadata/2.root.json"])["signatures"]
    for signature in raw["signatures"]:
        if signature["keyid"] == keyid:
            signature["sig"] = next(old["sig"] for old in other if old["keyid"] == keyid)
    repo.files[repo.path("root")] = json.dumps(raw).encode()
    assert not client.refresh()
    assert client.trusts(root=2)


@pytest.mark.parametrize("bad", ["00" * 64, "", "no hex"])
def test_a_wrong_signature_beside_enough_right_ones_does_no_harm(repo, client, bad):
    repo.rotate("timestamp", "a", "b")
    repo.publish("root", "timestamp")
    raw = json.loads(repo.raw("timestamp"))
    raw["signatures"][0]["sig"] = bad
    repo.files[repo.path("timestamp")] = json.dumps(raw).encode()
    assert client.refresh()
