"""A node that holds a control channel gets its commands there, in order, and none is lost or run twice."""

import json

import pytest
import websocket

from harness.clients import finished, shell
from harness.mgs import agent as gateway
from harness.mgs.agent import Control
from harness.mgs.codec import Frame
from harness.original import OriginalAgent
from harness.replies import step
from harness.wait import until


@pytest.fixture
def channel(hub, node) -> Control:
    """The control channel of the simulated node."""
    return gateway.control(node)


def command_of(job: dict) -> str:
    """The command's id."""
    return job["JobId"].split(".")[-2]


def status(client, command: str, node: OriginalAgent) -> str:
    """Where an invocation stands."""
    return client.get_command_invocation(CommandId=command, InstanceId=node.node)["Status"]


def test_a_command_goes_over_the_channel_and_its_replies_come_back(client, node, channel):
    command = shell(client, [node.node], "echo hello")
    job = channel.job()
    assert job["JobId"] == f"aws.ssm.{command}.{node.node}"
    assert job["Topic"].startswith("aws.ssm.sendCommand.")
    content = json.loads(job["Content"])
    assert content["CommandId"] == command and content["Parameters"]["commands"] == ["echo hello"]
    channel.carry_out(job, "hello\n")
    result = finished(client, command, node.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "hello\n")


def test_a_command_from_before_the_channel_comes_when_it_opens(client, node):
    command = shell(client, [node.node], "true")
    assert command_of(gateway.control(node).job()) == command


def test_commands_arrive_in_the_order_in_which_they_were_sent_each_after_the_last_ack(client, node, channel):
    sent = [shell(client, [node.node], f"echo {n}") for n in range(12)]
    came = []
    for _ in sent:
        job = channel.job()
        came.append(command_of(job))
        channel.ack(job)
    assert came == sent
    assert channel.silent(1)


def test_a_job_that_is_not_acknowledged_comes_again_before_the_next_one(client, node, channel):
    first = shell(client, [node.node], "echo 1")
    second = shell(client, [node.node], "echo 2")
    jobs = [channel.job(), channel.job()]
    assert [command_of(job) for job in jobs] == [first, first]
    assert jobs[0]["frame"].id != jobs[1]["frame"].id
    channel.ack(jobs[1], "51405", "DuplicateCommand")
    job = channel.job()
    assert command_of(job) == second
    assert status(client, first, node) == "InProgress"


def test_a_job_that_nobody_acknowledges_holds_up_the_others_for_seconds_only(client, node, channel):
    first = shell(client, [node.node], "echo 1")
    second = shell(client, [node.node], "echo 2")
    came = [command_of(channel.job()) for _ in range(4)]
    assert came == [first, first, first, second]


def test_a_job_that_the_agent_will_never_take_is_undeliverable(client, node, channel):
    command = shell(client, [node.node], "true")
    channel.ack(channel.job(), "51406", "InvalidDocument")
    result = finished(client, command, node.node)
    assert (result["Status"], result["StatusDetails"]) == ("Failed", "Undeliverable")


def test_a_reply_that_comes_twice_counts_once_and_is_acknowledged_twice(client, node, channel):
    command = shell(client, [node.node], "true")
    job = channel.job()
    channel.ack(job)
    first = channel.reply(job, "Success", {"aws:runShellScript": step("Success", 0, "once")})
    channel.acknowledged(first)
    channel.acknowledged(
        channel.reply(job, "Failed", {"aws:runShellScript": step("Failed", 1, "twice")}, first.id)
    )
    result = finished(client, command, node.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "once")


def test_a_cancelled_command_is_taken_back_over_the_channel(client, node, channel):
    command = shell(client, [node.node], "sleep 100")
    job = channel.job()
    channel.ack(job)
    until("it runs", lambda: status(client, command, node) == "InProgress")
    client.cancel_command(CommandId=command)
    cancel = channel.job()
    assert cancel["Topic"].startswith("aws.ssm.cancelCommand.")
    assert cancel["JobId"] != job["JobId"]
    assert json.loads(cancel["Content"]) == {"CancelMessageId": job["JobId"]}
    channel.ack(cancel)
    channel.acknowledged(channel.reply(cancel, "InProgress"))
    channel.acknowledged(channel.reply(job, "Cancelled", {"aws:runShellScript": step("Cancelled", 137)}))
    assert finished(client, command, node.node)["Status"] == "Cancelled"
    assert channel.silent(3)


def test_the_newest_channel_is_the_one_that_counts(client, node, channel):
    newer = gateway.control(node)
    assert channel.closed()
    command = shell(client, [node.node], "true")
    assert command_of(newer.job()) == command


def test_a_broken_channel_loses_nothing(client, node, channel):
    command = shell(client, [node.node], "true")
    job = channel.job()
    channel.ack(job)
    until("it runs", lambda: status(client, command, node) == "InProgress")
    lost = shell(client, [node.node], "echo 2")
    assert command_of(channel.job()) == lost
    channel.cut()
    newer = gateway.control(node)
    assert command_of(newer.job()) == lost
    newer.acknowledged(newer.reply(job, "Success"))
    assert finished(client, command, node.node)["Status"] == "Success"


