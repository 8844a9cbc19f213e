"""The JSON of the messages, with their members in the order in which the original writes them."""

import json
import struct
import uuid
from datetime import UTC, datetime

# What the agent says of itself. From 3.1.1512.0 on, clients multiplex without a keep-alive of their own.
AGENT_VERSION = "3.3.0.0"

CLIENT_VERSION = "1.2.650.0"


def dump(words: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(words, separators=(",", ":"), ensure_ascii=False).encode()


def moment(milliseconds: int) -> str:
    """A time as these payloads have it."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"


# --- how channels begin: text frames ---------------------------------------------------------------


def open_control(token: str) -> dict:
    """The first frame of an agent on its control channel."""
    return {
        "Cookie": None,
        "MessageSchemaVersion": "1.0",
        "RequestId": str(uuid.uuid4()),
        "TokenValue": token,
        "AgentVersion": AGENT_VERSION,
        "PlatformType": "linux",
    }


def open_data_of_agent(token: str, node: str) -> dict:
    """The first frame of an agent on a session's data channel."""
    return {
        "MessageSchemaVersion": "1.0",
        "RequestId": str(uuid.uuid4()),
        "TokenValue": token,
        "ClientInstanceId": node,
        "ClientId": "",
    }


def open_data_of_client(token: str, client: str) -> dict:
    """The first frame of a client on a session's data channel."""
    return {
        "MessageSchemaVersion": "1.0",
        "RequestId": str(uuid.uuid4()),
        "TokenValue": token,
        "ClientId": client,
        "ClientVersion": CLIENT_VERSION,
    }


# --- commands --------------------------------------------------------------------------------------


def agent_job(content: object, job: str, topic: str) -> bytes:
    """A command, or its cancellation."""
    return dump({"Content": dump(content).decode(), "JobId": job, "Topic": topic, "SchemaVersion": 1})


def agent_job_ack(job: str, message: str, created: int, code: str = "200", name: str = "Successful") -> bytes:
    """Whether an agent has taken a job, whose frame had this id and time."""
    return dump(
        {
            "jobId": job,
            "acknowledgedMessageId": message,
            "createdDate": moment(created),
            "statusCode": code,
            "errorMessage": name,
        }
    )


def agent_job_reply(job: str, content: str, topic: str) -> bytes:
    """How far a command has come; `content` is the JSON text of a reply."""
    return dump({"schemaVersion": 1, "jobId": job, "content": content, "topic": topic})


def agent_job_reply_ack(job: str, message: str) -> bytes:
    """The server has the reply whose frame had this id."""
    return dump({"jobId": job, "acknowledgedMessageId": message})


# --- sessions, on the control channel ----------------------------------------------------------------


def interactive_shell(content: dict) -> bytes:
    """The order to begin a session of any type."""
    words = {"Content": dump(content).decode(), "TaskId": content["SessionId"]}
    return dump({**words, "Topic": "aws.ssm.interactive_shell", "SchemaVersion": 1})


def channel_closed(session: str, node: str, message: str, created: int, output: str = "") -> bytes:
    """The end of a session, for the agent and the client. `message` is the id of its own frame."""
    return dump(
        {
            "MessageType": "channel_closed",
            "MessageId": message,
            "DestinationId": node,
            "SessionId": session,
            "SchemaVersion": 1,
            "CreatedDate": moment(created),
            "Output": output,
        }
    )


def task_complete(session: str, node: str, status: str = "Success", output: str = "", attempt=1) -> bytes:
    """A session has ended."""
    words = {
        "SchemaVersion": 1,
        "TaskId": session,
        "Topic": "agent_task_complete",
        "FinalTaskStatus": status,
        "IsRoutingFailure": False,
        "AwsAccountId": "",
        "InstanceId": node,
        "Output": output,
    }
    empty = dict.fromkeys(["S3Bucket", "S3UrlSuffix", "CwlGroup", "CwlStream"], "")
    return dump({**words, **empty, "RetryNumber": attempt})


def task_acknowledge(session: str, message: str) -> bytes:
    """The server knows that the session has ended."""
    words = {"SchemaVersion": 1, "MessageId": message, "TaskId": session}
    return dump({**words, "Topic": "agent_task_complete"})


# --- the data channel --------------------------------------------------------------------------------


def session_state(session: str, state: str) -> bytes:
    """What the agent tells the server of its end: Connected, Terminating."""
    return dump({"SchemaVersion": 1, "SessionState": state, "SessionId": session})


def acknowledge(kind: str, message: str, sequence: int) -> bytes:
    """One message of a stream has come."""
    return dump(
        {
            "AcknowledgedMessageType": kind,
            "AcknowledgedMessageId": message,
            "AcknowledgedMessageSequenceNumber": sequence,
            "IsSequentialMessage": True,
        }
    )


def size(cols: int, rows: int) -> bytes:
    """The client's window."""
    return dump({"cols": cols, "rows": rows})


def flag(number: int) -> bytes:
    """A word about ports or the end of the session."""
    return struct.pack(">I", number)


def exit_code(number: int) -> bytes:
    """How a command has ended."""
    return f"EXIT_CODE: {number}".encode()


def handshake_request(session_type: str, properties: dict | None, version: str = AGENT_VERSION) -> bytes:
    """What the agent wants the client to do first."""
    what = {"SessionType": session_type, "Properties": properties}
    action = {"ActionType": "SessionType", "ActionParameters": what}
    return dump({"AgentVersion": version, "RequestedClientActions": [action]})


def handshake_response(status: int = 1, error: str = "", version: str = CLIENT_VERSION) -> bytes:
    """What the client has done: 1 is success, 2 failure, 3 that it can't."""
    action = {"ActionType": "SessionType", "ActionStatus": status, "ActionResult": None, "Error": error}
    return dump({"ClientVersion": version, "ProcessedClientActions": [action], "Errors": None})


def handshake_complete(nanoseconds: int, message: str = "") -> bytes:
    """The session begins."""
    return dump({"HandshakeTimeToComplete": nanoseconds, "CustomerMessage": message})
