"""How long an operator waits: from SendCommand to a GetCommandInvocation that says Success."""

import os
import statistics
import time
from pathlib import Path

from harness.hub import Hub
from harness.original import OriginalAgent

from .table import Row

COMMANDS = 200
WARM_UP = 5
# Nothing ends sooner; a question before that only takes the processor from those who are asked for.
FIRST_PAUSE_SECONDS = 0.004
PAUSE_SECONDS = 0.001


class Operator:
    """A client with little cost of its own: signed HTTP on one kept connection."""

    def __init__(self, hub: Hub):
        access_key, secret = hub.credentials()
        self._http = OriginalAgent(hub.endpoint, hub.region, key=None)
        self._http.credentials = {"AccessKeyId": access_key, "SecretAccessKey": secret}

    def call(self, operation: str, **body) -> dict:
        """One operation; its answer."""
        answer = self._http.by_token(operation, body)
        return answer.body if answer.status == 200 else {}

    def run(self, node: str) -> float:
        """Runs `true` on a node; the seconds until Success was seen."""
        begun = time.perf_counter()
        sent = self.call(
            "SendCommand",
            DocumentName="AWS-RunShellScript",
            InstanceIds=[node],
            Parameters={"commands": ["true"]},
        )
        where = {"CommandId": sent["Command"]["CommandId"], "InstanceId": node}
        time.sleep(FIRST_PAUSE_SECONDS)
        while (status := self.call("GetCommandInvocation", **where).get("Status")) != "Success":
            if status not in (None, "Pending", "InProgress"):
                raise RuntimeError(f"the command ended as {status}")
            if time.perf_counter() - begun > 60:
                raise TimeoutError("a command took more than a minute")
            time.sleep(PAUSE_SECONDS)
        return time.perf_counter() - begun


def command(hub: Hub, node: str, name: str, aim: float, original: str = "") -> list[Row]:
    """One command after the other, each waited for."""
    operator = Operator(hub)
    for _ in range(WARM_UP):
        operator.run(node)
    taken = sorted(operator.run(node) for _ in range(COMMANDS))
    p95 = taken[int(len(taken) * 0.95)]
    return [
        Row.milliseconds(f"{name}, median", statistics.median(taken), aim, original),
        Row.milliseconds(f"{name}, 95th percentile", p95),
    ]


def flush(home: Path) -> list[Row]:
    """How long the disk takes for a small new file: a command waits for several such flushes in a row."""
    taken = []
    for number in range(50):
        with open(home / f"flush-{number}", "wb") as file:
            begun = time.perf_counter()
            file.write(b"x" * 300)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return [Row.milliseconds("a flush of the disk, median", statistics.median(taken))]
