"""The hub's side of the BootAgent protocol: who is taken in, who is believed, and what operators see."""

import json
import re
import time

import pytest

from harness.bootclient import BootNode, exchange
from harness.clients import error_code, finished, wait_until_online
from harness.hub import Hub
from harness.programs import HUB, run

# The founding page's samples, as they are printed there.
REGISTER = """{
	"hostname": "127.0.0.1",
	"agentsn": "bfdcc18c-b6b9-4725-9c47-37fd93dba5b6"
}"""
STATUS = """{
	"hostname": "127.0.0.1",                 # 主机名
	"version": "bootagent-1.2.4-x86_64",     # BootAgent的版本号
	"uptime": 1234,                          # 进程已经启动时间，单位秒
	"timestamp": 1232,                       # 上报时的时间戳
	"step": 600,                             # 上报的时间间隔，可以做修改，默认10min
	"agents": [{                             # 当前主机Agent信息
		"name": "BasicAgent",            # Agent名称，需要保证唯一
		"version": "1.2.3",              # Agent当前版本号
		"status": "stoped",              # Agent的状态
		"uptime": 123,                   # 已经运行时间
	}]
}"""
RESULT = """[
	{
		"id": "ddc8a9b9-55bd-4ddd-b53d-47095ee19466",
		"errcode": 0,
		"message": "success"
	}
]"""
CHECKSUM = "SHA256:4a34b8d7d3009bb9ef9475fbf33e7bbe4a1e8db003aefc578a241c2f51c2c2f2"


@pytest.fixture
def boot(hub, activate):
    """Makes nodes that sign and are registered."""

    def make(tags: dict[str, str] | None = None, **more) -> BootNode:
        tags = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        return BootNode(hub, **more).register(activate(Tags=tags))

    return make


@pytest.fixture
def open_hub(new_hub) -> Hub:
    """A hub that takes in founding agents too."""
    return new_hub("--accept-unsigned-bootagents")


def information(client, node: str) -> dict:
    """What DescribeInstanceInformation says of a node."""
    filters = [{"Key": "InstanceIds", "Values": [node]}]
    (found,) = client.describe_instance_information(Filters=filters)["InstanceInformationList"]
    return found


def inventory(client, node: str, kind: str) -> list[dict]:
    """What a node has of an inventory type."""
    return client.list_inventory_entries(InstanceId=node, TypeName=f"Custom:{kind}")["Entries"]


# --- registration --------------------------------------------------------------------------------


def test_a_node_that_signs_is_in_the_fleet_list_beside_the_others(client, boot, agent):
    node = boot(tags={"site": "lab", "component": ""})
    assert node.tags == "site=lab,component"
    node.report()
    found = information(client, node.node)
    assert found["PingStatus"] == "Online"
    assert (found["AgentVersion"], found["PlatformType"]) == ("0.1.0", "Linux")
    assert (found["ComputerName"], found["IPAddress"]) == ("edge-1", "192.0.2.9")
    assert information(client, agent.node)["PingStatus"] == "Online"
    by_tag = [{"Key": "tag:site", "Values": ["lab"]}]
    (only,) = client.describe_instance_information(Filters=by_tag)["InstanceInformationList"]
    assert only["InstanceId"] == node.node


def test_a_node_is_lost_when_two_of_its_reports_are_missing(hub, client, boot):
    node = boot(step=3600)
    node.report()
    hub.last_ping_was(node.node, 2 * 3600)
    assert information(client, node.node)["PingStatus"] == "Online"
    hub.last_ping_was(node.node, 2.3 * 3600)
    assert information(client, node.node)["PingStatus"] == "ConnectionLost"


def test_a_node_registers_again_without_an_activation_and_stays_the_same(client, boot):
    node = boot()
    before = (node.node, node.agentsn)
    assert (node.register().node, node.agentsn) == before
    assert len(client.describe_instance_information()["InstanceInformationList"]) == 1


def test_two_devices_with_one_id_become_two_nodes(hub, boot, activate):
    one = boot()
    other = BootNode(hub, agentsn=one.agentsn).register(activate())
    assert other.node != one.node and other.agentsn != one.agentsn
    one.report()
    other.report()


