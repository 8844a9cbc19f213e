"""The two ends of a data channel without their rules: a test says each message, and sees each that comes.

The agent's and the plugin's own behaviour, with its repetitions, is in `agent.py` and `plugin.py`."""

import json
import uuid

from ..original import OriginalAgent
from . import payloads
from .agent import dial, token
from .codec import FROM_AGENT, FROM_CLIENT, OUTPUT, SYN_AND_FIN, Frame
from .line import KEEPALIVE, Line


class Bare(Line):
    """One end. It counts what it says, and nothing else."""

    def __init__(self, url: str, headers: dict[str, str], opening: dict | None):
        super().__init__(url, headers, opening)
        self.said = 0

    def type(self, payload: bytes, payload_type: int = OUTPUT) -> Frame:
        """The client says something."""
        return self._data(FROM_CLIENT, payload, payload_type)

    def show(self, payload: bytes, payload_type: int = OUTPUT) -> Frame:
        """The agent says something."""
        return self._data(FROM_AGENT, payload, payload_type)

    def _data(self, kind: str, payload: bytes, payload_type: int) -> Frame:
        frame = Frame(kind, payload, sequence=self.said, type=payload_type)
        self.said += 1
        return self.send(frame)

    def acknowledge(self, frame: Frame) -> Frame:
        """Acknowledges a message of the other end."""
        words = {
            "AcknowledgedMessageType": frame.kind,
            "AcknowledgedMessageId": frame.id,
            "AcknowledgedMessageSequenceNumber": frame.sequence,
            "IsSequentialMessage": True,
        }
        return self.say("acknowledge", words, flags=SYN_AND_FIN)

    def state(self, session: str, state: str) -> None:
        """The agent says where the session stands."""
        self.say("agent_session_state", payloads.session_state(session, state), flags=SYN_AND_FIN)


def plugin(answer: dict, token: str | None = None) -> Bare:
    """The client with the answer of StartSession: no signature, its ping first."""
    words = {
        "MessageSchemaVersion": "1.0",
        "RequestId": str(uuid.uuid4()),
        "TokenValue": answer["TokenValue"] if token is None else token,
        "ClientId": str(uuid.uuid4()),
        "ClientVersion": "1.2.0.0",
    }
    client = Bare(answer["StreamUrl"], {}, None)
    client.socket.ping(KEEPALIVE)
    client.socket.send(json.dumps(words))
    return client


def agent_end(node: OriginalAgent, session: str) -> Bare:
    """The agent's end of a session, which it opens when it has been told to."""
    path = f"data-channel/{session}"
    words = payloads.open_data_of_agent(token(node, path), node.node)
    end = dial(node, f"{path}?role=publish_subscribe", words, Bare)
    end.state(session, "Connected")
    end.ping()
    return end
