"""From a port of the loopback to a unix socket: schemathesis dials TCP only."""
import contextlib
import socket
import threading


class Relay:
    """Listens on a port the kernel chooses; `spoil` may change what comes back, piece by piece."""

    def __init__(self, path, spoil=None):
        self.path, self.spoil = str(path), spoil
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            agent = socket.socket(socket.AF_UNIX)
            agent.connect(self.path)
            threading.Thread(target=self._pump, args=(client, agent, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(agent, client, self.spoil), daemon=True).start()

    @staticmethod
    def _pump(source, sink, spoil):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(spoil(data) if spoil else data)
        # Whoever is done ends both sides: the other pump then ends as well.
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
