"""Something to forward a port to."""

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable


class Port:
    """A port on loopback. Each connection is given to `serve` in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.number: int = self._listener.getsockname()[1]
        # How many connections there have been.
        self.connections = 0
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._one, args=[connection], daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._serve(connection)

    def close(self) -> None:
        """Nobody is there any more."""
        # Closed alone, it would still be there for the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def echo(connection: socket.socket) -> None:
    """Says what it is told, and ends when the other side has ended."""
    while data := connection.recv(65536):
        connection.sendall(data)


def digest(connection: socket.socket) -> None:
    """Reads to the end; says the SHA-256 of what it has read."""
    found = hashlib.sha256()
    while data := connection.recv(65536):
        found.update(data)
    connection.sendall(found.digest())


def says(data: bytes) -> Callable[[socket.socket], None]:
    """Says this, whoever asks, and ends."""
    return lambda connection: connection.sendall(data)
