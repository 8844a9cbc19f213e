"""The requests captured from the real amazon-ssm-agent, read back as a target and a body."""

from dataclasses import dataclass
from pathlib import Path

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "amazon-ssm-agent"

# The node id of the captures.
NODE = "mi-0123456789abcdef0"


@dataclass(frozen=True)
class Capture:
    """One request as it crossed the wire; the body is without its chunks."""

    name: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def target(self) -> str:
        """`AmazonSSM.UpdateInstanceInformation` and the like."""
        return dict(self.headers)["X-Amz-Target"]


def read(name: str) -> Capture:
    """Reads one fixture; the files have plain line feeds where the wire had CR LF."""
    head, _, body = (FIXTURES / f"{name}.http").read_bytes().partition(b"\n\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\n")[1:]]
    if ("Transfer-Encoding", "chunked") in headers:
        body = _unchunk(body)
    else:
        body = body[: int(dict(headers)["Content-Length"])]
    return Capture(name, headers, body)


def session() -> list[Capture]:
    """The captures of one node's life, in the order they were sent."""
    return [read(path.stem) for path in sorted(FIXTURES.glob("session-*.http"))]


def _unchunk(raw: bytes) -> bytes:
    whole = b""
    while True:
        size, _, raw = raw.partition(b"\n")
        length = int(size, 16)
        if length == 0:
            return whole
        whole += raw[:length]
        raw = raw[length + 1 :]
