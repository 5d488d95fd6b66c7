"""A service on the appliance that probes ask: /health is well, everything else is a redirect to the outside.

Ends when its input ends.
"""
import asyncio
import sys

import world


async def stream(reader, writer):
    asked = await reader.read(4096)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if b" /health " in asked else world.http(asked))
    await writer.drain()
    writer.close()


async def main():
    await asyncio.start_server(stream, "127.0.0.1", int(sys.argv[1]))
    print("answering", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
