"""The two ends of the appliance's wire.

wire.py record INTERFACE FILE: writes every frame of every ethertype in both directions until its input ends, then one
line of JSON: {"frames": …, "lost": …}. It says "recording" first.
wire.py send INTERFACE WORD: sends a canary frame, past queueing disciplines and packet filters (PACKET_QDISC_BYPASS).
"""
import json
import select
import socket
import struct
import sys

import frames

SOL_PACKET, PACKET_STATISTICS, PACKET_QDISC_BYPASS = 263, 6, 20  # linux/if_packet.h
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35  # asm-generic/socket.h
ETH_P_ALL, PACKET_OUTGOING = 3, 4


def record(interface, path):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    wire.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    wire.bind((interface, ETH_P_ALL))
    writer, count = frames.Writer(path), 0
    print("recording", flush=True)

    def take():
        frame, told, _, (_, _, kind, *_) = wire.recvmsg(65536, 64)
        seconds, nanoseconds = struct.unpack("qq", told[0][2])  # when the kernel got it, not when it is read here
        writer.add(seconds * 10**9 + nanoseconds, frames.TO_APPLIANCE if kind == PACKET_OUTGOING else frames.FROM_APPLIANCE, frame)

    watched = [wire, sys.stdin]
    while sys.stdin in watched:
        ready, _, _ = select.select(watched, [], [])
        if wire in ready:
            take()
            count += 1
        elif sys.stdin.buffer.read1(1) == b"":
            watched.remove(sys.stdin)
    writer.close()
    _, lost = (int.from_bytes(wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)[at:at + 4], sys.byteorder) for at in (0, 4))
    print(json.dumps({"frames": count, "lost": lost}), flush=True)


def send(interface, word):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    wire.bind((interface, 0))
    wire.send(frames.canary(word))


if __name__ == "__main__":
    {"record": record, "send": send}[sys.argv[1]](*sys.argv[2:])
