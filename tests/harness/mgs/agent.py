"""The agent against a server: it creates its channels, takes jobs and orders to begin sessions, and holds the
device's end of a data channel. It decides nothing by itself: a test says what happens on the node."""

import json
import time
import urllib.error
import urllib.request
import uuid
import xml.etree.ElementTree as Xml
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .. import replies
from ..original import OriginalAgent
from . import codec, payloads
from .codec import FROM_AGENT, FROM_CLIENT, SYN, SYN_AND_FIN, Frame
from .end import End
from .line import PATIENCE, Line
from .stream import Incoming, Outgoing

SERVICE = "ssmmessages"

_CONTROL_QUERY = "?role=subscribe&stream=input"
_DATA_QUERY = "?role=publish_subscribe"


# --- how a channel is opened --------------------------------------------------------------------------


def sign(node: OriginalAgent, method: str, url: str, body: bytes = b"", service: str = SERVICE) -> dict:
    """The headers of a request that the node signs. A websocket's own headers are not signed."""
    headers = {"Content-Type": "application/json"} if body else {}
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    token = node.credentials
    credentials = Credentials(token["AccessKeyId"], token["SecretAccessKey"], token["SessionToken"])
    SigV4Auth(credentials, service, node.region).add_auth(request)
    return dict(request.headers)


