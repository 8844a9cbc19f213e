"""First boot: the image carries an activation that names a BootAgent server and nothing else."""

import json

import pytest

from harness.certificates import Authority
from harness.clients import boto3_client, finished
from harness.firstboot import Device
from harness.namespaces import may_mount
from harness.wait import until

pytestmark = pytest.mark.skipif(not may_mount(), reason="needs root, for a mount namespace")


@pytest.fixture
def device(home):
    """A device that has never been started, and whose configuration names no server."""
    device = Device(home)
    device.config = home / "device.json"
    children = str(home / "children.d")
    device.config.write_text(json.dumps({"bootagent": {"step": 1}, "childrenDir": children}))
    yield device
    device.clean_up()


def nodes(client) -> list[str]:
    """The managed nodes that are Online."""
    listed = client.describe_instance_information()["InstanceInformationList"]
    return [node["InstanceId"] for node in listed if node["PingStatus"] == "Online"]


def test_a_device_whose_image_names_only_a_bootagent_server_registers_itself(device, hub, client, activate):
    made = activate()
    words = {"activationId": made["ActivationId"], "activationCode": made["ActivationCode"]}
    device.carry(server=hub.endpoint, **words)
    device.start()
    (node,) = until("it is online", lambda: nodes(client))
    until("it knows that it is well", lambda: device.status()[0] == 0)
    assert device.status()[1]["bootagent"]["instanceId"] == node
    until("the activation is wiped", lambda: not device.activation.exists())
    assert made["ActivationCode"] not in device.logs()
    parameters = {"Action": ["config"], "Step": ["60"]}
    sent = client.send_command(DocumentName="Stint-ConfigureAgent", InstanceIds=[node], Parameters=parameters)
    assert finished(client, sent["Command"]["CommandId"], node)["Status"] == "Success"
    # The server is known from now on: neither the image nor the configuration says which it is.
    device.kill()
    before = hub.row("SELECT last_ping_at FROM node WHERE id = ?", node)[0]
    device.start()
    latest = lambda: hub.row("SELECT last_ping_at FROM node WHERE id = ?", node)[0]  # noqa: E731
    until("it reports again", lambda: latest() > before)
    assert nodes(client) == [node]


def test_an_activation_that_is_no_good_is_tried_until_a_better_one_is_there(device, hub, client, activate):
    made = activate()
    words = {"server": hub.endpoint, "activationId": made["ActivationId"]}
    device.carry(activationCode="x" * 20, **words)
    device.start()
    until("it was refused", lambda: "registration" in device.logs() and "refused" in device.logs())
    assert nodes(client) == [] and device.activation.exists()
    device.carry(activationCode=made["ActivationCode"], **words)
    until("it is online", lambda: nodes(client))


def test_an_activation_that_can_not_be_read_for_a_while_is_looked_for_again(device, hub, client, activate):
    made = activate()
    words = {"activationId": made["ActivationId"], "endpoint": hub.endpoint, "region": hub.region}
    device.carry(**words, activationCode="x" * 20)
    device.start()
    until("the wrong code is refused", lambda: "registration failed" in device.logs())
    device.activation.write_text("{")
    until("the rest is missed", lambda: "no activation that can be read" in device.logs())
    device.carry(**words, activationCode=made["ActivationCode"])
    until("it is online", lambda: nodes(client))


def test_a_link_that_can_not_be_set_up_after_the_registration_is_tried_again(
    device, new_hub, home, new_agent
):
    authority = Authority(home / "authority")
    certificate, key = authority.issue(-30, 60)
    hub = new_hub("--tls-cert", certificate, "--tls-key", key)
    client = boto3_client(hub, verify=str(authority.ca))
    made = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    words = {"activationId": made["ActivationId"], "endpoint": hub.endpoint, "region": hub.region}
    device.carry(**words, activationCode="x" * 20)
    device.start()
    until("nobody trusts the server", lambda: "registration failed" in device.logs())
    # Somebody brings a registration, and forgets the file with the authorities that it names.
    other = new_agent("other")
    other.register(hub, made, "--ca-file", authority.ca)
    authority.ca.rename(home / "forgotten.pem")
    (other.state / "registration.json").rename(device.state / "registration.json")
    until("it is missed", lambda: "there is no link for commands, trying again" in device.logs())
    (home / "forgotten.pem").rename(authority.ca)
    until("it is online", lambda: nodes(client))
