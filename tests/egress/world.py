"""Answers everything: every TCP port takes connections, and what comes decides the answer. Who leaks is made welcome.

DNS (UDP and TCP): the address of the attacker for every name. NTP: the time. HTTP: a redirect, an alternative service
and a link elsewhere. MQTT: CONNACK "server moved" with a Server Reference. Anything else is kept open and read.
Ends when its input ends.
"""
import asyncio
import itertools
import os
import re
import struct
import sys
import time

from plan import OUTSIDE

ELSEWHERE = f"http://{OUTSIDE}/"
STATUSES = itertools.cycle(("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"))


def dns(question):
    """The question with one answer: OUTSIDE, for a day."""
    header = question[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
    end = question.find(b"\0", 12) + 5
    address = bytes(int(part) for part in OUTSIDE.split("."))
    return header + question[12:end] + struct.pack(">HHHIH", 0xC00C, 1, 1, 86400, 4) + address


def ntp(_):
    now = struct.pack(">II", int(time.time()) + 2208988800, 0)
    return struct.pack(">BBbb", 0x24, 1, 6, -20) + bytes(8) + b"GPS\0" + now * 4


def http(_):
    return (f"HTTP/1.1 {next(STATUSES)}\r\nLocation: {ELSEWHERE}\r\nAlt-Svc: h2=\"{OUTSIDE}:443\"; ma=86400\r\n"
            f"Link: <{ELSEWHERE}>; rel=preload\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").encode()


def connack(_):
    """MQTT 5 §3.2: reason 0x9D, server moved; property 0x1C, Server Reference."""
    reference = f"{OUTSIDE}:8883".encode()
    properties = b"\x1c" + struct.pack(">H", len(reference)) + reference
    body = b"\0\x9d" + bytes([len(properties)]) + properties
    return b"\x20" + bytes([len(body)]) + body


def answer(data):
    if re.match(rb"[A-Z]{3,8} ", data):
        return http(data)
    if data[:1] == b"\x10":
        return connack(data)
    if len(data) > 14 and int.from_bytes(data[:2], "big") == len(data) - 2:
        return struct.pack(">H", len(dns(data[2:]))) + dns(data[2:])
    return b""


async def stream(reader, writer):
    try:
        while data := await reader.read(65536):
            reply = answer(data)
            writer.write(reply)
            await writer.drain()
            if reply.startswith(b"HTTP"):
                break
    except ConnectionError:
        pass
    writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, reply):
        self.reply = reply

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        self.transport.sendto(self.reply(data), sender)


async def main():
    loop = asyncio.get_running_loop()
    await asyncio.start_server(stream, None, 9000, backlog=4096)
    for port, reply in ((9053, dns), (9123, ntp)):
        # Both families: bindv6only is off.
        await loop.create_datagram_endpoint(lambda reply=reply: Datagrams(reply), ("::", port))
    print("answering", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    sys.stdout.flush()
    os._exit(0)  # whoever is still connected is of no interest


if __name__ == "__main__":
    asyncio.run(main())
