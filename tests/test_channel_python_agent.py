"""The hub against an agent of another make, over a way on which things get lost, come twice, or break:
nothing is forgotten, and nothing counts twice."""

import json
import random
import threading

import pytest
import websocket

from harness import replies
from harness.clients import finished, shell
from harness.mgs import agent as mgs
from harness.mgs import payloads
from harness.mgs.agent import Control
from harness.mgs.codec import Frame
from harness.wait import until


@pytest.fixture
def control(node) -> Control:
    """The control channel of the simulated node."""
    return mgs.control(node)


def lines_of(job: dict) -> list[str]:
    """The lines of a command."""
    return json.loads(job["Content"])["Parameters"]["commands"]


class Clumsy:
    """An agent that carries out commands over a channel on which anything may go wrong. It runs each only
    once, and keeps a reply until it is acknowledged."""

    def __init__(self, node, seed: int):
        self._node, self._chance = node, random.Random(seed)
        self.control = mgs.control(node)
        # Lines in the order in which they were run; jobs that were taken; replies nobody has acknowledged.
        self.ran: list[str] = []
        self._taken: set[str] = set()
        self._kept: list[Frame] = []
        self.cuts = self.again = 0

    def turn(self) -> None:
        """Does the next thing: a job, an acknowledgement, or a mishap."""
        try:
            frame = self.control.receive(1)
        except TimeoutError:
            return self._tell()
        if frame is None:
            return self._anew()
        if frame.kind == "agent_job":
            self._job({**frame.json, "frame": frame})
        # An acknowledgement may get lost, too.
        elif frame.kind == "agent_job_reply_ack" and self._chance.random() < 0.8:
            ident = frame.json["acknowledgedMessageId"]
            self._kept = [kept for kept in self._kept if kept.id != ident]
        if self._chance.random() < 0.1:
            self.control.cut()
            self._anew()

    def _job(self, job: dict) -> None:
        again = job["JobId"] in self._taken
        self.again += again
        if not again:
            self._taken.add(job["JobId"])
            self.ran += lines_of(job)
            done = {"aws:runShellScript": replies.step("Success", 0, f"{lines_of(job)[0]}\n")}
            for status, steps in [("InProgress", None), ("InProgress", done), ("Success", done)]:
                words = reply_of(job, status, steps)
                self._kept.append(Frame("agent_job_reply", words))
        if self._chance.random() < 0.7:
            code, name = ("51405", "DuplicateCommand") if again else ("200", "Successful")
            self.control.ack(job, code, name)
            if self._chance.random() < 0.2:
                self.control.ack(job, code, name)
        self._tell()

    def _tell(self) -> None:
        kept = [frame for frame in self._kept for _ in range(self._chance.choice([0, 1, 1, 2]))]
        if self._chance.random() < 0.3:
            self._chance.shuffle(kept)
        for frame in kept:
            try:
                self.control.send(frame)
            except (OSError, websocket.WebSocketException):
                return

    def _anew(self) -> None:
        self.cuts += 1
        self.control.cut()
        self.control = mgs.control(self._node)

    @property
    def told(self) -> bool:
        """Whether the server has acknowledged everything."""
        return not self._kept


def reply_of(job: dict, status: str, steps: dict | None) -> bytes:
    """A reply's payload."""
    return payloads.agent_job_reply(job["JobId"], replies.payload(status, steps), "aws.ssm.sendCommand")


@pytest.mark.parametrize("seed", [1, 2])
def test_commands_run_once_and_are_reported_over_a_channel_on_which_anything_goes_wrong(client, node, seed):
    clumsy = Clumsy(node, seed)
    wanted = [f"echo {number}" for number in range(15)]
    sent = [shell(client, [node.node], line) for line in wanted]
    for _ in range(400):
        clumsy.turn()
        if len(clumsy.ran) == len(wanted) and clumsy.told:
            break
    # In the order in which they were sent, though each may have come several times.
    assert clumsy.ran == wanted
    assert clumsy.told and clumsy.cuts > 3 and clumsy.again > 0
    for command, line in zip(sent, wanted, strict=True):
        result = finished(client, command, node.node)
        assert (result["Status"], result["StandardOutputContent"]) == ("Success", f"{line}\n")


def test_a_job_and_a_reply_that_were_acknowledged_outlive_the_killed_hub(hub, client, node, control):
    command = shell(client, [node.node], "true")
    job = control.job()
    control.ack(job)
    until("it runs", lambda: status(client, command, node) == "InProgress")
    hub.kill()
    hub.start()
    newer = mgs.control(node)
    done = {"aws:runShellScript": replies.step("Success", 0, "after\n")}
    newer.acknowledged(newer.reply(job, "Success", done))
    hub.kill()
    hub.start()
    result = finished(client, command, node.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "after\n")


def status(client, command: str, node) -> str:
    """Where an invocation stands."""
    return client.get_command_invocation(CommandId=command, InstanceId=node.node)["Status"]


def test_a_message_in_fragments_with_a_ping_in_between_is_read(client, node, control):
    command = shell(client, [node.node], "true")
    job = control.job()
    control.ack(job)
    done = {"aws:runShellScript": replies.step("Success", 0, "x" * 20_000)}
    frame = Frame("agent_job_reply", reply_of(job, "Success", done))
    raw, abnf = frame.bytes(), websocket.ABNF
    # As the original sends what is longer than its buffer.
    parts = [raw[at : at + 4096] for at in range(0, len(raw), 4096)]
    for number, part in enumerate(parts):
        code = abnf.OPCODE_CONT if number else abnf.OPCODE_BINARY
        control.socket.send_frame(abnf.create_frame(part, code, int(number == len(parts) - 1)))
        control.socket.ping("keepalive")
    control.acknowledged(frame)
    assert control.pongs >= 1
    assert finished(client, command, node.node)["StandardOutputContent"] == "x" * 20_000


def test_a_hundred_channels_of_one_node_in_a_row_leave_one(hub, client, node):
    for _ in range(100):
        control = mgs.control(node)
    command = shell(client, [node.node], "true")
    control.carry_out(control.job())
    assert finished(client, command, node.node)["Status"] == "Success"
    until("one is left", lambda: "stint_hub_control_channels 1\n" in hub.get("/metrics")[1])


def test_two_channels_opened_at_once_share_no_command(client, node):
    came: list[str] = []

    def serve(line: Control) -> None:
        while (frame := line.receive()) is not None:
            if frame.kind == "agent_job":
                job = {**frame.json, "frame": frame}
                came.append(lines_of(job)[0])
                line.ack(job)

    lines = [mgs.control(node), mgs.control(node)]
    threads = [threading.Thread(target=serve, args=[line], daemon=True) for line in lines]
    for thread in threads:
        thread.start()
    for number in range(10):
        shell(client, [node.node], f"echo {number}")
    until("all came", lambda: len(came) >= 10)
    # The older one is closed, and gets nothing.
    threads[0].join(30)
    assert not threads[0].is_alive()
    assert came == [f"echo {number}" for number in range(10)]
    lines[1].cut()