def test_a_used_activation_a_wrong_code_or_none_at_all_is_refused_with_the_reason(hub, boot, activate):
    activation = activate()
    BootNode(hub).register(activation)
    for given, word in [
        (activation, "1 of 1 registrations are used"),
        ({**activation, "ActivationCode": "x" * 20}, "activation isn't valid"),
        (None, "activationid"),
    ]:
        node = BootNode(hub)
        reply = node.post("/agent/register", node.registration(given))
        assert reply.status == 403 and reply.body["status"] != 0 and word in reply.body["message"]


def test_a_deregistered_node_is_told_so_by_a_signed_answer(client, boot):
    node = boot()
    client.deregister_managed_instance(InstanceId=node.node)
    reply = node.try_to_report()
    assert (reply.status, reply.body["errcode"]) == (403, 3)


# --- who is believed -----------------------------------------------------------------------------


def test_a_request_is_answered_once(boot):
    node = boot()
    body = json.dumps({"hostname": "edge-1", "agents": []})
    headers = node.headers("/agent/status", body)
    assert node.post("/agent/status", body, headers).status == 200
    again = node.post("/agent/status", body, headers)
    assert (again.status, again.body["errcode"]) == (401, 5)


def test_a_wrong_clock_is_told_the_time_and_a_changed_request_is_refused(boot):
    node = boot()
    for node.ahead in (-400, 400):
        reply = node.try_to_report()
        assert (reply.status, reply.body["errcode"]) == (401, 4)
        assert abs(reply.body["date"] - time.time()) < 60
    node.ahead = 0
    headers = node.headers("/agent/status", "{}")
    assert node.post("/agent/status", '{"hostname": "other"}', headers).body["errcode"] == 5
    stranger = BootNode(node.hub, agentsn=node.agentsn, pins=node.pins)
    assert stranger.try_to_report().body["errcode"] == 5


def test_the_later_pages_paths_are_answered_too(boot):
    node = boot()
    assert node.post("/api/v1/agent/status", {"hostname": "edge-1", "agents": []}).status == 200


def test_what_is_no_json_is_said_with_its_place(boot):
    reply = boot().post("/agent/status", '{"hostname": \n"edge-1", ')
    assert (reply.status, reply.body["errcode"]) == (400, 2)
    assert "line" in reply.body["message"]


# --- founding agents -----------------------------------------------------------------------------


def test_the_founding_pages_samples_are_accepted_and_answered_as_printed(open_hub, client_of):
    client = client_of(open_hub)
    first = exchange(open_hub, "/agent/register", REGISTER)
    assert first.text == '{"status":0,"agentsn":"bfdcc18c-b6b9-4725-9c47-37fd93dba5b6","tags":""}'
    (node,) = client.describe_instance_information()["InstanceInformationList"]
    assert "AgentVersion" not in node and node["ComputerName"] == "127.0.0.1"
    tags = [{"Key": "service", "Value": "ecs"}, {"Key": "component", "Value": ""}]
    client.add_tags_to_resource(ResourceType="ManagedInstance", ResourceId=node["InstanceId"], Tags=tags)
    again = exchange(open_hub, "/agent/register", REGISTER).body
    assert again["tags"] == "service=ecs,component"

    assert exchange(open_hub, "/agent/status", STATUS).text == '{"errcode":0,"jobs":[]}'
    assert information(client, node["InstanceId"])["AgentVersion"] == "1.2.4"
    (child,) = inventory(client, node["InstanceId"], "StintChildAgent")
    assert child == {"Name": "BasicAgent", "Version": "1.2.3", "Status": "stoped", "Uptime": "123"}

    # The page's first job, as far as an operator can say it.
    sent = client.send_command(
        DocumentName="Stint-ConfigureAgent",
        InstanceIds=[node["InstanceId"]],
        Parameters={
            "Action": ["install"],
            "Name": ["BasicAgent"],
            "Url": ["ftp://server:port/BasicAgent/BasicAgent-1.5.6..rpm"],
            "Checksum": [CHECKSUM],
            "Envs": ['{"PATH": "/usr/bin;/usr/local/bin"}'],
            "Limits": ['{"CPU": "10%", "memory": "20M"}'],
        },
    )
    answer = exchange(open_hub, "/agent/status", STATUS).text
    job_id = json.loads(answer)["jobs"][0]["id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", job_id)
    assert answer == (
        '{"errcode":0,"jobs":[{"id":"' + job_id + '","action":"install","name":"BasicAgent",'
        '"url":"ftp://server:port/BasicAgent/BasicAgent-1.5.6..rpm","checksum":"' + CHECKSUM + '",'
        '"envs":{"PATH":"/usr/bin;/usr/local/bin"},"limits":{"CPU":"10%","memory":"20M"}}]}'
    )
    result = RESULT.replace("ddc8a9b9-55bd-4ddd-b53d-47095ee19466", job_id)
    assert exchange(open_hub, "/agent/job/result", result).text == '{"errcode":0}'
    done = finished(client, sent["Command"]["CommandId"], node["InstanceId"])
    assert (done["Status"], done["StandardOutputContent"]) == ("Success", "success")

    # And its second.
    client.send_command(
        DocumentName="Stint-ConfigureAgent",
        InstanceIds=[node["InstanceId"]],
        Parameters={"Action": ["config"], "SvrList": ["192.168.9.1:1234,"], "Step": ["1200"]},
    )
    answer = exchange(open_hub, "/agent/status", STATUS).body
    (job,) = answer["jobs"]
    assert list(job) == ["id", "action", "svrlist", "step"]
    assert (job["action"], job["svrlist"], job["step"]) == ("config", "192.168.9.1:1234,", 1200)


