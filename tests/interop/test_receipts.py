"""Receipts are in-toto statements in DSSE envelopes: securesystemslib verifies one without knowing us."""
import base64
import json

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey


@pytest.fixture
def receipt(site):
    site.tool("pack", "--stick", "stick")
    site.agent("import", "stick")
    site.agent("receipts", "export", "-o", "home")
    [path] = (site.folder / "home").glob("*.json")
    return json.loads(path.read_bytes())


@pytest.fixture
def key(site):
    enrolled = json.loads((site.folder / "site/appliances/lux-001.json").read_bytes())["keys"]["receipts"]
    return SSlibKey("any", enrolled["keytype"], enrolled["scheme"], enrolled["keyval"])


def verify(receipt, key):
    keyid = receipt["signatures"][0]["keyid"]
    known = SSlibKey(keyid, key.keytype, key.scheme, key.keyval)
    return Envelope.from_dict(receipt).verify([known], 1)


def test_securesystemslib_verifies_a_receipt(receipt, key):
    assert len(verify(receipt, key)) == 1
    statement = json.loads(base64.b64decode(receipt["payload"]))
    assert receipt["payloadType"] == "application/vnd.in-toto+json"
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicate"]["code"] == "applied"


def test_a_changed_receipt_does_not_verify(receipt, key):
    payload = base64.b64decode(receipt["payload"]).replace(b'"applied"', b'"removed"')
    receipt["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(VerificationError):
        verify(receipt, key)
