"""The server against an agent: it answers what an agent needs to be online, holds its control channel, and
relays the data channels of sessions between it and a client, such as `plugin.Plugin`."""

import contextlib
import itertools
import json
import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from . import payloads, signatures
from .codec import FROM_AGENT, FROM_CLIENT, Frame
from .line import PATIENCE
from .sockets import Socket, accept

# A poll for messages that finds none takes so long, seconds.
_POLL = 2

# Messages that wait for an end of a session that isn't there.
_KEPT = 20_000

_DENIED = "<AccessDeniedException><Message>no channel for you</Message></AccessDeniedException>"


class Control:
    """A control channel that an agent holds, and all that it has said on it."""

    def __init__(self, server: "Server", node: str, socket: Socket, opening: dict):
        self._server, self.node, self.socket, self.opening = server, node, socket, opening
        self.frames: list[Frame] = []
        self.open = True

    def say(self, kind: str, payload: bytes, pieces: int = 1, **more) -> Frame:
        """Sends a message."""
        frame = Frame(kind, payload, **more)
        self.socket.send(frame.bytes(), pieces=pieces)
        return frame

    def heard(self, kind: str) -> list[Frame]:
        """The messages of this type that have come."""
        return [frame for frame in self.frames if frame.kind == kind]

    def cut(self) -> None:
        """Breaks it without a word."""
        self.socket.cut()


class Session:
    """A session as the server knows it."""

    def __init__(self, ident: str, node: str):
        self.id, self.node = ident, node
        self.agent: Socket | None = None
        self.client: Socket | None = None
        # What waits for an end that isn't there.
        self.for_agent: deque[bytes] = deque(maxlen=_KEPT)
        self.for_client: deque[bytes] = deque(maxlen=_KEPT)
        # What the agent says of itself, and its last word.
        self.states: list[str] = []
        self.complete: list[dict] = []
        # How often each end has opened its channel.
        self.agents = self.clients = 0
        # Bytes of messages that went by, and after how many which end's socket is cut.
        self.relayed = 0
        self.cut_agent_after: int | None = None


