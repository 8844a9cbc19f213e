"""Commands all the time, and what has to become of each."""

import threading
from collections import Counter
from pathlib import Path
from random import Random

from botocore.exceptions import BotoCoreError, ClientError

from harness.clients import TERMINAL
from harness.wait import until

from .world import World

_PAUSE = 1.0
# The last commands have had their faults, and end within this, s.
_PATIENCE = 180


class Traffic:
    """Sends commands that note on the device that they were run."""

    def __init__(self, world: World, seed: int):
        self.world = world
        self.ran = Path(world.home) / "ran"
        self.ran.touch()
        self.sent: dict[int, str] = {}
        self._chance = Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._flow, daemon=True)
        self._thread.start()

    def _flow(self) -> None:
        number = 0
        while not self._end.wait(_PAUSE):
            number += 1
            # The mark is no state of the agent's, so it is on another file system than that is.
            lines = [f"echo {number} >>{self.ran}", f"sleep {self._chance.choice([0, 0, 1, 3])}"]
            try:
                answer = self.world.client.send_command(
                    DocumentName="AWS-RunShellScript",
                    InstanceIds=[self.world.node],
                    Parameters={"commands": lines, "executionTimeout": ["60"]},
                    TimeoutSeconds=60,
                )
            except (BotoCoreError, ClientError):
                continue  # The hub is down; that a command wasn't taken is known at once.
            self.sent[number] = answer["Command"]["CommandId"]

    def stop(self) -> None:
        """No more commands."""
        self._end.set()
        self._thread.join(60)

    def settle(self) -> tuple[Counter, list[str]]:
        """Waits until every command has ended: how often each status, and what is wrong."""
        doubtful = [command for command in self.sent.values() if command in self.world.doubtful]
        sure = [command for command in self.sent.values() if command not in self.world.doubtful]
        ends = {command: self._status(command, _PATIENCE) for command in sure}
        # A restored hub isn't told again what it was told before: it gives such commands up after its three
        # days of silence. They come for all at once, or hundreds of rounds would need as many minutes.
        for command in [command for command in doubtful if not self._status(command, 0)]:
            self.world.three_days_later(command)
        ends |= {command: self._status(command, _PATIENCE) for command in doubtful}
        ran = Counter(int(line) for line in self.ran.read_text().split())
        wrong: list[str] = []
        for number, command in self.sent.items():
            status, runs = ends[command], ran[number]
            if status == "":
                wrong.append(f"command {number} ({command}) has no end")
            if runs > 1 or (status == "Success" and runs == 0):
                wrong.append(f"command {number} ({command}), {status}, was run {runs} times")
            # What has an end keeps it.
            if status and (again := self._status(command, 0)) != status:
                wrong.append(f"command {number} ({command}) was {status} and is {again}")
        return Counter(ends.values()), wrong

    def _status(self, command: str, patience: float) -> str:
        """How a command has ended within that time; empty if it hasn't."""
        client, node = self.world.client, self.world.node

        def probe() -> str | None:
            try:
                answer = client.get_command_invocation(CommandId=command, InstanceId=node)
            except client.exceptions.InvocationDoesNotExist:
                # The hub was restored to a time before it.
                return "forgotten"
            return answer["Status"] if answer["Status"] in TERMINAL else None

        try:
            return until(f"command {command} has ended", probe, patience)
        except TimeoutError:
            return ""
