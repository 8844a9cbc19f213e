"""smux, version 1: several connections as one stream of bytes. The numbers in it are little-endian, unlike
all others of this protocol."""

import struct

SYN, FIN, PSH, NOP = range(4)

# A client's streams are 3, 5, 7, …; only clients open any.
FIRST_STREAM = 3

# Payload of a frame, bytes at most.
MAX_PAYLOAD = 32768

_HEADER = struct.Struct("<BBHI")


def frame(command: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(1, command, len(payload), stream) + payload


def pushes(stream: int, data: bytes) -> bytes:
    """Data, in as many frames as it takes."""
    pieces = range(0, len(data), MAX_PAYLOAD)
    return b"".join(frame(PSH, stream, data[at : at + MAX_PAYLOAD]) for at in pieces)


class Reader:
    """Takes frames out of a stream that comes in any pieces."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Adds some bytes: the frames that are whole now, as command, stream and payload."""
        self._rest += data
        found = []
        while len(self._rest) >= _HEADER.size:
            version, command, length, stream = _HEADER.unpack_from(self._rest)
            assert version == 1 and command <= NOP, f"no frame of smux: {bytes(self._rest[:16])!r}"
            if len(self._rest) < _HEADER.size + length:
                break
            found.append((command, stream, bytes(self._rest[_HEADER.size : _HEADER.size + length])))
            del self._rest[: _HEADER.size + length]
        return found
