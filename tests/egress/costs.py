"""What the layers cost: the start of a process with and without them, and each connection by the door and the filter."""
import statistics
import subprocess
import time

from leakers import PROCESS
from plan import AGENT_UID

STARTS, CONNECTIONS = 15, 200
ENVIRONMENT = {"HTTPS_PROXY": "http://198.51.100.7:3128"}  # something to clear


def measure(place, unfiltered, filtered):
    """Medians, as text by what was measured; none of it under trace."""
    leaker = place.program("casemate-leaker")
    commands = {name: [leaker, "rest", *layers] for name, layers in
                {"none": (), **{layer: (layer,) for layer in PROCESS}, "process": PROCESS}.items()}
    # In turns, so that whatever else the machine does falls on all of them.
    rounds = [{name: start(unfiltered, command) for name, command in commands.items()} for _ in range(STARTS)]
    started = {name: statistics.median(one[name] for one in rounds) for name in commands}
    connected = {name: connection(network, [leaker, "measure", str(CONNECTIONS), *layers]) for name, network, layers in (
        ("none", unfiltered, ()), ("door", unfiltered, ("door",)), ("landlock", unfiltered, ("landlock",)),
        ("seccomp", unfiltered, ("seccomp",)), ("host", filtered, ()), ("all", filtered, ("door", *PROCESS[1:])))}
    bare = started.pop("none")
    table = {"start of a process without layers": f"{bare * 1e3:.1f} ms"}
    table |= {f"start, {name} added": f"{(taken - bare) * 1e3:+.1f} ms" for name, taken in started.items()}
    plain = connected.pop("none")
    table["connection to a peer without layers"] = f"{plain / 1e3:.0f} µs"
    return table | {f"connection, {name} added": f"{(taken - plain) / 1e3:+.0f} µs" for name, taken in connected.items()}


def as_agent(network, command):
    return network.argv("appliance", "setpriv", "--reuid", AGENT_UID, "--regid", AGENT_UID, "--clear-groups", "--", *command)


def start(network, command):
    begun = time.perf_counter()
    subprocess.run(as_agent(network, command), check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - begun


def connection(network, command):
    done = subprocess.run(as_agent(network, command), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, command
    return int(done.stdout)
