"""What a session costs: the memory of a shell, how soon a key is answered, how much a forwarded port carries.

The client of a port is one of our own: bytes that are prepared beforehand, and no work but the
acknowledgements. That of the tests checks every message in Python and would be what is measured.
"""

import contextlib
import hashlib
import json
import random
import socket
import statistics
import struct
import threading
import time
import uuid
from urllib.parse import urlsplit

from harness import processes
from harness.agent import Agent
from harness.mgs import codec, payloads, plugin, ports, smux
from harness.mgs.codec import Frame

from . import footprint
from .table import Row

BYTES = 10_000_000
RUNS = 3
KEYS = 200
# Somebody who types fast.
KEY_SECONDS = 0.05
# What session-manager-plugin puts into a message.
CHUNK = 1024
PATIENCE = 120
# Where the payload of a message begins.
_HEADER = 120
_GO = b"go"


def shell(client, agent: Agent) -> list[Row]:
    """What one open shell adds: the process that holds it. The shell itself is the device's own program."""
    daemons = [process.pid for process in agent.daemons()]
    before = footprint.memory(daemons)
    session = plugin.start(client, agent.node)
    session.type_in("echo here-$((40 + 2))\n")
    session.until("here-42")
    time.sleep(3)
    held = [p.pid for p in processes.mentioning(str(agent.state)) if "session" in p.argv[1:2]]
    assert len(held) == 1, held
    samples = []
    for _ in range(5):
        time.sleep(0.5)
        samples.append(footprint.memory(daemons + held))
    session.type_in("exit\n")
    session.ended()
    pss = statistics.median(sample.pss for sample in samples) - before.pss
    anonymous = statistics.median(sample.anonymous for sample in samples) - before.anonymous
    return [
        Row.megabytes("one open shell adds: PSS", pss, 1.2),
        Row.megabytes("one open shell adds: anonymous memory", anonymous),
    ]


