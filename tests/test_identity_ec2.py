"""An EC2 instance is a node by its own id and its role's credentials, without a registration."""

import json
from datetime import timedelta

import pytest

from harness.ec2 import Metadata, Service
from harness.wait import until


@pytest.fixture
def metadata():
    """The metadata service of an instance."""
    metadata = Metadata()
    yield metadata
    metadata.close()


@pytest.fixture
def service(metadata):
    """A Systems Manager that knows the instance's role."""
    service = Service(metadata)
    yield service
    service.close()


@pytest.fixture
def instance(metadata, service, new_agent):
    """An agent on that instance that is not registered; `identity` is put into its configuration."""

    def make(**identity: object):
        agent = new_agent().configure(endpoint=service.url, identity=identity)
        agent.environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url + "/"}
        return agent

    return make


def operations(service: Service) -> set[str]:
    """What has been called."""
    return {operation for operation, _, _ in service.calls}


def test_an_instance_reports_and_polls_by_its_own_id_signed_with_its_roles_credentials(
    metadata, service, instance
):
    agent = instance().start()
    until("it reports and polls", lambda: operations(service) >= {"UpdateInstanceInformation", "GetMessages"})
    assert service.wrong == []
    named = {given.get("InstanceId") or given.get("Destination") for _, given, _ in service.calls}
    assert named == {metadata.instance}
    assert metadata.asked == 1
    assert f"runs as {metadata.instance}" in agent.logs()
    # Its id is known, though it is registered nowhere.
    seen = agent.status()[1]
    assert (seen["registered"], seen["instanceId"]) == (False, metadata.instance)
    told = agent.command("status", "--state-dir", agent.state).stdout
    assert f"instance     {metadata.instance} of EC2" in told and "stint register" not in told
    # Nothing of it is kept.
    assert not (agent.state / "registration.json").exists()
    secrets = [key["SecretAccessKey"] for key in metadata.keys.values()]
    kept = [path.read_bytes() for path in agent.state.rglob("*") if path.is_file()]
    assert not [1 for secret in secrets for content in kept if secret.encode() in content]


def test_credentials_of_the_role_are_renewed_before_they_end(metadata, service, instance):
    metadata.lifetime = timedelta(seconds=12)
    instance().start()
    until("the second key is used", lambda: len({key for *_, key in service.calls}) >= 2)
    assert service.wrong == []


def test_an_instance_waits_for_a_metadata_service_that_does_not_answer_yet(metadata, service, instance):
    agent = instance(metadataEndpoint="http://127.0.0.1:9")
    agent.start()
    until("it has asked", lambda: "this instance is not known yet" in agent.logs())
    assert agent.program.alive() and service.calls == []


def test_a_registration_comes_first_unless_the_order_says_otherwise(
    hub, client, activate, metadata, service, instance
):
    agent = instance()
    agent.register(hub, activate())
    agent.configure()
    agent.start()
    until("it is online", lambda: agent.status()[1]["online"])
    assert metadata.asked == 0
    assert agent.stop() == 0
    agent.configure(endpoint=service.url, identity={"sources": ["EC2", "OnPrem"]})
    agent.start()
    until("it reports as the instance", lambda: "UpdateInstanceInformation" in operations(service))
    assert service.wrong == []


def test_a_device_whose_order_has_no_instance_in_it_asks_no_metadata_service(metadata, instance):
    agent = instance(sources=["OnPrem"])
    done = agent.command("run", "--state-dir", agent.state, "--config", agent.config, **agent.environment)
    assert done.returncode != 0 and "not registered" in done.stderr
    assert metadata.asked == 0


def test_a_hub_turns_an_instances_credentials_away(hub, metadata, instance):
    """It has no part in AWS's IAM and can't know them."""
    agent = instance().configure(endpoint=hub.endpoint)
    agent.start()
    until("it was turned away", lambda: "UnrecognizedClientException" in agent.logs())


def test_an_instance_is_diagnosed_by_its_own_identity(metadata, service, instance):
    agent = instance()
    agent.state.mkdir(mode=0o700)
    words = ("diagnose", "--json", "--state-dir", agent.state, "--config", agent.config)
    done = agent.command(*words, **agent.environment)
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["registration"]["result"] == "pass"
    assert metadata.instance in checks["registration"]["evidence"]
    for name in ("endpoint", "credentials"):
        assert checks[name]["result"] == "pass", checks[name]
    words = (*words[:-1], instance(metadataEndpoint="http://127.0.0.1:9").config)
    checks = {c["check"]: c for c in json.loads(agent.command(*words).stdout)["checks"]}
    assert (checks["registration"]["result"], checks["endpoint"]["result"]) == ("fail", "skip")
