"""Who is where: the addresses of the proof, all private or of documentation ranges (RFC 5737, RFC 3849)."""
import dataclasses
import ipaddress

APPLIANCE, APPLIANCE_V6 = "10.20.0.50", "fd00:20::50"
GATEWAY, GATEWAY_V6 = "10.20.0.1", "fd00:20::1"
CONTROL = ("10.20.0.5", 8443)
BROKER = ("10.20.0.6", 8883)
PUBLISHER = "10.20.0.7"  # who pushes
ABSENT = ("10.20.0.9", 8443)  # a peer's address at which nobody is
LINK = ("10.99.0.1", "10.99.0.2", "fd00:99::1", "fd00:99::2")  # from the country to the world
OUTSIDE, RESOLVER, OUTSIDE_V6 = "198.51.100.7", "192.0.2.53", "2001:db8::7"
MARK = 0x88B5  # ethertype of the canary frames (IEEE 802 local experimental 1)
AGENT_UID = 990


@dataclasses.dataclass(frozen=True)
class Policy:
    """What the appliance may do, as the verdict reads it: independent of the agent's own types."""
    peers: frozenset = frozenset()       # of (address, TCP port)
    gateways: frozenset = frozenset()    # of addresses
    loopback: frozenset = frozenset()    # TCP ports that probes ask
    unix: tuple = ()                     # prefixes of paths of local sockets
    programs: tuple = ()                 # what may be executed
    listens: frozenset = frozenset()     # TCP ports that others may connect to
    callers: frozenset = frozenset()     # from which addresses: they are answered, never called
    netlink: frozenset = frozenset()     # protocols in which the machine's own kernel may be spoken to
    tools: tuple = ()                    # (program, its policy): other people's programs that ours may start

    def of(self, program):
        """What holds for a process of that program."""
        return dict(self.tools).get(program, self)

    def addresses(self):
        return {address for address, _ in self.peers} | self.gateways | self.callers

    def reaches(self, address, port):
        """Whether a TCP connection to there is inside the policy."""
        if ipaddress.ip_address(address).is_loopback:
            return port in self.loopback
        return (address, port) in self.peers


NOTHING = Policy()
