"""Serves every repository of a run over loopback HTTP."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from repository import Repository


class Server:
    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number, _, path = self.path.lstrip("/").partition("/")
                repository = server.repositories[number]
                repository.requests.append(path)
                fault, content = repository.faults.get(path), repository.files.get(path)
                if fault == -1:  # the connection breaks off half-way
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: len(content) // 2])
                elif fault or content is None:
                    self.send_error(fault or 404)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    try:
                        self.wfile.write(content)
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # a client may hang up once it has had enough

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def add(self, repository: Repository) -> str:
        number = str(len(self.repositories))
        self.repositories[number] = repository
        return f"http://127.0.0.1:{self.http.server_address[1]}/{number}"
