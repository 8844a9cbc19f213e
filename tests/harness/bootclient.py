"""Nodes of the BootAgent protocol as a server sees them, written from docs/PROTOCOL.md and not from the code:
one that signs, and a founding one that can't."""

import base64
import contextlib
import hashlib
import http.client
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .hub import Hub

_TIMEOUT = 20


@dataclass
class Reply:
    """An answer, already believed."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> dict:
        """The body as JSON."""
        return json.loads(self.text)


def exchange(hub: Hub, path: str, body: str, headers: dict[str, str] | None = None) -> Reply:
    """One POST on a connection of its own, as the protocol has it."""
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=_TIMEOUT)
    try:
        close = {"Connection": "close", "Content-Type": "application/json"}
        # A server that has refused a body needn't read it to its end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, body.encode(), {**close, **(headers or {})})
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.headers), answer.read().decode())
    finally:
        connection.close()


def key_id(raw: bytes) -> str:
    """How a header names a public key."""
    return hashlib.sha256(raw).hexdigest()[:16]


@dataclass
class BootNode:
    """A node that signs, and believes nothing that its server has not signed."""

    hub: Hub
    agentsn: str = field(default_factory=lambda: str(uuid.uuid4()))
    hostname: str = "edge-1"
    version: str = "stint-0.1.0-x86_64"
    step: int = 600
    node: str = ""
    tags: str = ""
    pins: list[bytes] = field(default_factory=list)
    # The node's clock, seconds ahead of the true time.
    ahead: int = 0

    def __post_init__(self):
        self.key = ed25519.Ed25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def headers(self, path: str, body: str) -> dict[str, str]:
        """The headers of a signed request."""
        date, nonce = str(int(time.time()) + self.ahead), secrets.token_hex(16)
        pins = ",".join(key_id(pin) for pin in self.pins)
        digest = hashlib.sha256(body.encode()).hexdigest()
        lines = ["STINT1-REQUEST", "POST", path, self.agentsn, date, nonce, pins, digest]
        return {
            "Stint-Agent": self.agentsn,
            "Stint-Date": date,
            "Stint-Nonce": nonce,
            "Stint-Pins": pins,
            "Stint-Signature": base64.b64encode(self.key.sign("\n".join(lines).encode())).decode(),
        }

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Reply:
        """A signed request; the answer is checked before anything of it is read."""
        text = body if isinstance(body, str) else json.dumps(body)
        headers = headers or self.headers(path, text)
        reply = exchange(self.hub, path, text, headers)
        digest = hashlib.sha256(reply.text.encode()).hexdigest()
        nonce = headers["Stint-Nonce"]
        lines = ["STINT1-ANSWER", str(reply.status), path, self.agentsn, nonce, digest]
        self._believe(reply, "\n".join(lines).encode())
        return reply

    def _believe(self, reply: Reply, message: bytes) -> None:
        named = reply.headers["stint-key"]
        offered = [] if self.pins else [_key(text) for text in reply.body.get("serverkeys", [])]
        keys = {key_id(raw): raw for raw in self.pins or offered}
        if not keys:
            return  # Refused before it ever had a key to trust.
        assert named in keys, f"signed by {named}, a key that the node doesn't trust"
        signature = base64.b64decode(reply.headers["stint-signature"])
        ed25519.Ed25519PublicKey.from_public_bytes(keys[named]).verify(signature, message)

    def registration(self, activation: dict | None, **more: object) -> dict:
        """The body of a registration."""
        body = {
            "hostname": self.hostname,
            "agentsn": self.agentsn,
            "ipaddr": "192.0.2.9",
            "version": self.version,
            "feature": 1,
            "key": f"ed25519:{base64.b64encode(self.public).decode()}",
        }
        if activation:
            body["activationid"] = activation["ActivationId"]
            body["activationcode"] = activation["ActivationCode"]
        return {**body, **more}

    def register(self, activation: dict | None = None) -> "BootNode":
        """Registers and adopts what the server says."""
        reply = self.post("/agent/register", self.registration(activation))
        assert reply.status == 200 and reply.body["status"] == 0, reply.text
        self.agentsn, self.node, self.tags = (reply.body[name] for name in ("agentsn", "nodeid", "tags"))
        self.pins = [_key(text) for text in reply.body["serverkeys"]]
        return self

    def try_to_report(self, **more: object) -> Reply:
        """A status report, whatever comes of it."""
        body = {
            "hostname": self.hostname,
            "version": self.version,
            "uptime": 12,
            "timestamp": int(time.time()),
            "step": self.step,
            "agents": [],
            "agentsn": self.agentsn,
            "feature": 1,
        }
        return self.post("/agent/status", {**body, **more})

    def report(self, **more: object) -> list[dict]:
        """A status report; the jobs. New keys of the server are trusted from now on."""
        reply = self.try_to_report(**more)
        assert reply.status == 200 and reply.body["errcode"] == 0, reply.text
        if reply.body.get("serverkeys"):
            self.pins = [_key(text) for text in reply.body["serverkeys"]]
        return reply.body["jobs"]

    def result(self, job: dict | str, errcode: int = 0, message: str = "success") -> Reply:
        """Delivers the result of a job."""
        job_id = job if isinstance(job, str) else job["id"]
        reply = self.post("/agent/job/result", [{"id": job_id, "errcode": errcode, "message": message}])
        assert reply.status == 200 and reply.body == {"errcode": 0}, reply.text
        return reply


def _key(text: str) -> bytes:
    kind, _, encoded = text.partition(":")
    assert kind == "ed25519", text
    return base64.b64decode(encoded)
