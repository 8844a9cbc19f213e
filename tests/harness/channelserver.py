"""A server of control channels alone, written from the facts about the wire: what it is told to do wrong, a
real server, a proxy or a network may do as well."""

import base64
import contextlib
import hashlib
import json
import queue
import socket
import struct
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEADER = struct.Struct(">I32sIQqQ16s32sII")
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


@dataclass
class Message:
    """A binary message of the channel."""

    kind: str
    payload: dict
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def bytes(self) -> bytes:
        """On the wire."""
        payload = json.dumps(self.payload).encode()
        raw = uuid.UUID(self.id).bytes
        swapped, digest = raw[8:] + raw[:8], hashlib.sha256(payload).digest()
        numbers = (1, int(time.time() * 1000), 0, 0)
        name = self.kind.encode().ljust(32)
        return _HEADER.pack(116, name, *numbers, swapped, digest, 0, len(payload)) + payload

    @classmethod
    def read(cls, raw: bytes) -> "Message":
        """Reads one."""
        length, name, schema, created, _, _, swapped, digest, _, size = _HEADER.unpack(raw[:120])
        payload = raw[120:]
        assert (length, schema, size) == (116, 1, len(payload)) and created > 0
        assert digest == hashlib.sha256(payload).digest()
        ident = uuid.UUID(bytes=swapped[8:] + swapped[:8])
        return cls(name.decode("ascii").rstrip(" "), json.loads(payload), str(ident))


class Channel:
    """One agent's websocket."""

    def __init__(self, server: "ChannelServer", connection: socket.socket, target: str):
        self.server, self.connection, self.target = server, connection, target
        self.opening: dict = {}
        self.arrived: queue.Queue[Message] = queue.Queue()
        self.pings = 0
        self.is_over = threading.Event()
        self._writing = threading.Lock()

    def serve(self) -> None:
        """Reads until the end."""
        with contextlib.suppress(OSError):
            while (frame := self._frame()) is not None:
                opcode, payload = frame
                if opcode == _PING:
                    self.pings += 1
                    if self.server.answers_pings:
                        self._write(_PONG, payload)
                elif opcode == _TEXT:
                    self.opening = json.loads(payload)
                    self.server.channels.put(self)
                elif opcode == _BINARY:
                    self.arrived.put(Message.read(payload))
                elif opcode == _CLOSE:
                    break
        self.is_over.set()

    def _exactly(self, length: int) -> bytes | None:
        data = b""
        while len(data) < length:
            more = self.connection.recv(length - len(data))
            if not more:
                return None
            data += more
        return data

    def _frame(self) -> tuple[int, bytes] | None:
        head = self._exactly(2)
        if head is None:
            return None
        assert head[0] & 0x80 and head[1] & 0x80, "a frame that is whole and masked"
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8), "big")
        mask = self._exactly(4)
        payload = self._exactly(length)
        return head[0] & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def _write(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        head = bytes([0x80 | opcode])
        if length < 126:
            head += bytes([length])
        elif length < 0x10000:
            head += bytes([126]) + length.to_bytes(2, "big")
        else:
            head += bytes([127]) + length.to_bytes(8, "big")
        with self._writing:
            self.connection.sendall(head + payload)

    def send(self, kind: str, payload: dict) -> Message:
        """Sends a message."""
        message = Message(kind, payload)
        self._write(_BINARY, message.bytes())
        return message

    def ping(self) -> None:
        """Wants a pong."""
        self._write(_PING, b"server")

    def job(self, node: str, command: str, *lines: str, document: dict | None = None) -> Message:
        """Sends a command that runs these lines."""
        step = {"action": "aws:runShellScript", "name": "s", "inputs": {"runCommand": list(lines)}}
        content = {
            "Parameters": {},
            "DocumentContent": document or {"schemaVersion": "2.2", "mainSteps": [step]},
            "CommandId": command,
            "DocumentName": "AWS-RunShellScript",
            "CloudWatchOutputEnabled": "false",
        }
        return self.say(node, command, "aws.ssm.sendCommand", content)

    def say(self, node: str, command: str, topic: str, content: dict) -> Message:
        """Sends a job with any content."""
        words = {
            "Content": json.dumps(content),
            "JobId": f"aws.ssm.{command}.{node}",
            "Topic": f"{topic}.{node}",
            "SchemaVersion": 1,
        }
        return self.send("agent_job", words)

    def expect(self, kind: str, patience: float = 60) -> Message:
        """The next message, which has to be of this kind."""
        message = self.arrived.get(timeout=patience)
        assert message.kind == kind, f"{kind} expected, not {message}"
        return message

    def acknowledge(self, reply: Message) -> None:
        """The server has a reply."""
        words = {"jobId": reply.payload["jobId"], "acknowledgedMessageId": reply.id}
        self.send("agent_job_reply_ack", words)

    def replies_to_the_end(self) -> list[dict]:
        """Takes and acknowledges replies until one is final; what they say."""
        said = []
        while not said or said[-1]["documentStatus"] == "InProgress":
            reply = self.expect("agent_job_reply")
            self.acknowledge(reply)
            said.append(json.loads(reply.payload["content"]))
        return said

    def cut(self) -> None:
        """Ends the connection without a word."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class ChannelServer:
    """Gives channels to whoever wants one, as long as it isn't told otherwise."""

    def __init__(self) -> None:
        self.channels: queue.Queue[Channel] = queue.Queue()
        self.answers_pings = True
        # The status and the body of the answer to the POST, if not 201 and a token.
        self.refusal: tuple[int, str] | None = None
        # What becomes of a websocket: "", "refused", "closed".
        self.websockets = ""
        self.posts: list[tuple[str, dict, dict]] = []
        self.gets: list[tuple[str, dict]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.posts.append((self.path, dict(self.headers), json.loads(body)))
                token = f"token<&{len(server.posts)}"
                escaped = token.replace("&", "&amp;").replace("<", "&lt;")
                answer = f'<a:R xmlns:a="x"><a:TokenValue>{escaped}</a:TokenValue></a:R>'
                status, text = server.refusal or (201, answer)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self) -> None:
                server.gets.append((self.path, dict(self.headers)))
                self.close_connection = True
                if server.websockets == "refused":
                    self.send_error(403)
                if server.websockets:
                    return
                key = self.headers["Sec-WebSocket-Key"] + _MAGIC
                accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
                self.send_response(101)
                for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade")):
                    self.send_header(name, value)
                self.send_header("Sec-WebSocket-Accept", accept)
                self.end_headers()
                Channel(server, self.connection, self.path).serve()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def channel(self, patience: float = 60) -> Channel:
        """The next channel that an agent opens."""
        return self.channels.get(timeout=patience)

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
