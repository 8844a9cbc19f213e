"""session-manager-plugin, on the wire: it holds the client's end of a data channel."""

import json
import time
import uuid
from collections.abc import Callable

from . import codec, payloads, smux
from .codec import FROM_AGENT, FROM_CLIENT, Frame
from .end import End, version_after
from .line import KEEPALIVE, PATIENCE, Line
from .stream import Incoming, Outgoing

_SHELLS = ("Standard_Stream", "InteractiveCommands", "NonInteractiveCommands")

# Agents newer than this multiplex; newer than this, without a keep-alive inside.
_MULTIPLEXES, _NO_KEEPALIVE = "3.0.196.0", "3.1.1511.0"


class Connection:
    """One connection to the forwarded port, as a local client of the plugin would have it."""

    def __init__(self, plugin: "Plugin", stream: int):
        self._plugin, self.stream = plugin, stream
        self.data = bytearray()
        # The other side has nothing more to say.
        self.ended = False

    def send(self, data: bytes) -> None:
        """Sends bytes to the port."""
        self._plugin.to_port(self.stream, data)

    def close(self) -> None:
        """Has nothing more to say."""
        self._plugin.close_port(self.stream)

    def read(self, count: int, patience: float = PATIENCE) -> bytes:
        """So many bytes from the port."""
        self._plugin.wait(f"{count} bytes came from the port", lambda: len(self.data) >= count, patience)
        with self._plugin.news:
            taken = bytes(self.data[:count])
            del self.data[:count]
        return taken

    def rest(self, patience: float = PATIENCE) -> bytes:
        """Everything until the port's end."""
        self._plugin.wait("the port has ended", lambda: self.ended, patience)
        return bytes(self.data)


