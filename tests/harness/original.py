"""amazon-ssm-agent as a server sees it: the same requests, in the same order, with the same quirks.

The real agent is not here to be run, so this speaks its wire format by the captures that stand in
tests/fixtures/amazon-ssm-agent and by what its source does between them. It decides nothing by itself:
a test says what happens on the node.
"""

import http.client
import json
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from . import replies, signing
from .keys import RsaKey

SSM = "AmazonSSM"
MESSAGES = "EC2WindowsMessageDeliveryService"

# The original's own HTTP timeout: a long poll has to answer before.
TIMEOUT_SECONDS = 20


@dataclass
class Answer:
    """An HTTP answer of AWS JSON 1.1."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict:
        """The body as JSON."""
        return json.loads(self.raw or b"{}")

    @property
    def code(self) -> str | None:
        """The error code, None on success."""
        return None if self.status == 200 else self.body.get("__type")


class Refused(Exception):
    """The server answered an error where the test expected none."""


@dataclass
class OriginalAgent:
    """One node that behaves on the wire as amazon-ssm-agent 3.3 does."""

    endpoint: str
    region: str = "eu-central-1"
    key: object = field(default_factory=RsaKey)
    fingerprint: str = field(default_factory=lambda: str(uuid.uuid4()))
    node: str = ""
    credentials: dict = field(default_factory=dict)

    def __post_init__(self):
        url = urlsplit(self.endpoint)
        self.scheme, self.host = url.scheme, url.netloc
        self._connection: http.client.HTTPConnection | None = None

    # --- the three ways to ask ---------------------------------------------------------------

    def send(self, headers: signing.Headers, body: bytes) -> Answer:
        """One request on a connection that is kept, byte for byte in the order given."""
        chunked = ("Transfer-Encoding", "chunked") in headers
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self.host, timeout=TIMEOUT_SECONDS)
            try:
                self._connection.putrequest("POST", "/", skip_host=True, skip_accept_encoding=True)
                for name, value in headers:
                    self._connection.putheader(name, value)
                self._connection.endheaders()
                self._connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
                answer = self._connection.getresponse()
                return Answer(answer.status, dict(answer.headers), answer.read())
            except TimeoutError:
                self.hang_up()
                raise
            except (http.client.HTTPException, OSError):
                # A kept connection may have been closed meanwhile; once more on a new one.
                self.hang_up()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def hang_up(self) -> None:
        """Closes the connection, as the original does when a call takes too long."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def anonymously(self, operation: str, body: dict) -> Answer:
        """An unsigned request."""
        raw, target = _dump(body), f"{SSM}.{operation}"
        return self.send(signing.anonymous(self.host, target, raw), raw)

    def by_key(self, operation: str, body: dict, key=None, moment=None, tamper=None) -> Answer:
        """A request signed with the node's key; `tamper` changes the body after signing."""
        raw, target = _dump(body), f"{SSM}.{operation}"
        headers = signing.with_key(
            self.host, target, raw, self.node, self.region, key or self.key, moment or signing.now()
        )
        return self.send(headers, tamper(raw) if tamper else raw)

    def by_token(self, operation: str, body: dict | bytes, namespace: str = SSM) -> Answer:
        """A request signed with the temporary credentials."""
        raw = body if isinstance(body, bytes) else _dump(body)
        service = "ssm" if namespace == SSM else "ec2messages"
        target = f"{namespace}.{operation}"
        headers = signing.with_token(
            self.host, target, raw, self.credentials, self.region, service, self.scheme
        )
        return self.send(headers, raw)

    # --- what the original does with them ----------------------------------------------------

    def try_to_register(self, activation: dict) -> Answer:
        """RegisterManagedInstance, whatever comes of it."""
        body = {
            "ActivationCode": activation["ActivationCode"],
            "ActivationId": activation["ActivationId"],
            "Fingerprint": self.fingerprint,
            "PublicKey": self.key.public,
            "PublicKeyType": self.key.type,
        }
        return self.anonymously("RegisterManagedInstance", body)

    def register(self, activation: dict) -> str:
        """Registers; the node id."""
        self.node = _ok(self.try_to_register(activation))["InstanceId"]
        return self.node

    def request_token(self, **how) -> Answer:
        """RequestManagedInstanceRoleToken, whatever comes of it."""
        return self.by_key("RequestManagedInstanceRoleToken", {"Fingerprint": self.fingerprint}, **how)

    def refresh(self) -> dict:
        """Gets temporary credentials and uses them from now on. The original reads all five
        members without looking whether they are there, and dies of a missing one."""
        answer = _ok(self.request_token())
        for member in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
            assert isinstance(answer[member], str) and answer[member]
        assert isinstance(answer["TokenExpirationDate"], (int, float))
        assert isinstance(answer["UpdateKeyPair"], bool)
        self.credentials = answer
        return answer

    def rotate(self) -> None:
        """Tells the server a new public key, signed with the old one, and uses it from now on."""
        new = type(self.key)()
        body = {"NewPublicKey": new.public, "NewPublicKeyType": new.type}
        _ok(self.by_key("UpdateManagedInstancePublicKey", body))
        self.key = new

    def ping(self, **more: str) -> Answer:
        """UpdateInstanceInformation: the empty ping, or a report when there is more to say."""
        body = {
            "AgentName": "amazon-ssm-agent",
            "AgentVersion": "3.3.0.0",
            "InstanceId": self.node,
            "PlatformType": "Linux",
            **more,
        }
        return self.by_token("UpdateInstanceInformation", body)

    def report(self) -> Answer:
        """The full report that follows the empty ping."""
        return self.ping(
            AgentStatus="Active",
            AvailabilityZone="",
            AvailabilityZoneId="",
            ComputerName="edge-1",
            IPAddress="192.0.2.7",
            PlatformName="Debian GNU/Linux",
            PlatformVersion="12",
            SSMConnectionChannel="ec2messages",
        )

    def come_online(self, activation: dict) -> "OriginalAgent":
        """Everything from registration to the first report."""
        self.register(activation)
        self.refresh()
        _ok(self.ping())
        _ok(self.report())
        return self

    def poll(self) -> list[dict]:
        """One GetMessages; the messages, often none."""
        request_id = str(uuid.uuid4())
        body = {
            "Destination": self.node,
            "MessagesRequestId": request_id,
            "VisibilityTimeoutInSeconds": 10,
        }
        answer = _ok(self.by_token("GetMessages", body, MESSAGES))
        assert answer["Destination"] == self.node
        assert answer["MessagesRequestId"] == request_id
        for message in answer["Messages"]:
            # The original ignores a message that lacks one of these, and dies without a Payload.
            for member in ("CreatedDate", "Destination", "MessageId", "Payload", "Topic"):
                assert isinstance(message[member], str) and message[member], message
        return answer["Messages"]

    def poll_for_one(self, polls: int = 4) -> dict:
        """Polls until exactly one message has come."""
        for _ in range(polls):
            messages = self.poll()
            if messages:
                assert len(messages) == 1, messages
                return messages[0]
        raise AssertionError(f"{self.node} got no message in {polls} polls")

    def acknowledge(self, message: dict) -> Answer:
        """AcknowledgeMessage."""
        return self.by_token("AcknowledgeMessage", {"MessageId": message["MessageId"]}, MESSAGES)

    def fail(self, message: dict) -> Answer:
        """FailMessage, as for a topic that nobody handles."""
        body = {"FailureType": "InternalHandlerException", "MessageId": message["MessageId"]}
        return self.by_token("FailMessage", body, MESSAGES)

    def reply(self, message: dict, status: str, steps: dict | None = None, reply_id=None, trace="") -> Answer:
        """SendReply with a document status and the results of some steps."""
        body = {
            "MessageId": message["MessageId"],
            "Payload": replies.payload(status, steps, trace),
            "ReplyId": reply_id or str(uuid.uuid4()),
        }
        return self.by_token("SendReply", body, MESSAGES)

    def carry_out(
        self, message: dict, status: str = "Success", code: int = 0, output: str = "done\n"
    ) -> None:
        """Handles a command as the original does: say it runs, acknowledge, one reply for the step,
        and a last one that repeats it."""
        _ok(self.reply(message, "InProgress"))
        _ok(self.acknowledge(message))
        steps = {"aws:runShellScript": replies.step(status, code, output)}
        _ok(self.reply(message, "InProgress", steps))
        _ok(self.reply(message, status, steps))


def _dump(body: dict) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _ok(answer: Answer) -> dict:
    if answer.status != 200:
        raise Refused(f"{answer.status} {answer.raw.decode(errors='replace')}")
    return answer.body


def change_a_letter(raw: bytes) -> bytes:
    """The same JSON with one letter of its last string changed."""
    return raw[:-3] + (b"1" if raw[-3:-2] == b"0" else b"0") + raw[-2:]