def create(node: OriginalAgent, path: str, **how: str) -> tuple[int, str]:
    """The POST that asks for a channel's token; status and body."""
    words = {"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4())}
    if path.startswith("data-channel/"):
        words["ClientId"] = ""
    body = payloads.dump(words)
    url = f"{node.endpoint}/v1/{path}"
    request = urllib.request.Request(url, body, sign(node, "POST", url, body, **how))
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def token(node: OriginalAgent, path: str) -> str:
    """A channel's token. Nothing but 201 with XML has one."""
    status, body = create(node, path)
    assert status == 201, f"{status} {body}"
    found = [each for each in Xml.fromstring(body) if each.tag.rpartition("}")[2] == "TokenValue"]
    assert len(found) == 1 and found[0].text, body
    return found[0].text


def dial(node: OriginalAgent, path: str, opening: dict | None, kind: type = Line) -> Line:
    """A signed websocket; `path` with its query, if it has one."""
    url = urlsplit(node.endpoint)
    headers = sign(node, "GET", f"{node.endpoint}/v1/{path}")
    scheme = "wss" if url.scheme == "https" else "ws"
    return kind(f"{scheme}://{url.netloc}/v1/{path}", headers, opening)


# --- the control channel ------------------------------------------------------------------------------


class Control(Line):
    """The control channel of a node."""

    node: OriginalAgent

    def job(self) -> dict:
        """The next job, with its message as `frame`."""
        frame = self.find("agent_job")
        job = frame.json
        assert set(job) == {"Content", "JobId", "Topic", "SchemaVersion"} and job["SchemaVersion"] == 1
        return {**job, "frame": frame}

    def ack(self, job: dict, code: str = "200", name: str = "Successful") -> None:
        """Says what becomes of a job."""
        frame = job["frame"]
        self.say("agent_job_ack", payloads.agent_job_ack(job["JobId"], frame.id, frame.created, code, name))

    def reply(self, job: dict, status: str, steps: dict | None = None, ident: str | None = None) -> Frame:
        """Says how far a command has come; the message, which nobody has acknowledged yet."""
        # The prefix alone, without the node.
        topic = ".".join(job["Topic"].split(".")[:3])
        words = payloads.agent_job_reply(job["JobId"], replies.payload(status, steps), topic)
        return self.say("agent_job_reply", words, **({"id": ident} if ident else {}))

    def acknowledged(self, reply: Frame) -> None:
        """Waits until the server has confirmed a reply."""
        frame = self.find("agent_job_reply_ack")
        assert frame.json["acknowledgedMessageId"] == reply.id, frame
        assert frame.json["jobId"] == reply.json["jobId"], frame

    def carry_out(self, job: dict, output: str = "done\n") -> None:
        """Handles a command as the original does."""
        self.ack(job)
        steps = {"aws:runShellScript": replies.step("Success", 0, output)}
        for status, result in [("InProgress", None), ("InProgress", steps), ("Success", steps)]:
            self.acknowledged(self.reply(job, status, result))

    def order(self) -> dict:
        """The next order to begin a session: its content."""
        words = self.find("interactive_shell").json
        assert words["SchemaVersion"] == 1, words
        content = json.loads(words["Content"])
        assert words["TaskId"] == content["SessionId"], words
        document = content["DocumentContent"]
        assert document["schemaVersion"] == "1.0" and document["sessionType"], document
        # Lists of one have to be plain by then: `commands` must come out as a text.
        assert all(isinstance(value, str) for value in content.get("Parameters", {}).values()), content
        return content

    def complete(self, session: str, status: str = "Success", output: str = "", times: int = 1) -> None:
        """Says that a session has ended, several times if it is told so, with the same id."""
        ident = str(uuid.uuid4())
        for attempt in range(1, times + 1):
            words = payloads.task_complete(session, self.node.node, status, output, attempt)
            self.say("agent_task_complete", words, id=ident)
        for _ in range(times):
            acknowledged = self.find("agent_task_acknowledge").json
            assert acknowledged["MessageId"] == ident and acknowledged["TaskId"] == session, acknowledged


def control(node: OriginalAgent) -> Control:
    """Opens the node's control channel as the original does."""
    path = f"control-channel/{node.node}"
    line = dial(node, path + _CONTROL_QUERY, payloads.open_control(token(node, path)), Control)
    line.node = node
    # Nothing answers the opening; a pong says that it has been read.
    line.ping()
    return line


# --- the data channel -----------------------------------------------------------------------------------


class Device(End):
    """The device's end of a session."""

    SENDS, RECEIVES = FROM_AGENT, FROM_CLIENT

    def __init__(self, node: OriginalAgent, session: str, resumes: bool = True):
        super().__init__(Outgoing(), Incoming(answers_old=True))
        self.node, self.session, self._resumes = node, session, resumes
        # What the client has typed, its window, its flags, and its answer to the handshake.
        self.input = bytearray()
        self.window: dict = {}
        self.flags: list[int] = []
        self.response: dict | None = None
        # The server has said: nobody listens; how often it has said so, and that somebody is there again.
        self.paused = False
        self.pauses = self.starts = 0
        self.closed_with: dict | None = None
        self.resumed = 0
        self._dial()

    def _dial(self) -> None:
        path = f"data-channel/{self.session}"
        opening = payloads.open_data_of_agent(token(self.node, path), self.node.node)
        line = dial(self.node, path + _DATA_QUERY, opening)
        line.say("agent_session_state", payloads.session_state(self.session, "Connected"), flags=SYN_AND_FIN)
        self.paused = False
        self.attach(line)

    def say(self, kind: int, payload: bytes) -> None:
        """Sends a message of the stream."""
        with self.news:
            self.send(kind, payload, flags=0 if self.out.next else SYN)

    def show(self, data: bytes | str) -> None:
        """What the terminal shows, in pieces."""
        raw = data.encode() if isinstance(data, str) else data
        for at in range(0, len(raw), 1024):
            self.say(codec.OUTPUT, raw[at : at + 1024])

    def shake_hands(self, session_type: str, properties: dict | None = None, **how: str) -> dict:
        """Asks the client for its part, waits for it, and says that all is well; the client's answer."""
        begun = time.monotonic()
        self.say(codec.HANDSHAKE_REQUEST, payloads.handshake_request(session_type, properties, **how))
        self.wait("the client has shaken hands", lambda: self.response)
        took = int((time.monotonic() - begun) * 1e9)
        self.say(codec.HANDSHAKE_COMPLETE, payloads.handshake_complete(took))
        return self.response

    def typed(self, text: bytes | str) -> None:
        """Waits until the client has typed this; then it is forgotten."""
        raw = text.encode() if isinstance(text, str) else text
        self.wait(f"{raw!r} is typed (not {bytes(self.input[-300:])!r})", lambda: raw in self.input)
        with self.news:
            del self.input[: self.input.index(raw) + len(raw)]

    def leave(self) -> None:
        """The shell has ended: says so, when all has arrived, and closes without a close frame."""
        self.wait("all has arrived", lambda: not self.out.waiting)
        self.line.say(
            "agent_session_state", payloads.session_state(self.session, "Terminating"), flags=SYN_AND_FIN
        )
        self.finish()

    def accepts(self, frame: Frame) -> bool:
        return True

    def use(self, frame: Frame) -> None:
        if frame.type == codec.OUTPUT:
            self.input += frame.payload
        elif frame.type == codec.SIZE:
            self.window = frame.json
        elif frame.type == codec.FLAG:
            self.flags.append(int.from_bytes(frame.payload, "big"))
        else:
            assert frame.type == codec.HANDSHAKE_RESPONSE, frame
            self.response = frame.json

    def other(self, frame: Frame) -> None:
        if frame.kind == "pause_publication":
            self.paused, self.pauses = True, self.pauses + 1
        elif frame.kind == "start_publication":
            self.paused, self.starts = False, self.starts + 1
        else:
            assert frame.kind == "channel_closed", frame
            self.closed_with = frame.json
            assert self.closed_with["SessionId"] == self.session, frame
            self._finished = True

    def lost(self) -> None:
        for attempt in range(6 if self._resumes else 0):
            try:
                self._dial()
                self.resumed += 1
                return
            except Exception:
                # The server may be away for a moment.
                if attempt == 5:
                    raise
                time.sleep(0.1 * 2**attempt)
