"""The main job, end to end, with nothing but the real AWS CLI and the two programs."""

import json
import random

from harness import processes
from harness.wait import until


def parameters(*commands: str, **more: str) -> str:
    """The JSON of --parameters."""
    return json.dumps({"commands": list(commands), **{name: [value] for name, value in more.items()}})


def send(aws, *words: object) -> str:
    """`aws ssm send-command` with AWS-RunShellScript; the command id."""
    answer = aws("send-command", "--document-name", "AWS-RunShellScript", *words)
    return answer["Command"]["CommandId"]


def invocation(aws, command: str, node: str) -> dict:
    """`aws ssm get-command-invocation`."""
    return aws("get-command-invocation", "--command-id", command, "--instance-id", node)


def ended(aws, command: str, node: str) -> dict:
    """The invocation once it has ended, whatever the end."""

    def probe() -> dict | None:
        answer = invocation(aws, command, node)
        return None if answer["Status"] in ("Pending", "InProgress", "Cancelling") else answer

    return until(f"command {command} has ended", probe)


def test_a_device_is_activated_comes_online_and_runs_a_command(aws, hub, new_agent):
    activation = aws(
        "create-activation", "--default-instance-name", "edge", "--iam-role", "EdgeRole",
        "--registration-limit", "1", "--tags", "Key=site,Value=lab",
    )  # fmt: skip
    agent = new_agent()
    node = agent.register(hub, activation)
    assert node.startswith("mi-") and len(node) == 20

    agent.start()

    def listed() -> dict | None:
        found = aws("describe-instance-information", "--filters", "Key=PingStatus,Values=Online")
        return next(iter(found["InstanceInformationList"]), None)

    info = until("the node is Online", listed)
    assert info["InstanceId"] == node
    assert info["Name"] == "edge"
    assert info["ActivationId"] == activation["ActivationId"]
    assert info["IamRole"] == "EdgeRole"
    assert info["PlatformType"] == "Linux"
    assert info["ResourceType"] == "ManagedInstance"
    assert info["ComputerName"] and info["PlatformName"] and info["AgentVersion"]

    command = send(aws, "--instance-ids", node, "--parameters", parameters("echo hello", "id -un"))
    aws("wait command-executed", "--command-id", command, "--instance-id", node)
    result = invocation(aws, command, node)
    assert result["Status"] == result["StatusDetails"] == "Success"
    assert result["ResponseCode"] == 0
    assert result["StandardOutputContent"].splitlines()[0] == "hello"
    assert result["StandardErrorContent"] == ""
    assert result["PluginName"] == "aws:runShellScript"
    assert result["ExecutionStartDateTime"].endswith("Z")
    assert result["ExecutionElapsedTime"].startswith("PT")


def test_a_command_sent_by_tag_reaches_the_tagged_nodes_and_no_other(aws, online):
    gateway, other = online("gateway"), online("other")
    aws(
        "add-tags-to-resource", "--resource-type", "ManagedInstance", "--resource-id", gateway.node,
        "--tags", "Key=role,Value=gateway",
    )  # fmt: skip
    targets = ["--targets", "Key=tag:role,Values=gateway,router"]
    command = send(aws, *targets, "--parameters", parameters("echo by tag"))
    assert ended(aws, command, gateway.node)["StandardOutputContent"] == "by tag\n"

    rows = aws("list-command-invocations", "--command-id", command)["CommandInvocations"]
    assert [row["InstanceId"] for row in rows] == [gateway.node]
    assert other.status()[1]["jobs"]["completed"] == 0


def test_a_script_that_exits_7_is_reported_failed_with_code_7(aws, agent):
    command = send(aws, "--instance-ids", agent.node, "--parameters", parameters("echo no >&2", "exit 7"))
    result = ended(aws, command, agent.node)
    assert (result["Status"], result["StatusDetails"], result["ResponseCode"]) == ("Failed", "Failed", 7)
    assert result["StandardErrorContent"].splitlines()[0] == "no"
    error = aws.fails("wait command-executed", "--command-id", command, "--instance-id", agent.node)
    assert "Failed" in str(error)


