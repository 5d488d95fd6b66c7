"""The repository `casemate sign` writes is plain TUF: python-tuf's client needs to know nothing else."""
import json

import pytest
from tuf.api import exceptions
from tuf.ngclient import Updater


def updater(site, url):
    metadata, targets = site.folder / "metadata", site.folder / "downloads"
    metadata.mkdir(exist_ok=True)
    targets.mkdir(exist_ok=True)
    root = (site.repository / "metadata" / "1.root.json").read_bytes()
    return Updater(str(metadata), f"{url}/metadata/", str(targets), f"{url}/targets/", bootstrap=root)


def fetch(client, path):
    info = client.get_targetinfo(path)
    assert info is not None, f"{path} is not listed"
    with open(client.download_target(info), "rb") as file:
        return file.read()


def test_every_target_is_found_and_downloaded_names_with_slashes_too(site, serve):
    client = updater(site, serve(site.repository))
    client.refresh()
    manifest = json.loads(fetch(client, "groups/clinics/manifest.json"))
    assert [file["path"] for file in manifest["files"]] == sorted(site.FILES)
    for path, content in site.FILES.items():
        if content:
            assert fetch(client, f"groups/clinics/files/{path}") == content
    assignment = json.loads(fetch(client, "appliances/lux-001.json"))
    assert assignment["groups"] == ["clinics"]


def test_a_later_state_is_an_update_and_an_earlier_one_a_rollback(site, serve):
    url = serve(site.repository)
    updater(site, url).refresh()
    old = (site.repository / "metadata" / "timestamp.json").read_bytes()
    (site.folder / "site/groups/clinics/files/motd").write_bytes(b"changed\n")
    site.publish()
    client = updater(site, url)
    assert fetch(client, "groups/clinics/files/motd") == b"changed\n"
    (site.repository / "metadata" / "timestamp.json").write_bytes(old)
    with pytest.raises(exceptions.BadVersionNumberError):
        updater(site, url).refresh()


def test_a_group_s_role_cannot_speak_for_another_path(site, serve):
    client = updater(site, serve(site.repository))
    client.refresh()
    assert client.get_targetinfo("groups/labs/manifest.json") is None
    assert client.get_targetinfo("tenants/t/manifest.json") is None


def test_our_tool_s_metadata_survives_python_tuf_s_parser_bit_for_bit(site):
    from tuf.api.metadata import Metadata

    for path in sorted((site.repository / "metadata").glob("*.json")):
        metadata = Metadata.from_file(str(path))
        written = json.loads(path.read_bytes())
        assert metadata.to_dict() == written, path.name
