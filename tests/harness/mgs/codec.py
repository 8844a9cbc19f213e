"""The binary messages of both channels: a header of 120 bytes, all numbers big-endian, and a payload."""

import hashlib
import json
import time
import uuid
from dataclasses import dataclass, field

# Where the fields begin, and where the last one ends.
_KIND, _SCHEMA, _CREATED, _SEQUENCE, _FLAGS, _ID, _DIGEST, _TYPE, _LENGTH, _PAYLOAD = (
    4, 36, 40, 48, 56, 64, 80, 112, 116, 120,
)  # fmt: skip

# What the first field says: where the length of the payload is.
_HEADER_LENGTH = 116

# Types of payloads of stream data.
OUTPUT, SIZE = 1, 3
HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE = 5, 6, 7
FLAG, STDERR, EXIT_CODE = 10, 11, 12

# What a payload of the type FLAG says.
DISCONNECT_TO_PORT, TERMINATE_SESSION, CONNECT_TO_PORT_ERROR = 1, 2, 3

# Bits of the header's flags.
SYN, SYN_AND_FIN = 1, 3

# The types of messages that make up the numbered streams.
FROM_AGENT, FROM_CLIENT = "output_stream_data", "input_stream_data"


class Malformed(Exception):
    """Bytes that are no message, and why."""


@dataclass
class Frame:
    """A message."""

    kind: str
    payload: bytes = b""
    sequence: int = 0
    flags: int = 0
    type: int = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: int = field(default_factory=lambda: int(time.time() * 1000))

    def bytes(self) -> bytes:
        """On the wire."""
        return b"".join(
            [
                _number(_HEADER_LENGTH, 4),
                self.kind.encode("ascii").ljust(_SCHEMA - _KIND, b" "),
                _number(1, 4),
                _number(self.created, 8),
                _number(self.sequence, 8, signed=True),
                _number(self.flags, 8),
                _swapped(uuid.UUID(self.id).bytes),
                hashlib.sha256(self.payload).digest(),
                _number(self.type, 4),
                _number(len(self.payload), 4),
                self.payload,
            ]
        )

    @classmethod
    def read(cls, raw: bytes) -> "Frame":
        """Reads a message, and is stricter than either of the original's ends: whoever sends one to the
        tests has to be right in everything.

        :raises Malformed: it isn't.
        """
        if len(raw) < _PAYLOAD:
            raise Malformed(f"{len(raw)} bytes are less than a header")
        if _value(raw, 0, _KIND) != _HEADER_LENGTH:
            raise Malformed(f"the header's length is {_value(raw, 0, _KIND)}, not {_HEADER_LENGTH}")
        if _value(raw, _SCHEMA, _CREATED) != 1:
            raise Malformed(f"the schema's version is {_value(raw, _SCHEMA, _CREATED)}, not 1")
        name, payload = raw[_KIND:_SCHEMA], raw[_PAYLOAD:]
        kind = name.decode("ascii").rstrip(" ")
        if not kind or not kind.replace("_", "").isalpha():
            raise Malformed(f"the type {name!r} is no name padded with spaces")
        if _value(raw, _LENGTH, _PAYLOAD) != len(payload):
            raise Malformed(f"{len(payload)} bytes, said to be {_value(raw, _LENGTH, _PAYLOAD)}")
        if raw[_DIGEST:_TYPE] != hashlib.sha256(payload).digest():
            raise Malformed("the payload isn't what its digest is of")
        created = _value(raw, _CREATED, _SEQUENCE)
        # Both ends of the original refuse a zero here, but for these two.
        if created == 0 and kind not in ("pause_publication", "start_publication"):
            raise Malformed("it was made at 0")
        return cls(
            kind,
            payload,
            int.from_bytes(raw[_SEQUENCE:_FLAGS], "big", signed=True),
            _value(raw, _FLAGS, _ID),
            _value(raw, _TYPE, _LENGTH),
            str(uuid.UUID(bytes=_swapped(raw[_ID:_DIGEST]))),
            created,
        )

    @property
    def json(self) -> dict:
        """The payload as JSON."""
        return json.loads(self.payload)


def _number(value: int, size: int, signed: bool = False) -> bytes:
    return value.to_bytes(size, "big", signed=signed)


def _value(raw: bytes, begin: int, end: int) -> int:
    return int.from_bytes(raw[begin:end], "big")


def _swapped(ident: bytes) -> bytes:
    """An id is sent with its halves in the other order."""
    return ident[8:] + ident[:8]
