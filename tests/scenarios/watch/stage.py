"""Runs the watcher in the network namespace it finds itself in, has packets of every kind dropped, prints what it wrote.

`stage.py FOLDER UNIT PROGRAM ARGUMENT…`: FOLDER is where the watcher writes; UNIT a control group to send from, or "".
"""
import errno
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

folder, unit, *watcher = sys.argv[1:]
RULES = """
table inet stage {
  chain outwards {
    type filter hook output priority 0; policy accept;
    ip daddr 192.0.2.9 log group 53 snaplen 128 prefix "out " drop
    ip6 daddr 2001:db8::9 log group 53 snaplen 128 prefix "out " drop
  }
  chain inwards {
    type filter hook input priority 0; policy accept;
    tcp dport 8008 log group 53 snaplen 128 prefix "in " drop
  }
}
"""
# UDP of root (3), UDP of somebody else (1), TCP (1), ICMP (2), IPv6 UDP (1), and one from outside (1 or more).
SENDERS = {
    "udp": "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nfor _ in range(3): send(s,('192.0.2.9',53))",
    "other": "os.setuid(65534);s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);send(s,('192.0.2.9',123))",
    "tcp": "s=socket.socket();s.settimeout(0.2)\ntry: s.connect(('192.0.2.9',443))\nexcept OSError: pass",
    "icmp": "s=socket.socket(socket.AF_INET,socket.SOCK_RAW,1)\nfor _ in range(2): send(s,('192.0.2.9',0),b'\\x08'+bytes(7))",
    "ipv6": "s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM);send(s,('2001:db8::9',53))",
    "in": "s=socket.socket();s.settimeout(0.2)\ntry: s.connect(('127.0.0.1',8008))\nexcept OSError: pass",
}
START = """
import os, socket
def send(s, to, what=b'x'):
    try: s.sendto(what, to)
    except PermissionError: pass
"""


def run(*command, **more):
    subprocess.run(command, check=True, **more)


def document():
    return json.loads(pathlib.Path(folder, "drops.json").read_text())


def until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline and watching.poll() is None, "the watcher does not get there"
        time.sleep(0.02)


run("ip", "link", "set", "lo", "up")
run("ip", "addr", "add", "192.0.2.1/24", "dev", "lo")
run("ip", "-6", "addr", "add", "2001:db8::1/64", "dev", "lo", "nodad")
run("nft", "-f", "-", input=RULES.encode())
watching = subprocess.Popen(watcher)
try:
    until(lambda: pathlib.Path(folder, "drops.json").exists())
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{watching.pid}/status").read_text().splitlines())
    senders = []
    for name, code in SENDERS.items():
        # It waits for the start, so that it can be moved before it makes a socket; and for the end, so that its socket
        # is there to be found.
        sender = subprocess.Popen([sys.executable, "-c", f"{START}\ninput()\n{code}\nprint(flush=True)\ninput()"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if unit:
            pathlib.Path(unit, "cgroup.procs").write_text(str(sender.pid))
        sender.stdin.write(b"\n")
        sender.stdin.flush()
        assert sender.stdout.readline() == b"\n", name
        senders.append(sender)
    until(lambda: len(document()["rows"]) >= len(SENDERS) and document()["total"] >= 9)
    for sender in senders:
        sender.communicate(b"\n")
    result = {"drops": document(), "status": status}
finally:
    watching.kill()
    watching.wait()
print(json.dumps(result))
