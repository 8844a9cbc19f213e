"""The message gateway (ssmmessages) as its peers see it: an agent with its channels, and
session-manager-plugin. Written from the facts about the wire alone; it decides nothing by itself."""

import contextlib
import hashlib
import json
import struct
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import websocket
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from . import replies
from .original import OriginalAgent

SERVICE = "ssmmessages"

# How long a peer waits for what has to come.
PATIENCE = 30

# Everything before the payload, big-endian: the length of the header, the message's type, the schema's
# version, the date in ms, the sequence number, flags, id, SHA-256, the payload's type and its length.
_HEADER = struct.Struct(">I32sIQqQ16s32sII")

OUTPUT, SIZE, FLAG = 1, 3, 10


@dataclass
class Frame:
    """A binary message."""

    kind: str
    payload: bytes = b""
    sequence: int = 0
    flags: int = 0
    type: int = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: int = field(default_factory=lambda: int(time.time() * 1000))

    def bytes(self) -> bytes:
        """On the wire."""
        name = self.kind.encode().ljust(32)
        raw = uuid.UUID(self.id).bytes
        # The id's halves are swapped.
        swapped, digest = raw[8:] + raw[:8], hashlib.sha256(self.payload).digest()
        numbers = (1, self.created, self.sequence, self.flags)
        head = _HEADER.pack(116, name, *numbers, swapped, digest, self.type, len(self.payload))
        return head + self.payload

    @staticmethod
    def read(raw: bytes) -> "Frame":
        """Reads one, as strictly as the stricter of the original's two peers."""
        length, name, schema, created, sequence, flags, swapped, digest, kind, size = _HEADER.unpack(
            raw[: _HEADER.size]
        )
        payload = raw[_HEADER.size :]
        assert (length, schema, size) == (116, 1, len(payload)), raw[:120]
        assert digest == hashlib.sha256(payload).digest() and created > 0
        ident = str(uuid.UUID(bytes=swapped[8:] + swapped[:8]))
        return Frame(name.decode().rstrip(), payload, sequence, flags, kind, ident, created)

    @property
    def json(self) -> dict:
        """The payload as JSON."""
        return json.loads(self.payload)


class Channel:
    """A websocket with frames on it."""

    def __init__(self, url: str, headers: dict[str, str], opening: dict | None):
        lines = [f"{name}: {value}" for name, value in headers.items()]
        self.socket = websocket.create_connection(url, header=lines, timeout=PATIENCE)
        self.early: list[Frame] = []
        if opening is not None:
            words = {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), **opening}
            self.socket.send(json.dumps(words))

    def send(self, frame: Frame) -> Frame:
        """Sends a frame."""
        self.socket.send_binary(frame.bytes())
        return frame

    def say(self, kind: str, payload: dict, **more) -> Frame:
        """Sends a frame with a JSON payload."""
        return self.send(Frame(kind, json.dumps(payload).encode(), **more))

    def receive(self, patience: float = PATIENCE) -> Frame | None:
        """The next frame, or nothing if the other end has closed the channel."""
        if self.early:
            return self.early.pop(0)
        self.socket.settimeout(patience)
        while True:
            try:
                code, data = self.socket.recv_data(control_frame=True)
            except (websocket.WebSocketConnectionClosedException, ConnectionError):
                return None
            if code == websocket.ABNF.OPCODE_CLOSE:
                return None
            if code in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT):
                return Frame.read(data)

    def expect(self, *kinds: str) -> Frame:
        """The next frame, which has to be of one of these kinds."""
        frame = self.receive()
        assert frame and frame.kind in kinds, f"{kinds} expected, not {frame}"
        return frame

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            self.receive(seconds)
        except websocket.WebSocketTimeoutException:
            return True
        return False

    def closed(self) -> bool:
        """Waits for the other end's close; whether nothing came before it."""
        return self.receive() is None

    def ping(self) -> None:
        """A keep-alive; waits for its pong. What comes before that is received later."""
        self.socket.ping("keepalive")
        self.socket.settimeout(PATIENCE)
        while True:
            code, data = self.socket.recv_data(control_frame=True)
            if code == websocket.ABNF.OPCODE_PONG:
                assert data == b"keepalive", data
                return
            self.early.append(Frame.read(data))

    def cut(self) -> None:
        """Breaks the connection without a word."""
        with contextlib.suppress(OSError):
            self.socket.shutdown()


