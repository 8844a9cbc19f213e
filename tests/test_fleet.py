"""What the hub tells about its nodes, and how a node leaves."""

from harness import fleet
from harness.clients import error_code, shell
from harness.original import OriginalAgent
from harness.wait import until

ALL = "describe_instance_information"


def listed(client, **filters: str) -> set[str]:
    """The ids of the nodes that match filters; `tag:x` may be written `tag_x`."""
    wanted = [{"Key": key.replace("_", ":"), "Values": [value]} for key, value in filters.items()]
    pages = client.get_paginator(ALL).paginate(Filters=wanted)
    return {node["InstanceId"] for page in pages for node in page["InstanceInformationList"]}


def information(client, node: str) -> dict:
    """What is said of one node."""
    filters = [{"Key": "InstanceIds", "Values": [node]}]
    (found,) = client.describe_instance_information(Filters=filters)["InstanceInformationList"]
    return found


def test_nodes_are_listed_in_pages_without_a_gap_or_a_repeat(hub, client):
    nodes = fleet.register(hub, client, 23, online=False)
    pages = client.get_paginator(ALL).paginate(PaginationConfig={"PageSize": 5})
    seen = [node["InstanceId"] for page in pages for node in page["InstanceInformationList"]]
    assert len(seen) == 23
    assert set(seen) == {node.node for node in nodes}


def test_nodes_are_found_by_each_kind_of_filter(hub, client):
    first = fleet.register(hub, client, 2)
    (second,) = fleet.register(hub, client, 1, online=False)
    a, b, c = first[0].node, first[1].node, second.node
    tags = [{"Key": "site", "Value": "lab"}]
    client.add_tags_to_resource(ResourceType="ManagedInstance", ResourceId=a, Tags=tags)

    assert listed(client) == {a, b, c}
    assert listed(client, InstanceIds=b) == {b}
    assert listed(client, PingStatus="Online") == {a, b}
    assert listed(client, PlatformTypes="Linux") == {a, b}
    assert listed(client, AgentVersion="3.3.0.0") == {a, b}
    assert listed(client, ActivationIds=information(client, c)["ActivationId"]) == {c}
    assert listed(client, IamRole="EdgeRole") == {a, b, c}
    assert listed(client, ResourceType="ManagedInstance") == {a, b, c}
    assert listed(client, tag_site="lab") == {a}
    assert listed(client, tag_site="elsewhere") == set()
    assert listed(client, PingStatus="Online", tag_site="lab") == {a}

    old_form = [{"key": "InstanceIds", "valueSet": [a, c]}]
    found = client.describe_instance_information(InstanceInformationFilterList=old_form)
    assert {n["InstanceId"] for n in found["InstanceInformationList"]} == {a, c}


def test_a_node_that_stops_pinging_is_connection_lost_and_comes_back_with_its_next_ping(hub, client):
    (node,) = fleet.register(hub, client, 1)
    assert information(client, node.node)["PingStatus"] == "Online"
    hub.last_ping_was(node.node, seconds_ago=3600)
    assert information(client, node.node)["PingStatus"] == "ConnectionLost"
    assert node.ping().status == 200
    assert information(client, node.node)["PingStatus"] == "Online"


def test_an_empty_ping_keeps_what_an_earlier_report_said(hub, client):
    (node,) = fleet.register(hub, client, 1)
    assert node.ping().status == 200
    info = information(client, node.node)
    assert (info["ComputerName"], info["PlatformName"], info["IPAddress"]) == (
        "edge-1",
        "Debian GNU/Linux",
        "192.0.2.7",
    )


def test_tags_are_added_replaced_listed_and_removed(hub, client):
    (node,) = fleet.register(hub, client, 1, online=False)
    resource = {"ResourceType": "ManagedInstance", "ResourceId": node.node}

    def tags() -> dict[str, str]:
        return {t["Key"]: t["Value"] for t in client.list_tags_for_resource(**resource)["TagList"]}

    client.add_tags_to_resource(**resource, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    client.add_tags_to_resource(**resource, Tags=[{"Key": "a", "Value": "2"}])
    assert tags() == {"a": "2", "b": ""}
    client.remove_tags_from_resource(**resource, TagKeys=["b", "never there"])
    assert tags() == {"a": "2"}


def test_bad_fleet_requests_are_refused_with_the_models_errors(hub, client):
    describe = client.describe_instance_information
    assert error_code(describe, Filters=[{"Key": "Bogus", "Values": ["x"]}]) == "InvalidFilterKey"
    assert error_code(describe, NextToken="garbage") == "InvalidNextToken"
    assert error_code(describe, MaxResults=51) == "ValidationException"
    unknown = "mi-00000000000000000"
    assert error_code(client.deregister_managed_instance, InstanceId=unknown) == "InvalidInstanceId"
    tags = [{"Key": "a", "Value": "1"}]
    add = client.add_tags_to_resource
    assert (
        error_code(add, ResourceType="ManagedInstance", ResourceId=unknown, Tags=tags) == "InvalidResourceId"
    )
    (node,) = fleet.register(hub, client, 1, online=False)
    many = [{"Key": f"key-{i}", "Value": ""} for i in range(51)]
    assert (
        error_code(add, ResourceType="ManagedInstance", ResourceId=node.node, Tags=many) == "TooManyTagsError"
    )


def test_a_deregistered_node_is_forgotten_and_its_credentials_are_refused(hub, client):
    (node,) = fleet.register(hub, client, 1)
    client.deregister_managed_instance(InstanceId=node.node)
    assert listed(client) == set()
    assert node.ping().code in ("UnrecognizedClientException", "AccessDeniedException")
    assert node.request_token().code == "AccessDeniedException"
    assert error_code(lambda: shell(client, [node.node], "true")) == "InvalidInstanceId"


def test_a_node_may_act_only_as_itself(hub, client):
    one, other = fleet.register(hub, client, 2)
    assert one.by_token("UpdateInstanceInformation", {"InstanceId": other.node}).status == 400
    stolen = OriginalAgent(hub.endpoint, hub.region, key=one.key, node=other.node)
    assert stolen.request_token().code in ("InvalidSignatureException", "AccessDeniedException")


def test_operators_and_nodes_have_different_doors(hub, client):
    (node,) = fleet.register(hub, client, 1)
    assert node.by_token("DescribeInstanceInformation", {}).code == "AccessDeniedException"
    access_key, secret = hub.credentials()
    operator = OriginalAgent(hub.endpoint, hub.region, key=node.key, node=node.node)
    operator.credentials = {"AccessKeyId": access_key, "SecretAccessKey": secret}
    answer = operator.by_token("UpdateInstanceInformation", {"InstanceId": node.node})
    assert answer.status == 400


def test_an_agent_whose_node_was_deregistered_says_so_and_is_not_healthy(client, agent):
    client.deregister_managed_instance(InstanceId=agent.node)
    until("the agent says so", lambda: "is not registered" in agent.logs())
    until("its status is not healthy", lambda: agent.status()[0] == 1)
