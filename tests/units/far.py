"""The other end of a cable: takes connections and sends back what it gets, until its input ends."""
import socket
import sys
import threading

PORTS = (8443, 8448, 9000)


def serve(server):
    while True:
        stream, _ = server.accept()
        threading.Thread(target=echo, args=[stream], daemon=True).start()


def echo(stream):
    with stream:
        while data := stream.recv(4096):
            stream.sendall(data)


for port in PORTS:
    threading.Thread(target=serve, args=[socket.create_server(("", port))], daemon=True).start()
print("answering", flush=True)
sys.stdin.read()