class Plugin(End):
    """A client with a session."""

    SENDS, RECEIVES = FROM_CLIENT, FROM_AGENT

    def __init__(self, started: dict, resume: Callable[[], dict] | None = None):
        """`started` is StartSession's answer; `resume` asks for another token when the socket is lost."""
        super().__init__(Outgoing(again_at_each_tick=True), Incoming(answers_old=False))
        self.session, self.url = started["SessionId"], started["StreamUrl"]
        self._client, self._resume = str(uuid.uuid4()), resume
        # What was announced: the session's type, and what the agent is.
        self.type = ""
        self.properties: dict = {}
        self.agent_version = ""
        self.greeting: str | None = None
        # What came: the terminal's output, the separate errors, the exit code's text.
        self.output, self.errors, self.exit_text = bytearray(), bytearray(), b""
        # Flags that came.
        self.flags: list[int] = []
        # What the server said when it ended the session.
        self.closed_with: dict | None = None
        self.resumed, self.timed_out = 0, False
        self._ready, self._reader = False, smux.Reader()
        self._connections: dict[int, Connection] = {}
        self._next_stream = smux.FIRST_STREAM
        self._dial(started["TokenValue"])

    def _dial(self, token: str) -> None:
        line = Line(self.url, {}, payloads.open_data_of_client(token, self._client))
        line.socket.ping(KEEPALIVE)
        self.attach(line)

    # --- what a user does -----------------------------------------------------------------------------

    def resize(self, cols: int, rows: int) -> None:
        """The window has another size."""
        self.send(codec.SIZE, payloads.size(cols, rows))

    def type_in(self, text: bytes | str) -> None:
        """Keys, as they are typed. A line's end alone is sent as the key is."""
        data = text.encode() if isinstance(text, str) else text
        self.stream(codec.OUTPUT, b"\r" if data == b"\n" else data)

    def until(self, text: bytes | str, patience: float = PATIENCE) -> bytes:
        """Waits until the terminal shows this; what it showed up to there, which is then forgotten."""
        data = text.encode() if isinstance(text, str) else text
        self.wait(f"the terminal shows {data!r} (not {bytes(self.output[-300:])!r})",
                  lambda: data in self.output, patience)  # fmt: skip
        with self.news:
            seen = self.output.index(data) + len(data)
            taken = bytes(self.output[:seen])
            del self.output[:seen]
        return taken

    def terminate(self) -> None:
        """The flag that ends a session."""
        self.send(codec.FLAG, payloads.flag(codec.TERMINATE_SESSION))

    def ended(self, patience: float = PATIENCE) -> str:
        """Waits until the server has ended the session; its words."""
        closed = self.wait("the server has ended the session", lambda: self.closed_with, patience)
        return closed["Output"]

    def begun(self, patience: float = PATIENCE) -> "Plugin":
        """Waits until the session's type is known, and used."""
        self.wait("the session has begun", lambda: self._ready, patience)
        return self

    @property
    def began(self) -> bool:
        """Whether the session's type is known."""
        return self._ready

    def hang_up(self) -> None:
        """Goes without a word, as when it is killed."""
        self.finish()

    def cut(self) -> None:
        """The socket breaks. It asks for another, if it can."""
        if self.line:
            self.line.cut()

    # --- ports ----------------------------------------------------------------------------------------

    @property
    def multiplexes(self) -> bool:
        """Whether connections share the channel."""
        wished = self.properties.get("type") == "LocalPortForwarding"
        return wished and version_after(self.agent_version, _MULTIPLEXES)

    def connect(self) -> Connection:
        """A local client connects to the forwarded port."""
        self.begun()
        assert self.type == "Port", self.type
        with self.news:
            stream = self._next_stream if self.multiplexes else 0
            self._next_stream += 2
            connection = self._connections[stream] = Connection(self, stream)
            if self.multiplexes:
                # Without a keep-alive of its own an idle session would be torn down.
                assert version_after(self.agent_version, _NO_KEEPALIVE), self.agent_version
                self.stream(codec.OUTPUT, smux.frame(smux.SYN, stream))
        return connection

    def to_port(self, stream: int, data: bytes) -> None:
        """Bytes of a connection."""
        self.stream(codec.OUTPUT, smux.pushes(stream, data) if self.multiplexes else data)

    def close_port(self, stream: int) -> None:
        """A connection has nothing more to say."""
        if self.multiplexes:
            self.stream(codec.OUTPUT, smux.frame(smux.FIN, stream))
        else:
            del self._connections[stream]
            self.send(codec.FLAG, payloads.flag(codec.DISCONNECT_TO_PORT))

    # --- what comes -----------------------------------------------------------------------------------

    def accepts(self, frame: Frame) -> bool:
        if frame.type in (codec.HANDSHAKE_REQUEST, codec.HANDSHAKE_COMPLETE):
            return True
        if not self._ready and not self.type and frame.type == codec.OUTPUT:
            # Without a handshake, the first output makes it a shell.
            self.type, self._ready = "Standard_Stream", True
        if self.type == "Port" and not self.multiplexes and frame.type == codec.OUTPUT:
            # Nobody is there who could take it.
            return self._ready and 0 in self._connections
        return self._ready

    def use(self, frame: Frame) -> None:
        if frame.type == codec.HANDSHAKE_REQUEST:
            self._shake_hands(frame.json)
        elif frame.type == codec.HANDSHAKE_COMPLETE:
            words = frame.json
            assert isinstance(words["HandshakeTimeToComplete"], int) and self.type, words
            self.greeting, self._ready = words["CustomerMessage"], True
        elif frame.type == codec.FLAG:
            self.flags.append(int.from_bytes(frame.payload, "big"))
        elif self.type == "Port":
            assert frame.type == codec.OUTPUT, frame
            self._from_port(frame.payload)
        elif frame.type == codec.OUTPUT:
            self.output += frame.payload
        elif frame.type == codec.STDERR:
            self.errors += frame.payload
        else:
            assert frame.type == codec.EXIT_CODE, frame
            self.exit_text = frame.payload

    def _shake_hands(self, request: dict) -> None:
        self.agent_version = request["AgentVersion"]
        assert len(self.agent_version.split(".")) == 4, request
        (action,) = request["RequestedClientActions"]
        assert action["ActionType"] == "SessionType", request
        what = action["ActionParameters"]
        known = what["SessionType"] in (*_SHELLS, "Port")
        if known:
            self.type, self.properties = what["SessionType"], what["Properties"] or {}
        response = payloads.handshake_response(1 if known else 2, "" if known else "unknown session type")
        # From its own thread, which can't wait for room: there is some.
        self.send(codec.HANDSHAKE_RESPONSE, response)

    def _from_port(self, data: bytes) -> None:
        if not self.multiplexes:
            self._connections[0].data += data
            return
        for command, stream, payload in self._reader.feed(data):
            assert command in (smux.PSH, smux.FIN), (command, stream)
            connection = self._connections[stream]
            connection.data += payload
            connection.ended |= command == smux.FIN

    def other(self, frame: Frame) -> None:
        if frame.kind == "channel_closed":
            self.closed_with = frame.json
            assert self.closed_with["SessionId"] == self.session, frame
            self._finished = True
        else:
            # agent_session_state is for the server alone.
            assert frame.kind in ("pause_publication", "start_publication"), frame

    def lost(self) -> None:
        """Asks for another token, and dials again."""
        if not self._resume:
            return
        for attempt in range(7):
            try:
                token = self._resume()["TokenValue"]
                if not token:
                    self.timed_out = True
                    return
                self._dial(token)
                self.resumed += 1
                return
            except Exception:
                if attempt == 6:
                    raise
                time.sleep(0.1 * 2**attempt)


def start(client, target: str, document: str = "", **parameters: str) -> Plugin:
    """Starts a session with boto3, and plays the plugin in it."""
    words = {"Target": target}
    if document:
        words["DocumentName"] = document
    if parameters:
        words["Parameters"] = {name: [value] for name, value in parameters.items()}
    answer = client.start_session(**words)
    started = {name: answer[name] for name in ("SessionId", "TokenValue", "StreamUrl")}
    # What the AWS CLI hands to the plugin.
    started = json.loads(json.dumps(started))
    return Plugin(started, lambda: client.resume_session(SessionId=started["SessionId"]))