def test_a_script_beyond_its_execution_timeout_is_stopped_and_reported_timed_out(aws, agent):
    marker = f"600.{random.randrange(10**9)}"
    script = parameters("echo started", f"sleep {marker}", executionTimeout="5")
    command = send(aws, "--instance-ids", agent.node, "--parameters", script)
    result = ended(aws, command, agent.node)
    assert (result["Status"], result["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert result["StandardOutputContent"].splitlines()[0] == "started"
    until("the script is gone", lambda: not processes.mentioning(marker))


def test_a_cancelled_command_leaves_no_process_behind(aws, agent):
    marker = f"600.{random.randrange(10**9)}"
    # A grandchild in the background, too: the whole process group has to go.
    script = parameters("echo started", f"sh -c 'sleep {marker}1 & sleep {marker}2'")
    command = send(aws, "--instance-ids", agent.node, "--parameters", script)

    def sleeps() -> int:
        return sum(process.argv[0] == "sleep" for process in processes.mentioning(marker))

    until("both sleeps run", lambda: sleeps() == 2)

    assert aws("cancel-command", "--command-id", command) == {}
    result = ended(aws, command, agent.node)
    assert (result["Status"], result["StatusDetails"]) == ("Cancelled", "Cancelled")
    assert result["StandardOutputContent"].splitlines()[0] == "started"
    until("no process is left", lambda: not processes.mentioning(marker))
    listed = aws("list-commands", "--command-id", command)["Commands"][0]
    assert listed["Status"] == "Cancelled"


def test_an_unknown_instance_is_refused_as_invalid_instance_id(aws):
    node = "mi-00000000000000000"
    where = ["--instance-ids", node, "--parameters", parameters("uptime")]
    error = aws.fails("send-command", "--document-name", "AWS-RunShellScript", *where)
    assert error.code == "InvalidInstanceId"
    assert node in str(error)


def test_bad_document_parameters_are_refused_as_invalid_parameters(aws, agent):
    for bad in ['{"bogus":["1"]}', "{}", parameters("true", executionTimeout="soon")]:
        where = ["--instance-ids", agent.node, "--parameters", bad]
        error = aws.fails("send-command", "--document-name", "AWS-RunShellScript", *where)
        assert error.code == "InvalidParameters", bad


def test_long_output_keeps_its_head_and_its_tail_within_the_limits(aws, agent):
    script = parameters("echo the very first", "seq 1 20000", "echo the very last")
    command = send(aws, "--instance-ids", agent.node, "--parameters", script)
    output = ended(aws, command, agent.node)["StandardOutputContent"]
    assert len(output.encode()) <= 24_000
    assert output.startswith("the very first\n1\n2\n")
    assert output.endswith("19999\n20000\nthe very last\n")
    assert "truncated" in output

    rows = aws("list-command-invocations", "--command-id", command, "--details")["CommandInvocations"]
    short = rows[0]["CommandPlugins"][0]["Output"]
    assert len(short.encode()) <= 2_500
    assert short.startswith("the very first\n")
    assert "the very last" in short


def test_standard_error_of_many_lines_arrives_as_it_was_written(aws, agent):
    script = parameters("printf 'out 1\\nout 2\\n'", "printf 'err 1\\n\\n  err 3 \\303\\244\\n' >&2")
    command = send(aws, "--instance-ids", agent.node, "--parameters", script)
    result = ended(aws, command, agent.node)
    assert result["StandardOutputContent"] == "out 1\nout 2\n"
    assert result["StandardErrorContent"] == "err 1\n\n  err 3 ä\n"


def test_a_script_runs_in_its_working_directory_with_the_originals_variables(aws, agent, home):
    script = parameters("pwd", 'echo "$AWS_SSM_INSTANCE_ID $SSM_COMMAND_ID"', workingDirectory=str(home))
    command = send(aws, "--instance-ids", agent.node, "--parameters", script)
    result = ended(aws, command, agent.node)
    assert result["StandardOutputContent"] == f"{home}\n{agent.node} {command}\n"
