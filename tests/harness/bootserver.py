"""A BootAgent server written from the founding page alone: three paths, plain JSON, nothing signed."""

import json
import ssl
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REGISTER, STATUS, RESULT = "/agent/register", "/agent/status", "/agent/job/result"


class Exchange:
    """One request, and the answer that a test may change before it is sent."""

    def __init__(self, path: str, headers: dict[str, str], text: str, peer: tuple):
        self.path, self.headers, self.text, self.peer = path, headers, text, peer
        self.body = json.loads(text)
        self.status = 200
        self.answer = "{}"
        self.more: dict[str, str] = {}


class BootServer:
    """Takes every agent in, hands each job to the next status report, and keeps what it hears."""

    def __init__(self, port: int = 0, certificate: Path | None = None):
        self.exchanges: list[Exchange] = []
        self.jobs: list[dict] = []
        self.tags = "service=ecs,component"
        # What a test wants otherwise: called with each exchange before its answer goes out.
        self.twist: Callable[[Exchange], None] = lambda exchange: None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                exchange = Exchange(self.path, headers, text, self.client_address)
                server.serve(exchange)
                self.send_response(exchange.status)
                body = exchange.answer.encode()
                for name, value in {"Content-Length": str(len(body)), **exchange.more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://{self.address}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def serve(self, exchange: Exchange) -> None:
        """Answers as the page does."""
        if exchange.path == REGISTER:
            answer = {"status": 0, "agentsn": exchange.body["agentsn"], "tags": self.tags}
        elif exchange.path == STATUS:
            answer = {"errcode": 0, "jobs": self.jobs}
            self.jobs = []
        else:
            answer = {"errcode": 0}
        exchange.answer = json.dumps(answer)
        self.twist(exchange)
        self.exchanges.append(exchange)

    def give(self, **members: object) -> str:
        """A job for the next status report; its id."""
        job = {"id": str(uuid.uuid4()), **members}
        self.jobs = [*self.jobs, job]
        return job["id"]

    def heard(self, path: str) -> list[Exchange]:
        """The exchanges of one path, oldest first."""
        return [exchange for exchange in self.exchanges if exchange.path == path]

    def results(self) -> list[dict]:
        """All results that have been delivered, in their order."""
        return [result for exchange in self.heard(RESULT) for result in exchange.body]

    def close(self) -> None:
        """Ends it; its port is free again."""
        self._server.shutdown()
        self._server.server_close()
