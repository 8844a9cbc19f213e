"""Websockets on a server's side: the upgrade's answer, and frames of RFC 6455."""

import base64
import contextlib
import hashlib
import socket
import threading
from typing import BinaryIO

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUATION = 0

# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(key: str) -> str:
    """What a server answers to a client's key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


class Socket:
    """A websocket that a client has opened."""

    def __init__(self, connection: socket.socket, reader: BinaryIO):
        self._connection, self._reader = connection, reader
        self._sending = threading.Lock()
        # How many pings have come, and whether they are answered.
        self.pings: list[bytes] = []
        self.answers_pings = True
        # Whether what comes is read at all.
        self.reading = threading.Event()
        self.reading.set()

    def send(self, data: bytes, code: int = BINARY, pieces: int = 1) -> None:
        """Sends a message, in so many fragments. A client that has gone doesn't matter."""
        size = max(1, -(-len(data) // pieces))
        parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        with self._sending, contextlib.suppress(OSError):
            for number, part in enumerate(parts):
                last = number == len(parts) - 1
                head = bytes([(last << 7) | (_CONTINUATION if number else code)])
                if len(part) < 126:
                    head += bytes([len(part)])
                elif len(part) < 1 << 16:
                    head += bytes([126]) + len(part).to_bytes(2, "big")
                else:
                    head += bytes([127]) + len(part).to_bytes(8, "big")
                self._connection.sendall(head + part)

    def receive(self) -> bytes | None:
        """The next message; `None`: the client has closed, or the connection is broken. Pings are answered
        meanwhile."""
        whole = bytearray()
        while True:
            try:
                self.reading.wait()
                last, code, data = self._frame()
            except (OSError, EOFError, ValueError):
                return None
            if code == PING:
                self.pings.append(data)
                if self.answers_pings:
                    self.send(data, PONG)
            elif code == CLOSE:
                return None
            elif code != PONG:
                # A message's first fragment has its code, and the others none.
                assert (code == _CONTINUATION) == bool(whole), f"a fragment of code {code} out of turn"
                whole += data
                if last:
                    return bytes(whole)

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._exactly(2)
        assert not first & 0x70, "a bit is set that stands for an extension, and none was agreed on"
        assert second & 0x80, "a client's frame has to be masked"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self._exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self._exactly(8), "big")
        mask, data = self._exactly(4), self._exactly(size)
        long = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(data, "big") ^ int.from_bytes(long, "big")
        return bool(first & 0x80), first & 0x0F, plain.to_bytes(size, "big")

    def _exactly(self, count: int) -> bytes:
        data = self._reader.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def cut(self) -> None:
        """Breaks the connection without a word."""
        self.reading.set()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
