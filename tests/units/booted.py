"""What is done in the machine that tests/units/boot started: commands, waiting, packages."""
import json
import pathlib
import subprocess
import time

INSIDE = str(pathlib.Path(__file__).resolve().parent / "inside")
PATIENCE = 120  # seconds an event may take


def inside(command, check=True, text=None):
    """What a command said; where it may fail, how it ended."""
    done = subprocess.run([INSIDE, "bash", "-euc", command], text=True, input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode:
        raise AssertionError(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout.strip() if check else done


def until(what, look):
    """What `look` answers once that is something."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.05)
    return seen


def show(unit, key):
    return inside(f"systemctl show -p {key} --value {unit}")


def agent(arguments):
    return json.loads(inside(f"casemate-agent --json {arguments}"))


def enforced():
    """What the enforcer says of itself."""
    return json.loads(inside("cat /run/casemate-boundary/status.json"))


def install(*debs):
    """Brings packages from this side and installs them."""
    places = []
    for deb in debs:
        encoded = subprocess.run(["base64", deb], stdout=subprocess.PIPE, text=True, check=True).stdout
        inside(f"base64 -d >/srv/{deb.name}", text=encoded)
        places.append(f"/srv/{deb.name}")
    return inside(f"apt-get install -y --allow-downgrades {' '.join(places)} 2>&1")
