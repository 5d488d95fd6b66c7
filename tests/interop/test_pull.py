"""python-tuf as a second client of what `casemate pack --dir` writes, over a real nginx with the page's configuration."""
import json
import pathlib
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface, Updater

from conftest import Site

TOP = pathlib.Path(__file__).resolve().parents[2]
HERE = "127.0.0.1"


class Fetcher(FetcherInterface):
    """Shows a certificate, knows the site's authority alone."""

    def __init__(self, context):
        handler = urllib.request.HTTPSHandler(context=context)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)

    def _fetch(self, url):
        try:
            with self.opener.open(url, timeout=30) as answer:
                yield from iter(lambda: answer.read(65536), b"")
        except urllib.error.HTTPError as error:
            raise exceptions.DownloadHTTPError(str(error), error.code) from error


@pytest.fixture
def served(tmp_path):
    """A site whose repository nginx serves as docs/pull.md says; its URL."""
    site = Site(tmp_path)
    site.tool("ca", "init")
    site.tool("ca", "issue", "service", "repository", "--key-out", "repository.key.pem", "--address", HERE)
    site.tool("ca", "issue", "operator", "ops-1", "--key-out", "ops-1.key.pem")
    site.tool("pack", "--dir", "web")
    etc = tmp_path / "etc"
    etc.mkdir()
    for name, path in {"repository.pem": "site/ca/certificates/service/repository.pem", "crl.pem": "site/ca/crl.pem",
                       "repository.key.pem": "repository.key.pem", "authority.pem": "site/ca/authority.pem"}.items():
        (etc / name).write_bytes((tmp_path / path).read_bytes())
    with socket.socket() as free:
        free.bind((HERE, 0))
        port = free.getsockname()[1]
    config = (TOP / "docs/pull/nginx.conf").read_text()
    for old, new in {"192.0.2.1:8443": f"{HERE}:{port}", "/etc/casemate-repository": str(etc),
                     "/srv/casemate;": f"{tmp_path}/web;"}.items():
        assert old in config
        config = config.replace(old, new)
    own = "".join(f"{kind}_temp_path {etc}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"pid {etc}/pid;\nerror_log {etc}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{own}{config}}}\n"
    (etc / "nginx.conf").write_text("user root;\n" + main)
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", etc / "nginx.conf", "-g", "daemon off;"])
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as knock:
            if knock.connect_ex((HERE, port)) == 0:
                break
        assert nginx.poll() is None and time.monotonic() < deadline, (etc / "error.log").read_text()
    yield site, f"https://{HERE}:{port}"
    nginx.terminate()
    nginx.wait()


def context(site, certificate=True):
    context = ssl.create_default_context(cafile=str(site.folder / "site/ca/authority.pem"))
    if certificate:
        context.load_cert_chain(site.folder / "site/ca/certificates/operator/ops-1.pem", site.folder / "ops-1.key.pem")
    return context


def updater(site, url):
    metadata, targets = site.folder / "metadata", site.folder / "downloads"
    metadata.mkdir(exist_ok=True)
    targets.mkdir(exist_ok=True)
    root = (site.folder / "web/metadata/1.root.json").read_bytes()
    return Updater(str(metadata), f"{url}/metadata/", str(targets), f"{url}/targets/",
                   fetcher=Fetcher(context(site)), bootstrap=root)


def fetch(client, path):
    info = client.get_targetinfo(path)
    assert info is not None, f"{path} is not listed"
    return pathlib.Path(client.download_target(info)).read_bytes()


def test_every_target_is_downloaded_over_mutual_tls(served):
    site, url = served
    client = updater(site, url)
    for path, content in Site.FILES.items():
        if content:
            assert fetch(client, f"groups/clinics/files/{path}") == content
    assert json.loads(fetch(client, "appliances/lux-001.json"))["groups"] == ["clinics"]


def test_what_is_published_later_is_an_update(served):
    site, url = served
    updater(site, url).refresh()
    (site.folder / "site/groups/clinics/files/motd").write_bytes(b"changed\n")
    site.publish()
    assert fetch(updater(site, url), "groups/clinics/files/motd") == b"hello\n"
    site.tool("pack", "--dir", "web")
    assert fetch(updater(site, url), "groups/clinics/files/motd") == b"changed\n"


def test_without_a_certificate_there_is_nothing(served):
    site, url = served
    opener = Fetcher(context(site, certificate=False)).opener
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        opener.open(f"{url}/metadata/timestamp.json", timeout=30)
