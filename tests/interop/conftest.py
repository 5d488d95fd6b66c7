"""A site made with our tool, an appliance made with our agent, and a loopback server over any folder."""
import functools
import http.server
import json
import pathlib
import subprocess
import threading

import pytest

PROGRAMS = pathlib.Path(__file__).resolve().parents[2] / "target" / "debug"


def run(program, *arguments, cwd):
    done = subprocess.run([PROGRAMS / program, *arguments], cwd=cwd, text=True, capture_output=True)
    assert done.returncode == 0, f"{program} {arguments}: {done.stderr}"
    return done.stdout


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def serve():
    """Serves a folder; gives the URL."""
    servers = []

    def start(folder):
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()


class Site:
    """A demo site with one confirmed appliance, `lux-001`, in group `clinics`."""

    FILES = {"motd": b"hello\n", "synapse/conf.d/10-a.yaml": b"a: 1\n", "deep/er/and/deeper/x": b"deep\n", "empty": b""}

    def __init__(self, folder, *init):
        self.folder = folder
        self.tool("init", "site", "--jurisdiction", "LU", "--demo", *init)
        group = folder / "site" / "groups" / "clinics"
        (group / "values" / "clinics.toml").unlink()
        (group / "files" / "motd.in").unlink()
        bundle = 'format = 1\nsummary = "interop"\n'
        for path, content in self.FILES.items():
            bundle += f'[[file]]\npath = "{path}"\n'
            (group / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            (group / "files" / path).write_bytes(content)
        (group / "bundle.toml").write_text(bundle)
        (folder / "stick").mkdir()
        paths = {name: str(folder / value) for name, value in
                 {"state": "state", "socket": "agent.sock", "stick": "stick"}.items()}
        paths["enforcement"] = "process-only"
        (folder / "agent.toml").write_text("".join(f"{name} = {json.dumps(path)}\n" for name, path in paths.items()))
        self.agent("enrol", "request", "-o", "lux-001.req")
        words = json.loads(self.tool("--json", "appliance", "enrol", "lux-001.req", "--group", "clinics"))["words"]
        self.agent("enrol", "accept", "lux-001.grant", "--words", words)
        self.tool("appliance", "confirm", "lux-001", "--words", words)
        self.publish()

    @property
    def repository(self):
        return self.folder / "site" / "repository"

    def tool(self, *arguments):
        return run("casemate", *arguments, cwd=self.folder)

    def agent(self, *arguments):
        return run("casemate-agent", "--config", "agent.toml", *arguments, cwd=self.folder)

    def publish(self):
        self.tool("plan")
        self.tool("sign")


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)
