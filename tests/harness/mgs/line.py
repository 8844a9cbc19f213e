"""A websocket with messages on it, on a client's side."""

import contextlib
import json
import select
import socket

import websocket

from .codec import Frame

# How long the other end may take, seconds.
PATIENCE = 30

# What the agent's and the plugin's pings carry.
KEEPALIVE = b"keepalive"


class Line:
    """A connection, and what has come on it and nobody has asked for yet."""

    def __init__(self, url: str, headers: dict[str, str], opening: dict | None):
        """Dials; `opening` goes out as the first frame, a text."""
        fields = [f"{name}: {value}" for name, value in headers.items()]
        self.socket = websocket.create_connection(
            url, header=fields, timeout=PATIENCE, sockopt=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        )
        self._early: list[Frame] = []
        self.pongs = 0
        if opening is not None:
            self.socket.send(json.dumps(opening))

    # --- sending -------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> Frame:
        """Sends a message."""
        self.raw(frame.bytes())
        return frame

    def raw(self, data: bytes) -> None:
        """Sends bytes as one binary message."""
        self.socket.send_binary(data)

    def say(self, kind: str, payload: bytes | dict, **more) -> Frame:
        """Sends a message with a JSON payload; the message."""
        data = json.dumps(payload).encode() if isinstance(payload, dict) else payload
        return self.send(Frame(kind, data, **more))

    # --- receiving -----------------------------------------------------------------------------------

    def receive(self, patience: float = PATIENCE) -> Frame | None:
        """The next message; `None` if the other end has closed, or the connection is broken.

        :raises TimeoutError: nothing has come for so long.
        """
        if self._early:
            return self._early.pop(0)
        while True:
            if not self.ready(patience):
                raise TimeoutError(f"nothing came for {patience} s")
            frame = self._read()
            if not isinstance(frame, bytes):
                return frame

    def ready(self, patience: float) -> bool:
        """Whether there is something to be read, after so long at most."""
        connection = self.socket.sock
        if connection is None or connection.fileno() < 0:
            return True
        return bool(self._early or select.select([connection], [], [], patience)[0])

    def _read(self) -> Frame | bytes | None:
        """What has come: a message, the bytes of a pong or a ping, or the end."""
        try:
            code, data = self.socket.recv_data(control_frame=True)
        except (websocket.WebSocketException, OSError):
            return None
        if code == websocket.ABNF.OPCODE_CLOSE:
            return None
        if code == websocket.ABNF.OPCODE_PONG:
            self.pongs += 1
        return (
            Frame.read(data) if code in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) else data
        )

    def expect(self, *kinds: str) -> Frame:
        """The next message, which has to be of one of these types."""
        frame = self.receive()
        assert frame and frame.kind in kinds, f"{kinds} expected, not {frame}"
        return frame

    def find(self, kind: str) -> Frame:
        """The next message of this type. What comes before it is received later."""
        others = []
        while (frame := self.receive()) and frame.kind != kind:
            others.append(frame)
        assert frame, f"{kind} expected before the end; {[other.kind for other in others]} came"
        self._early = others + self._early
        return frame

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def closed(self) -> bool:
        """Waits for the other end's close; whether nothing came before it."""
        return self.receive() is None

    def ping(self) -> None:
        """A keep-alive; waits for its pong. What comes before that is received later."""
        before = self.pongs
        self.socket.ping(KEEPALIVE)
        while self.pongs == before:
            frame = self._read()
            assert frame is not None, "the connection ended instead of a pong"
            if isinstance(frame, Frame):
                self._early.append(frame)
            else:
                assert frame == KEEPALIVE, frame

    def cut(self) -> None:
        """Breaks the connection without a word. Whoever reads it in another thread finds it broken."""
        with contextlib.suppress(OSError, AttributeError):
            self.socket.sock.shutdown(socket.SHUT_RDWR)
