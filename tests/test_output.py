"""Output beyond the report: each step's files in S3 and in CloudWatch Logs, through a real hub.

S3 and CloudWatch Logs are moto's server (`harness/s3.py`), which checks the signature of each request.
"""

import json

from harness.clients import finished, shell
from harness.wait import until

MEBIBYTE = 1024 * 1024
# What stint keeps of a stream on disk.
KEPT_ON_DISK = 256 * 1024


def an_agent(hub, activate, new_agent, **members: object):
    """An agent that runs with this configuration."""
    agent = new_agent()
    agent.configure(**members)
    agent.register(hub, activate())
    return agent.start()


def to_cloud(cloud, *services: str) -> dict:
    """The configuration that sends output there."""
    endpoints = {service: cloud.endpoint for service in services}
    return {"endpoints": endpoints, "s3CredentialsFile": str(cloud.credentials_file())}


def test_each_stream_of_a_step_is_an_object_under_the_prefix(hub, client, activate, new_agent, cloud):
    bucket = cloud.make_bucket("output")
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "s3"))
    command = shell(
        client, [agent.node], "echo all is well", "echo but this >&2", "exit 3",
        OutputS3BucketName=bucket, OutputS3KeyPrefix="fleet/night",
    )  # fmt: skip
    result = finished(client, command, agent.node)
    assert (result["Status"], result["ResponseCode"]) == ("Failed", 3)
    assert "not uploaded" not in result["StandardErrorContent"]
    place = f"fleet/night/{command}/{agent.node}/awsrunShellScript/0.awsrunShellScript"
    assert cloud.objects(bucket) == {
        f"{place}/stdout": b"all is well\n",
        f"{place}/stderr": b"but this\nfailed to run commands: exit status 3",
    }
    urls = [result["StandardOutputUrl"], result["StandardErrorUrl"]]
    aws = f"https://s3.{hub.region}.amazonaws.com/{bucket}/{place}"
    assert urls == [f"{aws}/stdout", f"{aws}/stderr"]
    stored = cloud.s3.get_object(Bucket=bucket, Key=f"{place}/stdout")
    assert stored["ContentType"] == "text/plain"


def test_a_long_stream_is_uploaded_far_beyond_what_a_report_holds(hub, client, activate, new_agent, cloud):
    bucket = cloud.make_bucket("output")
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "s3"))
    command = shell(
        client, [agent.node], f"head -c {MEBIBYTE} /dev/zero | tr '\\0' x", OutputS3BucketName=bucket
    )
    result = finished(client, command, agent.node)
    assert result["Status"] == "Success"
    assert len(result["StandardOutputContent"]) <= 24_000
    # Nothing was said on the other stream, so there is no object for it.
    ((key, stored),) = cloud.objects(bucket).items()
    assert key.endswith("/stdout")
    assert stored == b"x" * KEPT_ON_DISK


def test_an_upload_that_fails_is_a_note_and_not_the_steps_failure(hub, client, activate, new_agent, cloud):
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "s3"))
    command = shell(client, [agent.node], "echo hello", OutputS3BucketName="there-is-none")
    result = finished(client, command, agent.node)
    assert (result["Status"], result["ResponseCode"]) == ("Success", 0)
    assert result["StandardOutputContent"] == "hello\n"
    note = result["StandardErrorContent"]
    assert note.startswith("stint: the output was not uploaded: ") and "NoSuchBucket" in note


def test_a_server_that_comes_back_in_time_gets_the_output(hub, client, activate, new_agent, cloud):
    bucket = cloud.make_bucket("output")
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "s3"))
    gate = agent.home / "gate"
    # The server is stopped, as by a power cut of its machine, and goes on a second later.
    command = shell(
        client, [agent.node], f"touch {gate}; while [ -e {gate} ]; do sleep 0.05; done; echo hello",
        OutputS3BucketName=bucket,
    )  # fmt: skip
    until("the script waits", gate.exists)
    cloud.pause()
    gate.unlink()
    until("the step is over", lambda: "not uploaded" in _outcome(agent))
    cloud.resume()
    result = finished(client, command, agent.node)
    assert (result["Status"], result["StandardErrorContent"]) == ("Success", "")
    assert list(cloud.objects(bucket).values()) == [b"hello\n"]