def test_a_conflict_of_ids_gives_the_later_agent_another(open_hub):
    taken = json.loads(REGISTER)["agentsn"]
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        body = json.dumps({**json.loads(REGISTER), "ipaddr": address})
        given = exchange(open_hub, "/agent/register", body).body["agentsn"]
        assert (given == taken) == (address == "192.0.2.1")


def test_without_the_operators_word_founding_agents_are_refused(hub, client):
    for path, body in [("register", REGISTER), ("status", STATUS), ("job/result", RESULT)]:
        reply = exchange(hub, f"/agent/{path}", body)
        assert reply.status == 403 and "--accept-unsigned-bootagents" in reply.body["message"]
    assert client.describe_instance_information()["InstanceInformationList"] == []


def test_nobody_speaks_for_a_node_that_signs(open_hub, client_of):
    activation = client_of(open_hub).create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    node = BootNode(open_hub).register(activation)
    reply = exchange(open_hub, "/agent/status", json.dumps({"agentsn": node.agentsn, "agents": []}))
    assert (reply.status, reply.body["errcode"]) == (401, 5)
    taken = exchange(open_hub, "/agent/register", json.dumps({"hostname": "h", "agentsn": node.agentsn}))
    assert taken.body["agentsn"] != node.agentsn


def test_an_order_that_the_protocol_does_not_know_is_refused(hub, boot):
    node = boot().node
    for word in ["rotate-key", "reidentify"]:
        done = run([HUB, "node", word, node, "--data", hub.data], hub.home)
        assert done.returncode == 1 and "BootAgent protocol alone" in done.stderr, done


# --- keys ----------------------------------------------------------------------------------------


def server_key(hub: Hub, *words: object):
    """`stint-hub server-key …` beside the hub that runs."""
    return run([HUB, "server-key", *words, "--data", hub.data], hub.home)


def test_a_key_is_replaced_without_losing_a_node(hub, boot):
    here, away = boot(), boot()
    (old,) = (line.split("\t")[0] for line in server_key(hub, "list").stdout.splitlines())
    new = server_key(hub, "add").stdout.split("\t")[0]
    refused = server_key(hub, "delete", old)
    assert refused.returncode == 1 and "2 nodes trust no other key" in refused.stderr
    for node in (here, away):
        node.report()
    assert server_key(hub, "delete", old).returncode == 1, "nobody has confirmed the new key yet"
    here.report()
    assert "1 node trusts no other key" in server_key(hub, "delete", old).stderr
    away.report()
    assert server_key(hub, "delete", old).returncode == 0
    for node in (here, away):
        node.report()
        node.report()
        assert len(node.pins) == 1
    assert new in server_key(hub, "delete", new).stderr
    assert "only server key" in server_key(hub, "delete", new).stderr