class Client:
    """A client's end of a forwarded port, with as little cost of its own as there can be."""

    def __init__(self, client, started: dict):
        self._client, self._session = client, started["SessionId"]
        url = urlsplit(started["StreamUrl"])
        self._socket = socket.create_connection((url.hostname, url.port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The key is the standard's own example: nobody here has to be told from anybody.
        head = f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\n"
        head += "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        self._socket.sendall(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._socket.recv(65536)
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        opening = payloads.open_data_of_client(started["TokenValue"], str(uuid.uuid4()))
        self._socket.sendall(_masked(0x81, json.dumps(opening).encode()))
        self._next = self._expected = 0
        # Bytes from the port, and how many messages were acknowledged.
        self.found, self.count, self.acknowledged = hashlib.sha256(), 0, 0
        self.tail = b""
        self.begun = threading.Event()
        self.multiplexes = False
        self._smux = bytearray()
        threading.Thread(target=self._serve, daemon=True).start()

    # --- what comes -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        # Whoever waits for more has a limit of its own.
        with contextlib.suppress(OSError):
            while chunk := self._socket.recv(1 << 18):
                answers = [self._take(raw) for raw in self._messages(chunk)]
                out = b"".join(answer for answer in answers if answer)
                if out:
                    self._socket.sendall(out)

    def _messages(self, chunk: bytes) -> list[memoryview]:
        data = memoryview(self._rest + chunk)
        found, at = [], 0
        while len(data) - at >= 4:
            size, begin = data[at + 1], at + 2
            assert size < 127, "the hub's messages are shorter, and not masked"
            if size == 126:
                size, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
            if len(data) < begin + size:
                break
            if data[at] & 0x0F == 2:
                found.append(data[begin : begin + size])
            at = begin + size
        self._rest = bytes(data[at:])
        return found

    def _take(self, raw: memoryview) -> bytes | None:
        kind = bytes(raw[4:36]).rstrip()
        if kind == b"acknowledge":
            self.acknowledged += 1
        elif kind == b"output_stream_data":
            payload = raw[_HEADER:]
            sequence = int.from_bytes(raw[48:56], "big")
            # The way keeps their order; what comes again was long in being acknowledged.
            assert sequence <= self._expected, f"{sequence} has come before {self._expected}"
            if sequence < self._expected:
                return _acknowledge(raw)
            self._expected += 1
            if int.from_bytes(raw[112:116], "big") == codec.OUTPUT:
                self._from_port(payload)
                return _acknowledge(raw)
            return _acknowledge(raw) + (self._control(Frame.read(bytes(raw))) or b"")
        return None

    def _control(self, frame: Frame) -> bytes | None:
        if frame.type == codec.HANDSHAKE_REQUEST:
            what = frame.json["RequestedClientActions"][0]["ActionParameters"]
            self.multiplexes = (what["Properties"] or {}).get("type") == "LocalPortForwarding"
            return self._message(codec.HANDSHAKE_RESPONSE, payloads.handshake_response(1, ""))
        if frame.type == codec.HANDSHAKE_COMPLETE:
            self.begun.set()
        return None

    def _from_port(self, payload: memoryview) -> None:
        if not self.multiplexes:
            return self._data(payload)
        self._smux += payload
        while len(self._smux) >= 8:
            _, command, length, _ = struct.unpack_from("<BBHI", self._smux)
            if len(self._smux) < 8 + length:
                return None
            if command == smux.PSH:
                self._data(self._smux[8 : 8 + length])
            del self._smux[: 8 + length]
        return None

    def _data(self, data: bytes | memoryview) -> None:
        self.found.update(data)
        self.count += len(data)
        self.tail = (self.tail + bytes(data[-32:]))[-32:]

    # --- what is sent ---------------------------------------------------------------------------------

    def _message(self, kind: int, payload: bytes) -> bytes:
        frame = Frame(codec.FROM_CLIENT, payload, type=kind, sequence=self._next)
        self._next += 1
        return _masked(0x82, frame.bytes())

    def prepared(self, data: bytes) -> list[bytes]:
        """Bytes for the port, as they will be sent."""
        if self.multiplexes:
            data = smux.pushes(smux.FIRST_STREAM, data)
        return [self._message(codec.OUTPUT, data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]

    def connect(self) -> None:
        """Waits for the handshake, and connects to the port."""
        assert self.begun.wait(PATIENCE), "no handshake"
        if self.multiplexes:
            self.send([self._message(codec.OUTPUT, smux.frame(smux.SYN, smux.FIRST_STREAM))])

    def send(self, messages: list[bytes]) -> None:
        """Sends what is prepared; the way takes as much at a time as it can."""
        self._socket.sendall(b"".join(messages))

    def wait_for(self, count: int) -> None:
        """Waits until so many bytes have come from the port."""
        end = time.monotonic() + PATIENCE
        while self.count < count:
            assert time.monotonic() < end, f"{self.count} of {count} bytes have come"
            time.sleep(0.0005)

    def close(self) -> None:
        """Ends the session: a node has only so many."""
        self._client.terminate_session(SessionId=self._session)
        self._socket.shutdown(socket.SHUT_RDWR)


class Typist(Client):
    """A client's end of a shell, at which somebody types."""

    def __init__(self, client, started: dict):
        self._heard = threading.Event()
        super().__init__(client, started)

    def _data(self, data: bytes | memoryview) -> None:
        super()._data(data)
        self._heard.set()

    def press(self, key: bytes) -> float:
        """The seconds until the terminal has answered a key."""
        self._heard.clear()
        began = time.perf_counter()
        self.send([self._message(codec.OUTPUT, key)])
        assert self._heard.wait(PATIENCE), "the key was not echoed"
        return time.perf_counter() - began


def typed(client, agent: Agent) -> list[Row]:
    """One key after the other, as somebody types who waits for none."""
    end = Typist(client, client.start_session(Target=agent.node))
    # The prompt.
    end.wait_for(1)
    time.sleep(1)
    taken = []
    for number in range(KEYS):
        time.sleep(KEY_SECONDS)
        # Control-U empties the line now and then.
        taken.append(end.press(b"x" if number % 40 else b"\x15"))
    end.close()
    taken.sort()
    return [
        Row.milliseconds("typed key to its echo, median", statistics.median(taken), 10),
        Row.milliseconds("typed key to its echo, 95th percentile", taken[int(len(taken) * 0.95)]),
    ]


def _masked(first: int, data: bytes) -> bytes:
    """A client's frame. Its mask is zero, so that its bytes are as they are."""
    if len(data) < 126:
        return bytes([first, 0x80 | len(data), 0, 0, 0, 0]) + data
    return bytes([first, 0x80 | 126]) + len(data).to_bytes(2, "big") + bytes(4) + data


def _acknowledge(raw: memoryview) -> bytes:
    sequence = int.from_bytes(raw[48:56], "big")
    ident = str(uuid.UUID(bytes=bytes(raw[72:80]) + bytes(raw[64:72])))
    words = payloads.acknowledge(codec.FROM_AGENT, ident, sequence)
    return _masked(0x82, Frame("acknowledge", words, flags=codec.SYN_AND_FIN).bytes())


def _ports(raw: bytes) -> tuple[ports.Port, ports.Port]:
    """A port that says so many bytes when it is told to, and one that says the hash of what it is told."""

    def source(connection: socket.socket) -> None:
        if connection.recv(len(_GO)):
            connection.sendall(raw)
            connection.recv(1)

    def sink(connection: socket.socket) -> None:
        found, left = hashlib.sha256(), len(raw)
        while left and (data := connection.recv(1 << 18)):
            found.update(data)
            left -= len(data)
        connection.sendall(found.digest())
        connection.recv(1)

    return ports.Port(source), ports.Port(sink)


def _both_ways(client, agent: Agent, document: str, name: str) -> list[Row]:
    """Both directions through sessions of one kind."""
    raw = random.Random(7).randbytes(BYTES)
    wanted = hashlib.sha256(raw).digest()
    out, back = [], []
    source, sink = _ports(raw)
    for _ in range(RUNS):
        end = _session(client, agent, document, source.number)
        end.connect()
        go = end.prepared(_GO)
        began = time.perf_counter()
        end.send(go)
        end.wait_for(BYTES)
        out.append(time.perf_counter() - began)
        assert end.found.digest() == wanted, "other bytes came than were sent"
        end.close()
        end = _session(client, agent, document, sink.number)
        end.connect()
        messages = end.prepared(raw)
        began = time.perf_counter()
        end.send(messages)
        end.wait_for(len(wanted))
        back.append(time.perf_counter() - began)
        assert end.tail == wanted, "other bytes arrived than were sent"
        end.close()
    source.close()
    sink.close()
    return [
        Row.speed(f"{name}: from the device", BYTES / statistics.median(out), 20),
        Row.speed(f"{name}: to the device", BYTES / statistics.median(back), 20),
    ]


def _session(client, agent: Agent, document: str, number: int) -> Client:
    answer = client.start_session(
        Target=agent.node, DocumentName=document, Parameters={"portNumber": [str(number)]}
    )
    return Client(client, answer)


def forwarded(client, agent: Agent) -> list[Row]:
    """10 MB through a forwarded port, checked by their hash."""
    rows = []
    for document, name in (
        ("AWS-StartPortForwardingSession", "forwarded port, multiplexed"),
        ("AWS-StartSSHSession", "forwarded port, raw"),
    ):
        rows += _both_ways(client, agent, document, name)
    return rows