def test_an_interrupted_upload_is_told_and_the_step_is_not_run_again(hub, client, activate, new_agent, cloud):
    bucket = cloud.make_bucket("output")
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "s3"))
    runs = agent.home / "runs"
    cloud.pause()
    command = shell(client, [agent.node], f"echo run >> {runs}", "echo hello", OutputS3BucketName=bucket)
    until("the upload has begun", lambda: "not uploaded" in _outcome(agent))
    until("its worker is killed", agent.kill_a_worker)
    result = finished(client, command, agent.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "hello\n")
    assert (
        result["StandardErrorContent"] == "stint: the output was not uploaded: the device was interrupted\n"
    )
    assert runs.read_text() == "run\n"
    cloud.resume()


def test_the_output_of_a_cancelled_step_is_uploaded_too(hub, client, activate, new_agent, cloud):
    bucket = cloud.make_bucket("output")
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "s3"))
    marker = agent.home / "runs"
    command = shell(client, [agent.node], f"echo so far; touch {marker}; sleep 60", OutputS3BucketName=bucket)
    until("the script runs", marker.exists)
    client.cancel_command(CommandId=command)
    result = finished(client, command, agent.node)
    assert (result["Status"], result["StandardErrorContent"]) == ("Cancelled", "")
    assert list(cloud.objects(bucket).values()) == [b"so far\n"]


def test_the_steps_of_an_inner_document_are_one_object_in_their_order(
    hub, client, activate, new_agent, cloud
):
    bucket = cloud.make_bucket("output")
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "s3"))
    for name, steps in (
        ("Inner", [_step("z", "echo one"), _step("a", "echo two; exit 7"), _step("m", "echo three")]),
        ("Outer", [{"action": "aws:runDocument", "name": "inner", "inputs": {
            "documentType": "SSMDocument", "documentPath": "Inner"}}]),
    ):  # fmt: skip
        content = json.dumps({"schemaVersion": "2.2", "mainSteps": steps})
        client.create_document(Name=name, Content=content, DocumentType="Command")
    answer = client.send_command(DocumentName="Outer", InstanceIds=[agent.node], OutputS3BucketName=bucket)
    command = answer["Command"]["CommandId"]
    assert finished(client, command, agent.node)["Status"] == "Failed"
    place = f"{command}/{agent.node}/awsrunDocument/inner"
    assert {key: text.split() for key, text in cloud.objects(bucket).items()} == {
        f"{place}/stdout": [b"one", b"two", b"three"],
        f"{place}/stderr": b"failed to run commands: exit status 7".split(),
    }


def _step(name: str, *commands: str) -> dict:
    return {"action": "aws:runShellScript", "name": name, "inputs": {"runCommand": list(commands)}}


def _outcome(agent) -> str:
    found = list((agent.state / "spool" / "current").glob("*/outcome.json"))
    return found[0].read_text() if found else ""


def test_the_output_goes_to_log_streams_when_the_command_asks_for_it(hub, client, activate, new_agent, cloud):
    agent = an_agent(hub, activate, new_agent, **to_cloud(cloud, "logs"))
    for group in ({}, {"CloudWatchLogGroupName": "fleet"}):
        command = shell(
            client, [agent.node], "echo first; echo second; echo third >&2",
            CloudWatchOutputConfig={"CloudWatchOutputEnabled": True, **group},
        )  # fmt: skip
        result = finished(client, command, agent.node)
        assert (result["Status"], result["StandardErrorContent"]) == ("Success", "third\n")
        place = {"logGroupName": group.get("CloudWatchLogGroupName", "/aws/ssm/AWS-RunShellScript")}
        stream = f"{command}/{agent.node}/0.aws-runShellScript"
        for name, said in (("stdout", "first\nsecond\n"), ("stderr", "third\n")):
            events = cloud.logs.get_log_events(**place, logStreamName=f"{stream}/{name}")["events"]
            assert [event["message"] for event in events] == [said]


def test_logs_without_a_server_for_them_are_a_clear_note(hub, client, activate, new_agent):
    agent = an_agent(hub, activate, new_agent)
    command = shell(
        client, [agent.node], "echo hello", CloudWatchOutputConfig={"CloudWatchOutputEnabled": True}
    )
    result = finished(client, command, agent.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "hello\n")
    assert result["StandardErrorContent"] == (
        "stint: the output was not sent to CloudWatch Logs: it is not configured on this device; "
        "endpoints.logs names its server\n"
    )
