"""A TCP proxy on loopback that counts the bytes of each operation and when it was first asked."""

import contextlib
import re
import socket
import threading
import time
from collections import Counter, defaultdict

_TARGET = re.compile(rb"(?im)^x-amz-target: *\w+\.(\w+)")


class Proxy:
    """Forwards to one address. An agent has one request at a time on a connection, so all bytes
    from one request line to the next, of both directions, belong to that request."""

    def __init__(self, upstream: str):
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.reset()
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """Forgets what was counted."""
        self.requests: Counter[str] = Counter()
        self.bytes: defaultdict[str, int] = defaultdict(int)
        self.first: dict[str, float] = {}
        # Of both directions, whatever they belong to.
        self.total = 0

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            try:
                server = socket.create_connection(self._upstream)
            except OSError:
                client.close()
                continue
            # Forwarded at once: the proxy must not add Nagle's delays of its own.
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            current = ["unknown"]
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(*ends, current), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_request: bool, current: list[str]) -> None:
        try:
            while chunk := source.recv(65536):
                if is_request and (match := _TARGET.search(chunk)):
                    current[0] = match[1].decode()
                    self.requests[current[0]] += 1
                    self.first.setdefault(current[0], time.monotonic())
                self.bytes[current[0]] += len(chunk)
                self.total += len(chunk)
                sink.sendall(chunk)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
