"""What went over the wire: pcapng files (draft-ietf-opsawg-pcapng) with a direction on every frame, and their decoding."""
import dataclasses
import ipaddress
import pathlib
import struct

from plan import MARK

FROM_APPLIANCE, TO_APPLIANCE = 1, 2  # epb_flags: inbound and outbound, as the far end of the wire sees it
ETHERTYPES = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x88CC: "LLDP", 0x888E: "802.1X", 0x8892: "PROFINET"}
PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
ICMPV6 = {128: "echo request", 133: "router solicitation", 135: "neighbour solicitation",
          136: "neighbour advertisement", 143: "MLDv2 report"}


class Writer:
    """Appends frames to a pcapng file."""

    def __init__(self, path):
        self.file = open(path, "wb", buffering=0)
        self.file.write(struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28))
        options = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol: nanoseconds
        length = 20 + len(options)
        self.file.write(struct.pack("<IIHHI", 1, length, 1, 0, 0) + options + struct.pack("<I", length))

    def add(self, nanoseconds, direction, frame):
        padded = frame + bytes(-len(frame) % 4)
        length = 32 + len(padded) + 12
        self.file.write(struct.pack("<IIIIIII", 6, length, 0, nanoseconds >> 32, nanoseconds & 0xFFFFFFFF, len(frame),
                                    len(frame)) + padded + struct.pack("<HHIHHI", 2, 4, direction, 0, 0, length))

    def close(self):
        self.file.close()


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame, decoded as far as the verdict wants it."""
    time: float
    direction: int
    ethertype: int
    payload: bytes
    protocol: str = ""       # ARP, TCP, ICMPv6 …
    source: str = ""
    destination: str = ""    # for ARP and neighbour discovery: whose address is asked for, or who is answered
    port: int = 0
    source_port: int = 0
    opens: bool = False      # TCP: asks for a connection rather than answering
    detail: str = ""

    def __str__(self):
        where = f" to {self.destination}" if self.destination else ""
        port = f" port {self.port}" if self.port else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.protocol or f'ethertype 0x{self.ethertype:04x}'}{where}{port}{detail}, {len(self.payload) + 14} bytes"


def decode(time, direction, raw):
    ethertype, payload = int.from_bytes(raw[12:14], "big"), raw[14:]
    while ethertype in (0x8100, 0x88A8) and len(payload) >= 4:
        ethertype, payload = int.from_bytes(payload[2:4], "big"), payload[4:]
    known = {"protocol": ETHERTYPES.get(ethertype, "")}
    try:
        known |= {0x0806: arp, 0x0800: ipv4, 0x86DD: ipv6}.get(ethertype, lambda _: {})(payload)
    except (IndexError, ValueError, struct.error):
        known["detail"] = "cut short"
    return Frame(time, direction, ethertype, payload, **known)


def arp(payload):
    sender, target = (str(ipaddress.IPv4Address(payload[at:at + 4])) for at in (14, 24))
    operation = {1: "who has", 2: "is at"}.get(int.from_bytes(payload[6:8], "big"), "?")
    return {"source": sender, "destination": target, "detail": operation}


def transport(number, payload):
    known = {"protocol": PROTOCOLS.get(number, f"protocol {number}")}
    if number in (6, 17, 132):
        known["port"] = int.from_bytes(payload[2:4], "big")
        known["source_port"] = int.from_bytes(payload[0:2], "big")
        known["detail"] = f"from port {known['source_port']}"
    if number == 6:
        known["opens"] = payload[13] & 0x12 == 0x02  # SYN without ACK
    return known


def ipv4(payload):
    header = (payload[0] & 15) * 4
    source, destination = (str(ipaddress.IPv4Address(payload[at:at + 4])) for at in (12, 16))
    known = {"source": source, "destination": destination}
    if int.from_bytes(payload[6:8], "big") & 0x1FFF:
        return known | {"protocol": PROTOCOLS.get(payload[9], ""), "detail": "later fragment"}
    return known | transport(payload[9], payload[header:])


def ipv6(payload):
    source, destination = (str(ipaddress.IPv6Address(payload[at:at + 16])) for at in (8, 24))
    number, rest = payload[6], payload[40:]
    while number in (0, 43, 60):  # options and routing headers
        number, rest = rest[0], rest[(rest[1] + 1) * 8:]
    known = {"source": source, "destination": destination} | transport(number, rest)
    if number == 58:
        known["detail"] = ICMPV6.get(rest[0], f"type {rest[0]}")
        if rest[0] in (135, 136):
            known["destination"] = str(ipaddress.IPv6Address(rest[8:24])) if rest[0] == 135 else destination
    return known


def read(path):
    """The frames of a file that Writer wrote; a torn last block is left out."""
    data, at, frames = pathlib.Path(path).read_bytes(), 0, []
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if length < 12 or at + length > len(data):
            break
        if kind == 6:
            _, high, low, held, _ = struct.unpack_from("<IIIII", data, at + 8)
            padded = held + -held % 4
            direction, = struct.unpack_from("<I", data, at + 28 + padded + 4)
            frames.append(decode((high << 32 | low) / 1e9, direction, data[at + 28:at + 28 + held]))
        at += length
    return frames


def canary(word):
    """The frame whose arrival in the capture shows that it was on: broadcast, so that no address has to be asked for."""
    return (b"\xff" * 6 + b"\x02casem" + MARK.to_bytes(2, "big") + b"casemate egress proof " + word.encode()).ljust(60, b"\0")


def is_canary(frame, word):
    return frame.ethertype == MARK and frame.payload.startswith(b"casemate egress proof " + word.encode())