def test_a_poll_gets_what_the_channel_was_handed_in_vain_and_all_when_it_is_gone(client, node, channel):
    command = shell(client, [node.node], "true")
    assert command_of(channel.job()) == command
    channel.cut()
    message = node.poll_for_one()
    assert message["MessageId"] == f"aws.ssm.{command}.{node.node}"
    # Until then nothing goes ahead of it.
    node.acknowledge(message)
    other = shell(client, [node.node], "echo 2")
    assert node.poll_for_one()["MessageId"] == f"aws.ssm.{other}.{node.node}"


def test_a_command_taken_by_a_poll_is_answered_over_the_channel(client, node):
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    node.acknowledge(message)
    channel = gateway.control(node)
    job = {"JobId": message["MessageId"], "Topic": message["Topic"]}
    channel.acknowledged(channel.reply(job, "Success"))
    assert finished(client, command, node.node)["Status"] == "Success"


def test_a_hub_that_is_killed_loses_no_command_and_no_acknowledged_reply(hub, client, node, channel):
    done, running, waiting = (shell(client, [node.node], f"echo {n}") for n in range(3))
    channel.carry_out(channel.job(), "kept\n")
    job = channel.job()
    assert command_of(job) == running
    hub.kill()
    assert channel.closed()
    hub.start()
    newer = gateway.control(node)
    result = client.get_command_invocation(CommandId=done, InstanceId=node.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "kept\n")
    for expected in [running, waiting]:
        job = newer.job()
        assert command_of(job) == expected
        newer.carry_out(job)
        assert finished(client, expected, node.node)["Status"] == "Success"


def test_a_stopping_hub_closes_its_channels(hub, node, channel):
    assert hub.stop() == 0
    assert channel.closed()


def test_a_node_with_a_channel_is_online(hub, client, node):
    def ping_status() -> str:
        (found,) = client.describe_instance_information()["InstanceInformationList"]
        return found["PingStatus"]

    hub.last_ping_was(node.node, 3600)
    assert ping_status() == "ConnectionLost"
    channel = gateway.control(node)
    assert ping_status() == "Online"
    assert "stint_hub_control_channels 1\n" in hub.get("/metrics")[1]
    channel.cut()
    until("it is gone", lambda: ping_status() == "ConnectionLost")


def test_a_deregistered_node_loses_its_channel(client, node, channel):
    client.deregister_managed_instance(InstanceId=node.node)
    assert channel.closed()


def test_a_node_deregistered_by_another_process_loses_its_channel_at_its_next_ping(hub, node, channel):
    hub.pretend("DELETE FROM node WHERE id = ?", node.node)
    channel.socket.ping("keepalive")
    assert channel.closed()


def test_a_channel_is_its_node_s_own(hub, activate, node):
    other = OriginalAgent(hub.endpoint, hub.region).come_online(activate())
    path = f"control-channel/{other.node}"
    code, body = gateway.create(node, path)
    assert code == 400 and "<AccessDeniedException>" in body
    code, body = gateway.create(node, f"control-channel/{node.node}", service="ssm")
    assert code == 400 and "<InvalidSignatureException>" in body
    with pytest.raises(websocket.WebSocketBadStatusException):
        gateway.dial(node, path, None)
    with pytest.raises(websocket.WebSocketBadStatusException):
        url = hub.endpoint.replace("http", "ws")
        websocket.create_connection(f"{url}/v1/{path}", timeout=gateway.PATIENCE)


@pytest.mark.parametrize("words", [{}, {"TokenValue": ""}, {"TokenValue": "other"}, "text", b"\0" * 120])
def test_without_its_token_no_channel_opens(hub, activate, node, words):
    other = OriginalAgent(hub.endpoint, hub.region).come_online(activate())
    own = f"control-channel/{node.node}"
    if words == {"TokenValue": "other"}:
        words = {"TokenValue": gateway.token(other, f"control-channel/{other.node}")}
    channel = gateway.dial(node, own, words if isinstance(words, dict) else None)
    if not isinstance(words, dict):
        channel.socket.send(words, websocket.ABNF.OPCODE_TEXT if words == "text" else 2)
    assert channel.closed()
    assert "stint_hub_control_channels 0\n" in hub.get("/metrics")[1]


def test_a_message_that_is_none_is_passed_over(client, node, channel):
    channel.socket.send_binary(b"\x74\x74\x74\x74 no message")
    channel.socket.send_binary(b"")
    channel.say("agent_telemetry", {"what": "ever"})
    channel.say("agent_job_ack", {"jobId": "nothing"})
    channel.send(Frame("agent_job_reply", b"{"))
    channel.expect("agent_job_reply_ack")
    command = shell(client, [node.node], "true")
    assert command_of(channel.job()) == command


def test_a_node_speaks_only_of_its_own_commands(hub, client, activate, node, channel):
    other = OriginalAgent(hub.endpoint, hub.region).come_online(activate())
    command = shell(client, [other.node], "true")
    job = {"JobId": f"aws.ssm.{command}.{other.node}", "Topic": "aws.ssm.sendCommand.x"}
    channel.acknowledged(channel.reply(job, "Success"))
    channel.ack({**job, "frame": Frame("agent_job")})
    channel.ping()
    assert status(client, command, other) == "Pending"
    assert other.poll_for_one()["MessageId"] == job["JobId"]