class Server:
    """A server on loopback, with plain HTTP."""

    def __init__(self) -> None:
        self.news = threading.Condition(threading.RLock())
        # Operations by name, as they were called; the bodies of UpdateInstanceInformation.
        self.calls: list[str] = []
        self.reports: list[dict] = []
        # What polls get: messages of ec2messages. Acknowledged ones are taken away.
        self.messages: list[dict] = []
        self.replies: list[dict] = []
        # The channels: newest last.
        self.controls: list[Control] = []
        self.sessions: dict[str, Session] = {}
        # Whether it acknowledges replies, and ends of sessions: how many of them it passes over first.
        self.unacknowledged = 0
        # How it answers to the creation of channels: 201, "denied", or another status.
        self.creation: int | str = 201
        # What becomes of a websocket: "", "refused", "closed"; and whether pings on it are answered.
        self.websockets = ""
        self.answers_pings = True
        self.breaks: BaseException | None = None
        self._tokens: dict[str, str] = {}
        self._secrets: dict[str, tuple[str, str]] = {}
        self._numbers = itertools.count(1)
        self._closing = threading.Event()
        server = self

        class Handler(_Handler):
            site = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self.region = "eu-central-1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends it, and every channel."""
        self._closing.set()
        with self.news:
            for control in self.controls:
                control.cut()
            for session in self.sessions.values():
                for socket in (session.agent, session.client):
                    if socket:
                        socket.cut()
        self._http.shutdown()
        self._http.server_close()
        assert not self.breaks, repr(self.breaks)

    def wait(self, what: str, probe: Callable[[], object], patience: float = PATIENCE) -> object:
        """Waits until `probe` is true, and returns what it returns."""
        with self.news:

            def probed() -> object:
                assert not self.breaks, repr(self.breaks)
                return probe()

            found = self.news.wait_for(probed, patience)
        assert found, f"waited {patience} s until {what}"
        return found

    # --- commands -------------------------------------------------------------------------------------

    def control(self, older: Control | None = None, patience: float = PATIENCE) -> Control:
        """The newest control channel, as soon as there is one that is open, and newer than `older`."""

        def newest() -> Control | None:
            last = self.controls[-1] if self.controls else None
            return last if last and last.open and last is not older else None

        return self.wait("there is a control channel", newest, patience)

    def job(self, *commands: str, ident: str = "", **more) -> str:
        """Sends a command over the newest control channel; the job's id."""
        control = self.control()
        command = ident or str(uuid.uuid4())
        job = f"aws.ssm.{command}.{control.node}"
        topic = f"aws.ssm.sendCommand.{control.node}"
        control.say("agent_job", payloads.agent_job(content(command, *commands), job, topic), **more)
        return job

    def cancel(self, job: str) -> str:
        """Takes a command back; the id of the job that says so."""
        control = self.control()
        own = f"aws.ssm.{uuid.uuid4()}.{control.node}"
        topic = f"aws.ssm.cancelCommand.{control.node}"
        control.say("agent_job", payloads.agent_job({"CancelMessageId": job}, own, topic))
        return own

    def acks(self, job: str) -> list[dict]:
        """What has been said about whether a job is taken."""
        frames = (frame for control in self.controls for frame in control.heard("agent_job_ack"))
        return [frame.json for frame in frames if frame.json["jobId"] == job]

    def answers(self, job: str) -> list[dict]:
        """How far a job has come, word for word: what was said over channels, then what by SendReply."""
        frames = (frame.json for control in self.controls for frame in control.heard("agent_job_reply"))
        texts = [words["content"] for words in frames if words["jobId"] == job]
        texts += [reply["Payload"] for reply in self.replies if reply["MessageId"] == job]
        return [json.loads(text) for text in texts]

    def outcome(self, job: str, patience: float = 60) -> dict:
        """Waits until a job has ended; its last reply."""

        def last() -> dict | None:
            ended = [a for a in self.answers(job) if a["documentStatus"] not in ("InProgress", "Pending")]
            return ended[-1] if ended else None

        return self.wait(f"{job} has ended", last, patience)

    # --- sessions -------------------------------------------------------------------------------------

    def start(self, session_type: str, properties: dict | None = None, **more) -> dict:
        """Orders a session of the node that holds the newest channel; what StartSession would answer."""
        control = self.control()
        ident = f"alice-{secrets.token_hex(9)[:17]}"
        self.sessions[ident] = Session(ident, control.node)
        inputs = more.pop("inputs", {})
        document = {
            "schemaVersion": "1.0",
            "description": "a test's",
            "sessionType": session_type,
            "inputs": inputs,
            "parameters": {},
            "properties": properties or {},
        }
        order = {
            "DocumentName": "A-Test",
            "DocumentContent": document,
            "SessionId": ident,
            "Parameters": {},
            "RunAsUser": "",
            "SessionOwner": "arn:aws:iam::111122223333:user/alice",
            **more,
        }
        # An agent that refuses it may be faster than what follows here.
        answer = self.resume(ident)
        control.say("interactive_shell", payloads.interactive_shell(order))
        return answer

    def resume(self, ident: str) -> dict:
        """Another token for a session; empty if it is over."""
        session = self.sessions[ident]
        path = f"data-channel/{ident}"
        url = f"{self.endpoint.replace('http', 'ws')}/v1/{path}?role=publish_subscribe"
        token = "" if session.complete else self._token(f"client {path}")
        return {"SessionId": ident, "TokenValue": token, "StreamUrl": url}

    def end(self, ident: str, by: str = "control", output: str = "") -> None:
        """Ends a session from outside; `by` is the channel on which the agent is told."""
        session = self.sessions[ident]
        frame = self._closed(session, output)
        if by == "control":
            self.control().socket.send(frame)
        elif session.agent:
            session.agent.send(frame)

    def completed(self, ident: str, patience: float = PATIENCE) -> dict:
        """Waits until the agent has said that a session is over; its words."""
        session = self.sessions[ident]
        return self.wait("the agent has ended the session", lambda: session.complete, patience)[-1]

    @staticmethod
    def _closed(session: Session, output: str) -> bytes:
        frame = Frame("channel_closed")
        words = (session.id, session.node, frame.id, frame.created, output)
        frame.payload = payloads.channel_closed(*words)
        return frame.bytes()

    # --- what comes -----------------------------------------------------------------------------------

    def _token(self, path: str, signs: str = "") -> str:
        token = secrets.token_urlsafe(24) + signs
        self._tokens[token] = path
        return token

    def _called(self, operation: str, body: dict) -> tuple[int, dict]:
        with self.news:
            self.calls.append(operation)
            self.news.notify_all()
        if operation == "RegisterManagedInstance":
            return 200, {"InstanceId": f"mi-{next(self._numbers):017x}"}
        if operation == "RequestManagedInstanceRoleToken":
            key, secret, token = "ASIA" + secrets.token_hex(8).upper(), secrets.token_hex(20), "session"
            self._secrets[key] = (secret, token)
            return 200, {
                "AccessKeyId": key,
                "SecretAccessKey": secret,
                "SessionToken": token,
                "UpdateKeyPair": False,
                "TokenExpirationDate": int(time.time()) + 3600,
            }
        if operation == "UpdateInstanceInformation":
            with self.news:
                self.reports.append(body)
                self.news.notify_all()
            return 200, {}
        if operation == "GetMessages":
            return 200, self._poll(body)
        if operation == "AcknowledgeMessage":
            with self.news:
                self.messages = [m for m in self.messages if m["MessageId"] != body["MessageId"]]
            return 200, {}
        if operation == "SendReply":
            with self.news:
                self.replies.append(body)
                self.news.notify_all()
            return 200, {}
        return 400, {"__type": "UnknownOperationException", "message": operation}

    def _poll(self, body: dict) -> dict:
        end = time.monotonic() + _POLL
        while not self.messages and time.monotonic() < end and not self._closing.wait(0.05):
            pass
        with self.news:
            found = [{**message, "Destination": body["Destination"]} for message in self.messages]
        words = {"Destination": body["Destination"], "MessagesRequestId": body["MessagesRequestId"]}
        return {**words, "Messages": found}

    def _control(self, node: str, socket: Socket, opening: dict) -> None:
        control = Control(self, node, socket, opening)
        with self.news:
            self.controls.append(control)
            self.news.notify_all()
        while (data := socket.receive()) is not None:
            frame = Frame.read(data)
            with self.news:
                control.frames.append(frame)
                self._answer(control, frame)
                self.news.notify_all()
        with self.news:
            control.open = False
            self.news.notify_all()

    def _answer(self, control: Control, frame: Frame) -> None:
        if frame.kind not in ("agent_job_reply", "agent_task_complete"):
            return
        words = frame.json
        if frame.kind == "agent_task_complete":
            session = self.sessions[words["TaskId"]]
            session.complete.append(words)
            if session.client:
                session.client.send(self._closed(session, words["Output"]))
        if self.unacknowledged > 0:
            self.unacknowledged -= 1
        elif frame.kind == "agent_job_reply":
            control.say("agent_job_reply_ack", payloads.agent_job_reply_ack(words["jobId"], frame.id))
        else:
            control.say("agent_task_acknowledge", payloads.task_acknowledge(words["TaskId"], frame.id))

    def _data(self, session: Session, socket: Socket, is_agent: bool) -> None:
        with self.news:
            kept = session.for_agent if is_agent else session.for_client
            if is_agent:
                session.agents += 1
            else:
                session.clients += 1
            # In their order, and before anything newer.
            while kept:
                socket.send(kept.popleft())
            if is_agent:
                session.agent = socket
            else:
                session.client = socket
                # It was over before its client came.
                for words in session.complete[-1:]:
                    socket.send(self._closed(session, words["Output"]))
            self.news.notify_all()
        while (data := socket.receive()) is not None:
            self._relay(session, data, is_agent)
        with self.news:
            if is_agent and session.agent is socket:
                session.agent = None
            elif session.client is socket:
                session.client = None
            self.news.notify_all()

    def _relay(self, session: Session, data: bytes, from_agent: bool) -> None:
        frame = Frame.read(data)
        if frame.kind == "agent_session_state":
            assert from_agent and frame.json["SessionId"] == session.id, frame
            with self.news:
                session.states.append(frame.json["SessionState"])
                self.news.notify_all()
            return
        assert frame.kind in ("acknowledge", FROM_AGENT if from_agent else FROM_CLIENT), frame
        with self.news:
            to, kept = (
                (session.client, session.for_client) if from_agent else (session.agent, session.for_agent)
            )
            session.relayed += len(frame.payload)
            cut, agent = session.cut_agent_after, session.agent
            if cut is not None and session.relayed >= cut and agent:
                session.cut_agent_after = None
                agent.cut()
            if to is None:
                kept.append(data)
        # Outside the lock: one slow end must not hold up everything.
        if to is not None:
            to.send(data)


