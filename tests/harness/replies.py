"""What amazon-ssm-agent says of a command: the payload of SendReply."""

import json

from .signing import now


def payload(status: str, steps: dict | None = None, trace: str = "") -> str:
    """The JSON text of a reply: the document's status, and the results of some of its steps."""
    counts: dict[str, int] = {}
    for result in (steps or {}).values():
        counts[result["status"]] = counts.get(result["status"], 0) + 1
    agent = {"lang": "en-US", "name": "amazon-ssm-agent", "os": "linux", "osver": "1", "ver": "3.3.0.0"}
    reply = {
        "additionalInfo": {
            "agent": agent,
            "dateTime": _moment(),
            "runId": "",
            "runtimeStatusCounts": counts or None,
            "ableToOpenMGSConnection": False,
        },
        "documentStatus": status,
        "documentTraceOutput": trace,
        "runtimeStatus": steps,
    }
    return json.dumps(reply)


def step(status: str, code: int, stdout: str = "", stderr: str = "") -> dict:
    """The result of one step as replies carry it."""
    output = stdout + (f"\n----------ERROR-------\n{stderr}" if stderr else "")
    return {
        "status": status,
        "code": code,
        "name": "aws:runShellScript",
        "output": output,
        "startDateTime": _moment(),
        "endDateTime": _moment(),
        "outputS3BucketName": "",
        "outputS3KeyPrefix": "",
        "stepName": "",
        "standardOutput": stdout,
        "standardError": stderr,
    }


def _moment() -> str:
    return now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
