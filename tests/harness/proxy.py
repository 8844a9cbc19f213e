"""An HTTP proxy: CONNECT, with a user and a password if it is given them."""

import base64
import contextlib
import socket
import threading


class Proxy:
    """Forwards what it is asked to, and remembers what it was asked for."""

    def __init__(self, user: str = "", password: str = ""):
        self.wanted = base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        # The hosts and ports that it has connected to, and how often it refused.
        self.connected: list[str] = []
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._one, args=[client], daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                more = client.recv(1)
                if not more:
                    return
                head += more
            lines = head.decode().split("\r\n")
            method, target, _ = lines[0].split(" ")
            headers = {
                name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])
            }
            if self.wanted and headers.get("proxy-authorization") != f"Basic {self.wanted}":
                self.refused += 1
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            if method != "CONNECT":
                client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return
            self.connected.append(target)
            # Every name is this machine.
            port = int(target.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pass, args=[server, client], daemon=True)
                back.start()
                _pass(client, server)
                back.join()

    def close(self) -> None:
        """Ends it."""
        self._listener.close()


def _pass(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
