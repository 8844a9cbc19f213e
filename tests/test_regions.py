"""One fleet, whatever region a client names."""

from harness import fleet
from harness.clients import Aws, boto3_client, shell

ONE, OTHER = "eu-central-1", "us-gov-west-1"


def test_every_region_shows_the_same_fleet(hub, client, home):
    (node,) = fleet.register(hub, client, 1)
    elsewhere = boto3_client(hub, OTHER)
    found = elsewhere.describe_instance_information()["InstanceInformationList"]
    assert [info["InstanceId"] for info in found] == [node.node]
    by_cli = Aws(hub, home, OTHER)("describe-instance-information")["InstanceInformationList"]
    assert [info["InstanceId"] for info in by_cli] == [node.node]


def test_a_command_sent_in_one_region_reaches_a_node_registered_in_another(hub, client):
    (node,) = fleet.register(hub, client, 1)
    fleet.Crew([node], lambda *_: ("Success", 0))
    command_id = shell(boto3_client(hub, OTHER), [node.node], "true")
    found = client.list_commands(CommandId=command_id)["Commands"]
    assert [c["CommandId"] for c in found] == [command_id]


def test_the_region_of_the_signature_is_the_region_of_the_answer(hub, client):
    (node,) = fleet.register(hub, client, 1, online=False)
    for region in (ONE, OTHER):
        sent = boto3_client(hub, region).send_command(
            DocumentName="AWS-RunShellScript", InstanceIds=[node.node], Parameters={"commands": ["true"]}
        )
        assert sent["Command"]["OutputS3Region"] == region


def test_a_document_may_be_named_by_its_arn(hub, client):
    (node,) = fleet.register(hub, client, 1, online=False)
    sent = client.send_command(
        DocumentName=f"arn:aws:ssm:{ONE}::document/AWS-RunShellScript",
        InstanceIds=[node.node],
        Parameters={"commands": ["true"]},
    )
    assert sent["Command"]["DocumentName"].endswith("AWS-RunShellScript")
