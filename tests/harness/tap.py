"""A way between an agent and its hub on which each request is seen, and the messages may be changed."""

import http.client
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The agent's long poll ends before.
_TIMEOUT_SECONDS = 30


class Tap:
    """Forwards to a hub. Signatures hold, as headers are passed on as they are; answers have none."""

    def __init__(self, hub):
        self.region = hub.region
        self.seen: list[tuple[str, dict]] = []
        self.change: Callable[[dict], None] | None = None
        # Whether a web page comes in answer to a request, of which nothing reaches the hub.
        self.holds_back: Callable[[str, dict], bool] = lambda _operation, _body: False
        scheme, _, upstream = hub.endpoint.partition("://")
        tap = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                tap.seen.append((operation, json.loads(body)))
                if tap.holds_back(operation, json.loads(body)):
                    self.send_response(200)
                    self.send_header("Content-Length", "6")
                    self.end_headers()
                    self.wfile.write(b"<html>")
                    return
                try:
                    self.forward(operation, body)
                except (OSError, http.client.HTTPException):
                    # The hub or the agent has gone; a test that needed them sees that itself.
                    self.close_connection = True

            def forward(self, operation: str, body: bytes) -> None:
                """Asks the hub and passes its answer on."""
                if scheme == "https":
                    trust = ssl.create_default_context(cafile=hub.ca())
                    connection = http.client.HTTPSConnection(
                        upstream, timeout=_TIMEOUT_SECONDS, context=trust
                    )
                else:
                    connection = http.client.HTTPConnection(upstream, timeout=_TIMEOUT_SECONDS)
                connection.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                content = tap.changed(operation, answer.read())
                connection.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def changed(self, operation: str, content: bytes) -> bytes:
        """The answer as the agent gets it."""
        if operation != "GetMessages" or not self.change:
            return content
        answer = json.loads(content)
        for message in answer.get("Messages") or []:
            self.change(message)
        return json.dumps(answer).encode()

    def requests(self, operation: str) -> list[dict]:
        """The bodies of all requests for one operation so far."""
        return [body for seen, body in self.seen if seen == operation]

    def close(self) -> None:
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()
