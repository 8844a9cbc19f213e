"""Hybrid activations: who may register, how often, until when, and what a new node inherits."""

from datetime import UTC, datetime, timedelta

from harness.clients import error_code
from harness.wait import until


def refusal(agent, hub, activation) -> str:
    """What `stint register` says when it is refused."""
    done = agent.try_to_register(hub, activation)
    assert done.returncode == 1, done
    assert not done.stdout.strip()
    return done.stderr


def test_an_activation_registers_as_many_nodes_as_its_limit_and_no_more(hub, client, activate, new_agent):
    activation = activate(limit=2)
    nodes = {new_agent(f"agent-{i}").register(hub, activation) for i in range(2)}
    assert len(nodes) == 2
    assert "InvalidActivation" in refusal(new_agent("one-too-many"), hub, activation)

    listed = client.describe_activations()["ActivationList"]
    assert [(a["RegistrationLimit"], a["RegistrationsCount"]) for a in listed] == [(2, 2)]


def test_an_expired_activation_registers_nobody(hub, client, activate, new_agent):
    activation = activate(ExpirationDate=datetime.now(UTC) + timedelta(seconds=2))
    until("the activation has expired", lambda: client.describe_activations()["ActivationList"][0]["Expired"])
    assert "InvalidActivation" in refusal(new_agent(), hub, activation)


def test_a_deleted_activation_registers_nobody_and_is_no_longer_listed(hub, client, activate, new_agent):
    activation = activate()
    client.delete_activation(ActivationId=activation["ActivationId"])
    assert client.describe_activations()["ActivationList"] == []
    assert "InvalidActivation" in refusal(new_agent(), hub, activation)


def test_a_wrong_code_is_refused_and_does_not_use_the_activation_up(hub, activate, new_agent):
    activation = activate()
    wrong = {**activation, "ActivationCode": "x" * 20}
    assert "InvalidActivation" in refusal(new_agent(), hub, wrong)
    assert new_agent().register(hub, activation).startswith("mi-")


def test_an_activation_code_is_shown_once_and_never_logged(hub, client, activate, new_agent):
    activation = activate()
    new_agent().register(hub, activation)
    assert "ActivationCode" not in client.describe_activations()["ActivationList"][0]
    assert activation["ActivationCode"] not in hub.program.logs()


def test_a_node_keeps_name_role_and_tags_of_its_activation(hub, client, activate, new_agent):
    tags = [{"Key": "site", "Value": "lab"}, {"Key": "ring", "Value": "early"}]
    activation = activate(DefaultInstanceName="edge", Description="two racks", Tags=tags)
    node = new_agent().register(hub, activation)
    # The activation may go; what the node got from it stays.
    client.delete_activation(ActivationId=activation["ActivationId"])

    info = client.describe_instance_information()["InstanceInformationList"][0]
    assert (info["InstanceId"], info["Name"], info["IamRole"]) == (node, "edge", "EdgeRole")
    listed = client.list_tags_for_resource(ResourceType="ManagedInstance", ResourceId=node)["TagList"]
    assert sorted(listed, key=lambda t: t["Key"]) == sorted(tags, key=lambda t: t["Key"])


def test_activations_are_described_with_all_they_were_made_with(client, activate):
    tags = [{"Key": "site", "Value": "lab"}]
    until_then = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    activation = activate(
        limit=5, DefaultInstanceName="edge", Description="two racks", ExpirationDate=until_then, Tags=tags
    )
    (listed,) = client.describe_activations()["ActivationList"]
    assert listed["ActivationId"] == activation["ActivationId"]
    assert listed["Description"] == "two racks"
    assert listed["DefaultInstanceName"] == "edge"
    assert listed["RegistrationLimit"] == 5
    assert listed["RegistrationsCount"] == 0
    assert listed["ExpirationDate"] == until_then
    assert listed["Expired"] is False
    assert listed["Tags"] == tags


def test_activations_are_filtered_and_paged(client, activate):
    ids = [activate(DefaultInstanceName=f"edge-{i % 2}")["ActivationId"] for i in range(7)]
    pages = client.get_paginator("describe_activations").paginate(PaginationConfig={"PageSize": 3})
    sizes = [len(page["ActivationList"]) for page in pages]
    assert sizes == [3, 3, 1]

    def found(key: str, *values: str) -> set[str]:
        filters = [{"FilterKey": key, "FilterValues": list(values)}]
        return {a["ActivationId"] for a in client.describe_activations(Filters=filters)["ActivationList"]}

    assert found("ActivationIds", ids[0], ids[3]) == {ids[0], ids[3]}
    assert found("DefaultInstanceName", "edge-1") == set(ids[1::2])
    assert found("IamRole", "EdgeRole") == set(ids)
    assert found("IamRole", "Another") == set()


def test_bad_activation_requests_are_refused_with_the_models_errors(client):
    unknown = "00000000-0000-0000-0000-000000000000"
    assert error_code(client.delete_activation, ActivationId=unknown) == "InvalidActivation"
    assert error_code(client.create_activation, IamRole="R", RegistrationLimit=1001) == "ValidationException"
    far = datetime.now(UTC) + timedelta(days=31)
    assert error_code(client.create_activation, IamRole="R", ExpirationDate=far) in (
        "ValidationException",
        "InvalidParameters",
    )
    assert error_code(client.describe_activations, NextToken="garbage") == "InvalidNextToken"