class _Handler(BaseHTTPRequestHandler):
    """One connection of an agent, or of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: Server

    def do_POST(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        if path.startswith("/v1/"):
            return self._create(path.removeprefix("/v1/"), body)
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        status, answer = self.site._called(operation, json.loads(body or b"{}"))
        self._say(status, "application/x-amz-json-1.1", json.dumps(answer))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _create(self, path: str, body: bytes) -> None:
        site = self.site
        with site.news:
            site.calls.append("CreateControlChannel" if path.startswith("control") else "CreateDataChannel")
            site.news.notify_all()
        if site.creation != 201:
            denied = site.creation == "denied"
            return self._say(400 if denied else site.creation, "application/xml", _DENIED if denied else "")
        try:
            self._check(body)
            words = json.loads(body)
            assert words["MessageSchemaVersion"] == "1.0" and uuid.UUID(words["RequestId"]), words
        except BaseException as error:
            site.breaks = error
            return self._say(400, "application/xml", "<InvalidSignatureException/>")
        if path.startswith("data-channel/") and path.partition("/")[2] not in site.sessions:
            return self._say(400, "application/xml", "<Error>Session is already terminated</Error>")
        token = escape(site._token(path, "<&"))
        version = "<a:MessageSchemaVersion>1.0</a:MessageSchemaVersion>"
        answer = f"<a:R xmlns:a='urn:x'>{version}<a:TokenValue>{token}</a:TokenValue></a:R>"
        self._say(201, "application/xml", answer)

    def _check(self, body: bytes) -> None:
        fields = {name.lower(): value for name, value in self.headers.items()}
        signatures.check(self.command, self.path, fields, body, self.site._secrets, self.site.region)

    def do_GET(self) -> None:
        site, url = self.site, urlsplit(self.path)
        path = url.path.removeprefix("/v1/")
        signed = "Authorization" in self.headers
        try:
            if signed:
                self._check(b"")
                role = (
                    "role=subscribe&stream=input" if path.startswith("control") else "role=publish_subscribe"
                )
                assert sorted(url.query.split("&")) == role.split("&"), self.path
            assert self.headers["Upgrade"].lower() == "websocket", self.headers
            assert self.headers["Sec-WebSocket-Version"] == "13", self.headers
        except BaseException as error:
            site.breaks = error
            return self._say(400, "text/plain", "")
        self.close_connection = True
        if site.websockets == "refused":
            return self._say(403, "text/plain", "")
        if site.websockets == "closed":
            return None
        self.send_response(101)
        for name, value in [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept(self.headers["Sec-WebSocket-Key"])),
        ]:
            self.send_header(name, value)
        self.end_headers()
        socket = Socket(self.connection, self.rfile)
        socket.answers_pings = site.answers_pings
        try:
            self._serve(path, socket, signed)
        except BaseException as error:
            with site.news:
                site.breaks = error
                site.news.notify_all()
        socket.cut()

    def _serve(self, path: str, socket: Socket, is_agent: bool) -> None:
        """One channel to its end. The token comes first."""
        data = socket.receive()
        if data is None:
            return
        opening = json.loads(data)
        wanted = path if is_agent else f"client {path}"
        assert self.site._tokens.pop(opening["TokenValue"], None) == wanted, opening
        kind, _, ident = path.partition("/")
        if kind == "control-channel":
            assert opening["PlatformType"] == "linux" and opening["AgentVersion"], opening
            self.site._control(ident, socket, opening)
        else:
            session = self.site.sessions[ident]
            assert not is_agent or opening["ClientInstanceId"] == session.node, opening
            self.site._data(session, socket, is_agent)

    def _say(self, status: int, kind: str, body: str) -> None:
        raw = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        # Whoever asked may have gone.
        with contextlib.suppress(OSError):
            self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


def content(command: str, *lines: str) -> dict:
    """What a command of shell lines is."""
    step = {"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": list(lines)}}
    return {
        "Parameters": {},
        "DocumentContent": {"schemaVersion": "2.2", "mainSteps": [step]},
        "CommandId": command,
        "DocumentName": "AWS-RunShellScript",
        "OutputS3KeyPrefix": "",
        "OutputS3BucketName": "",
        "CloudWatchLogGroupName": "",
        "CloudWatchOutputEnabled": "false",
    }
