"""What took the place of a repository and of a broker, with their keys: whoever comes is sent elsewhere.

hostile.py FILE ADDRESS PORT PROTOCOL CERTIFICATE KEY [ADDRESS …]: notes each answer in FILE; ends when its input ends.
"""
import asyncio
import ssl
import sys

import world


def place(log):
    async def stream(reader, writer):
        try:
            while asked := await reader.read(65536):
                writer.write(world.answer(asked))
                await writer.drain()
                log.write("redirect\n" if asked.startswith(b"GET ") else "server-moved\n" if asked[:1] == b"\x10" else "?\n")
        except (ConnectionError, ssl.SSLError):
            pass
        writer.close()
    return stream


async def main(log, *places):
    for address, port, protocol, certificate, key in zip(*[iter(places)] * 5):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        tls.set_alpn_protocols([protocol])
        await asyncio.start_server(place(log), address, int(port), ssl=tls)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


with open(sys.argv[1], "w", buffering=1) as answered:
    asyncio.run(main(answered, *sys.argv[2:]))
