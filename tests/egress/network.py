"""The network the appliance stands in: three namespaces of the run's own, joined by virtual cables.

    appliance ──wire── country (gateway, peers) ──cable── world (every other address there is)

Nothing of the machine's own network is in any of them.
"""
import json
import pathlib
import subprocess
import sys

import plan

HERE = pathlib.Path(__file__).resolve().parent


class Network:
    """Three namespaces and the servers in two of them. The filter is loaded before the wire is up, as at boot."""

    def __init__(self, name, ipv6, filtered=None, at_once=True):
        self.name, self.holders, self.servers = name, {}, []
        for place in ("appliance", "country", "world"):
            self.holders[place] = subprocess.Popen(["unshare", "--net", "--", "sh", "-c", "echo up; exec sleep infinity"],
                                                   stdout=subprocess.PIPE, text=True)
            assert self.holders[place].stdout.readline() == "up\n", f"no namespace for {place}"
        self.connected, self.filtered = False, filtered
        self.count()
        self.cables(ipv6)
        if filtered:
            filtered(self)
        if at_once:
            self.connect()
        for place in ("country", "world"):
            server = subprocess.Popen(self.argv(place, sys.executable, HERE / "world.py"), stdout=subprocess.PIPE,
                                      stdin=subprocess.PIPE, text=True)
            assert server.stdout.readline() == "answering\n", f"{place} does not answer"
            self.servers.append(server)

    def argv(self, place, *command):
        return ["nsenter", "-t", str(self.holders[place].pid), "--net", "--", *map(str, command)]

    def inside(self, place, *command, text=None):
        done = subprocess.run(self.argv(place, *command), text=True, input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        assert done.returncode == 0, f"{place}: {' '.join(map(str, command))}: {done.stderr.strip()}"
        return done.stdout

    def script(self, place, text):
        self.inside(place, "sh", "-euc", text)

    def cables(self, ipv6):
        pid = {place: holder.pid for place, holder in self.holders.items()}
        far, near, far_v6, near_v6 = plan.LINK
        self.script("country", f"""
            ip link set lo up
            ip link add wire type veth peer name eth0 netns {pid['appliance']}
            ip link add cable type veth peer name cable netns {pid['world']}
            sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.wire.accept_dad=0 \
              net.ipv6.conf.wire.router_solicitations=0
            for address in {plan.GATEWAY}/16 {plan.CONTROL[0]}/16 {plan.BROKER[0]}/16 {plan.PUBLISHER}/16 {plan.GATEWAY_V6}/64; do
              ip address add $address dev wire; done
            ip address add {far}/30 dev cable; ip -6 address add {far_v6}/64 dev cable nodad
            ip link set wire up; ip link set cable up
            nft -f {HERE}/answer.nft""")
        self.script("world", f"""
            ip link set lo up; ip link set cable up
            ip address add {near}/30 dev cable; ip -6 address add {near_v6}/64 dev cable nodad
            ip route add local 0.0.0.0/0 dev lo; ip -6 route add local ::/0 dev lo
            ip route add 10.20.0.0/16 via {far}; ip -6 route add fd00:20::/64 via {far_v6}
            nft -f {HERE}/answer.nft""")
        self.script("country", f"ip route add default via {near}; ip -6 route add default via {near_v6}")
        off = "" if ipv6 else "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1;"
        self.on = f"ip address add {plan.APPLIANCE_V6}/64 dev eth0; ip -6 route add default via {plan.GATEWAY_V6};" if ipv6 else ""
        self.script("appliance", f"{off} ip link set lo up; ip address add {plan.APPLIANCE}/16 dev eth0")

    def connect(self):
        """Takes the appliance's end of the wire up, unless it is."""
        if self.connected:
            return
        self.connected = True
        self.script("appliance", f"ip link set eth0 up; ip route add default via {plan.GATEWAY}; {self.on}")

    def count(self, policy=plan.NOTHING):
        """Counts packets of the agent's user at the output hook, before any rule of the appliance can stop them."""
        allowed = "".join(f"    ip daddr {address} tcp dport {port} return\n" for address, port in policy.peers)
        allowed += "".join(f"    ip daddr {caller} tcp sport {port} tcp flags & (syn | ack) != syn return\n"
                           for caller in policy.callers for port in policy.listens)
        self.inside("appliance", "nft", "-f", "-", text=f"""
table inet egress_proof
delete table inet egress_proof
table inet egress_proof {{
  counter agent {{ }}
  counter others {{ }}
  chain output {{
    type filter hook output priority -500; policy accept;
    oifname "lo" return
{allowed}    meta skuid {plan.AGENT_UID} counter name agent return
    counter name others
  }}
}}
""")

    def mark(self, word):
        """Sends a canary frame from the appliance. The kernel judges frames even of raw sockets that go past its queues,
        so where the filter judges frames, that table is lifted for this moment, in which nothing runs."""
        if self.filtered and "table netdev casemate" in self.ruleset():
            self.inside("appliance", "nft", "delete", "table", "netdev", "casemate")
        self.inside("appliance", sys.executable, HERE / "wire.py", "send", "eth0", word)
        if self.filtered:
            self.filtered(self)

    def knock(self, port):
        """A datagram to the appliance from the country, though the appliance does not answer to who asks for its address."""
        link = json.loads(self.inside("appliance", "ip", "-json", "link", "show", "eth0"))[0]["address"]
        self.script("country", f"ip neigh replace {plan.APPLIANCE} lladdr {link} dev wire")
        self.inside("country", sys.executable, "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
                    f".sendto(b'x', ('{plan.APPLIANCE}', {port}))")

    def counters(self):
        listed = self.inside("appliance", "nft", "list", "counters", "table", "inet", "egress_proof")
        words = listed.split()
        return {name: int(words[words.index("packets", words.index(name)) + 1]) for name in ("agent", "others")}

    def ruleset(self):
        return self.inside("appliance", "nft", "list", "ruleset")

    def end(self):
        for server in self.servers:
            server.stdin.close()
            server.wait()
        for holder in self.holders.values():
            holder.kill()
            holder.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