class Control(Channel):
    """The control channel of a node, on the agent's side."""

    def job(self) -> dict:
        """The next job, with its message as `frame`."""
        frame = self.expect("agent_job")
        job = frame.json
        assert set(job) == {"Content", "JobId", "Topic", "SchemaVersion"} and job["SchemaVersion"] == 1
        return {**job, "frame": frame}

    def ack(self, job: dict, code: str = "200", name: str = "Successful") -> None:
        """Says what becomes of a job."""
        words = {
            "jobId": job["JobId"],
            "acknowledgedMessageId": job["frame"].id,
            "createdDate": "2026-11-22T08:20:04.365Z",
            "statusCode": code,
            "errorMessage": name,
        }
        self.say("agent_job_ack", words)

    def reply(self, job: dict, status: str, steps: dict | None = None, ident: str | None = None) -> Frame:
        """Says how far a command has come; the frame, unacknowledged."""
        words = {
            "schemaVersion": 1,
            "jobId": job["JobId"],
            "content": replies.payload(status, steps),
            "topic": job["Topic"].rsplit(".", 1)[0],
        }
        return self.say("agent_job_reply", words, **({"id": ident} if ident else {}))

    def acknowledged(self, reply: Frame) -> None:
        """Waits until the hub has confirmed a reply. A job that comes before is received later."""
        others = []
        while (frame := self.expect("agent_job_reply_ack", "agent_job")).kind == "agent_job":
            others.append(frame)
        assert frame.json["acknowledgedMessageId"] == reply.id, frame
        self.early += others

    def carry_out(self, job: dict, output: str = "done\n") -> None:
        """Handles a command as the original does."""
        self.ack(job)
        steps = {"aws:runShellScript": replies.step("Success", 0, output)}
        for status, result in [("InProgress", None), ("InProgress", steps), ("Success", steps)]:
            self.acknowledged(self.reply(job, status, result))


def sign(node: OriginalAgent, method: str, url: str, body: bytes = b"", service: str = SERVICE) -> dict:
    """The headers of a signed request of a node's."""
    headers = {"Content-Type": "application/json"} if body else {}
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    token = node.credentials
    credentials = Credentials(token["AccessKeyId"], token["SecretAccessKey"], token["SessionToken"])
    SigV4Auth(credentials, service, node.region).add_auth(request)
    return dict(request.headers)


def create(node: OriginalAgent, path: str, **how) -> tuple[int, str]:
    """A POST that asks for a channel's token; status and body."""
    import urllib.request

    body = json.dumps({"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4())}).encode()
    url = f"{node.endpoint}/v1/{path}"
    request = urllib.request.Request(url, body, sign(node, "POST", url, body, **how))
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def token(node: OriginalAgent, path: str) -> str:
    """A channel's token."""
    import xml.etree.ElementTree as Xml

    status, body = create(node, path)
    assert status == 201, body
    return Xml.fromstring(body).find("TokenValue").text


def dial(node: OriginalAgent, path: str, opening: dict | None, kind: type = Channel) -> Channel:
    """A signed websocket of a node's."""
    url = urlsplit(node.endpoint)
    headers = sign(node, "GET", f"{node.endpoint}/v1/{path}")
    scheme = "wss" if url.scheme == "https" else "ws"
    return kind(f"{scheme}://{url.netloc}/v1/{path}", headers, opening)


def control(node: OriginalAgent) -> Control:
    """Opens the node's control channel as the original does."""
    path = f"control-channel/{node.node}"
    words = {
        "Cookie": None,
        "TokenValue": token(node, path),
        "AgentVersion": "3.3.0.0",
        "PlatformType": "linux",
    }
    channel = dial(node, f"{path}?role=subscribe&stream=input", words, Control)
    # Nothing answers the opening; a pong says that it has been read.
    channel.ping()
    return channel