def test_keys_nodes_and_jobs_outlive_the_hub(hub, client, boot):
    node = boot()
    sent = client.send_command(
        DocumentName="Stint-ConfigureAgent",
        InstanceIds=[node.node],
        Parameters={"Action": ["stop"], "Name": ["sensor"]},
    )
    (job,) = node.report()
    hub.kill()
    hub.start()
    assert node.report() == [job]
    node.result(job)
    assert finished(client, sent["Command"]["CommandId"], node.node)["Status"] == "Success"


# --- children ------------------------------------------------------------------------------------


def test_children_and_what_happens_to_them_are_inventory(hub, client, aws, boot):
    node, other = boot(), boot(hostname="edge-2")
    children = [
        {"name": "sensor", "version": "1.2", "status": "running", "uptime": 60,
         "resource": {"cpu": 1.5, "rss": 1048576}, "enforced": {"CPU": "hard", "memory": "polled"}},
        {"name": "camera", "version": "2.0", "status": "killed", "uptime": 0,
         "reason": "oom", "next_start": 90},
    ]  # fmt: skip
    event = {"timestamp": 1795335392, "localid": 7, "category": "limit", "subject": "camera",
             "extra": "oom", "message": "camera used more than 20M"}  # fmt: skip
    for _ in range(2):
        node.report(agents=children, events=[event])
    other.report()
    listed = aws(
        "list-inventory-entries", "--instance-id", node.node, "--type-name", "Custom:StintChildAgent"
    )
    assert listed["Entries"] == [
        {"Name": "sensor", "Version": "1.2", "Status": "running", "Uptime": "60", "CpuPercent": "1.50",
         "MemoryBytes": "1048576", "CpuEnforced": "hard", "MemoryEnforced": "polled"},
        {"Name": "camera", "Version": "2.0", "Status": "killed", "Uptime": "0",
         "Reason": "oom", "NextStart": "90"},
    ]  # fmt: skip
    assert inventory(client, node.node, "StintChildEvent") == [
        {"Time": "2026-11-22T08:16:32Z", "LocalId": "7", "Category": "limit", "Name": "camera",
         "Reason": "oom", "Message": "camera used more than 20M"}
    ]  # fmt: skip
    broken = aws(
        "get-inventory", "--filters", "Key=Custom:StintChildAgent.Status,Values=fatal,killed,Type=Equal",
        "--result-attributes", "TypeName=Custom:StintChildAgent",
    )  # fmt: skip
    assert [entity["Id"] for entity in broken["Entities"]] == [node.node]
    counted = aws("get-inventory", "--aggregators", "Expression=Custom:StintChildAgent.Status")
    (entity,) = counted["Entities"]
    assert entity["Data"]["Custom:StintChildAgent"]["Content"] == [
        {"Count": "1", "Status": "killed"},
        {"Count": "1", "Status": "running"},
    ]
    schemas = aws("get-inventory-schema", "--type-name", "Custom:Stint")["Schemas"]
    assert [schema["TypeName"] for schema in schemas] == [
        "Custom:StintChildAgent",
        "Custom:StintChildEvent",
        "Custom:StintIdentity",
        "Custom:StintModule",
        "Custom:StintRestart",
    ]
    _, metrics = hub.get("/metrics")
    assert 'stint_hub_child_events_total{category="limit"} 1' in metrics


def test_a_node_that_polls_for_messages_puts_its_inventory_itself(hub, client, node):
    item = {
        "TypeName": "Custom:StintChildAgent",
        "SchemaVersion": "1.0",
        "CaptureTime": "2026-11-22T08:00:00Z",
        "Content": [{"Name": "sensor", "Status": "running"}],
    }
    put = {"InstanceId": node.node, "Items": [item]}
    assert node.by_token("PutInventory", put).status == 200
    assert inventory(client, node.node, "StintChildAgent") == item["Content"]
    other = node.by_token("PutInventory", {**put, "InstanceId": "mi-00000000000000000"})
    assert other.code == "AccessDeniedException"
    wrong = node.by_token("PutInventory", {**put, "Items": [{**item, "TypeName": "Rack"}]})
    assert wrong.code == "ValidationException"
    assert error_code(
        client.list_inventory_entries, InstanceId="mi-00000000000000000", TypeName="Custom:X"
    ) == ("InvalidInstanceId")


def test_a_node_online_by_its_report_is_online_for_waiting_scripts(client, boot):
    node = boot()
    node.report()
    wait_until_online(client, node.node)
