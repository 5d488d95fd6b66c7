"""The servers in the country for the transports' scenarios: a real nginx, a real Mosquitto, and hostile ones in their place.

They stand at the peers' addresses with the keys the boundary names; what they are is told to the packet filter in front,
which sends everybody else's connections to the server that answers everything.
"""
import pathlib
import subprocess
import sys
import time

from plan import BROKER, CONTROL

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 30  # seconds until a server listens
NGINX = """user root root; daemon off; master_process off; pid {here}/nginx.pid;
events {{ }}
http {{
  access_log {here}/asked; client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f;
  uwsgi_temp_path {here}/u; scgi_temp_path {here}/s; lingering_close off;
  server {{
    listen {address}:{port} ssl;
    ssl_certificate {site}/repository.pem; ssl_certificate_key {site}/repository.key; ssl_protocols TLSv1.3;
    ssl_verify_client on; ssl_client_certificate {site}/authority.pem; ssl_crl {crl};
    root {site}/tree;
  }}
}}
"""
MOSQUITTO = """user root
log_dest file {here}/broker
listener {port} {address}
certfile {site}/broker.pem
keyfile {site}/broker.key
cafile {site}/authority.pem
crlfile {crl}
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
max_packet_size 270000
"""


class Depot:
    """Use as a context: what stands at the peers' addresses of one session. `site`: where certificates and tree are."""

    def __init__(self, session, site):
        self.network, self.site, self.running = session.network, site, {}
        self.folder = session.disk / "depot"
        self.folder.mkdir()

    def country(self, *command, **options):
        return subprocess.Popen(self.network.argv("country", *command), stdin=subprocess.PIPE, **options)

    def stand(self, name, place, *command):
        """Starts a server and waits until it listens where it belongs."""
        output = open(self.folder / f"{name}.txt", "ab")
        server = self.running[name] = self.country(*command, stdout=output, stderr=output)
        deadline, where = time.monotonic() + PATIENCE, f"{place[0]}:{place[1]}"
        while where not in self.network.inside("country", "ss", "-Hltn"):
            said = (self.folder / f"{name}.txt").read_text(errors="replace")
            assert server.poll() is None and time.monotonic() < deadline, f"{name} does not stand at {where}: {said}"
            time.sleep(0.05)
        self.network.inside("country", "nft", "add element inet answer real { %s . %d }" % place)

    def write(self, name, text, place, crl):
        file = self.folder / name
        file.write_text(text.format(here=self.folder, site=self.site, address=place[0], port=place[1], crl=self.site / crl))
        return file

    def repository(self, crl="crl.pem"):
        config = self.write("nginx.conf", NGINX, CONTROL, crl)
        self.stand("nginx", CONTROL, "/usr/sbin/nginx", "-e", self.folder / "errors", "-c", config)

    def broker(self, crl="crl.pem"):
        config = self.write("mosquitto.conf", MOSQUITTO, BROKER, crl)
        self.stand("mosquitto", BROKER, "/usr/sbin/mosquitto", "-c", config)

    def hostile(self):
        """Both, with the keys of the real ones."""
        peers = [[*place, protocol, self.site / f"{name}.pem", self.site / f"{name}.key"] for name, place, protocol in (
            ("repository", CONTROL, "http/1.1"), ("broker", BROKER, "mqtt"))]
        self.stand("hostile", BROKER, sys.executable, HERE / "hostile.py", self.folder / "answered", *peers[0], *peers[1])
        self.network.inside("country", "nft", "add element inet answer real { %s . %d }" % CONTROL)

    def die(self, name):
        """Ends a server without a word to anybody."""
        server = self.running.pop(name)
        server.kill()
        server.wait()

    def said(self, name):
        file = self.folder / name
        return file.read_text(errors="replace") if file.exists() else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.running):
            self.die(name)
        self.network.inside("country", "nft", "flush set inet answer real")
