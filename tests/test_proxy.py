"""Where an HTTP proxy is the only way out: named by the configuration or the environment, with a password."""

import json
import socket
from types import SimpleNamespace

import pytest

from harness.certificates import Authority
from harness.clients import boto3_client, finished, shell, wait_until_online
from harness.proxy import Proxy

# A name that only the proxy knows.
_NAME = "hub.inside.example"


@pytest.fixture
def beyond(new_hub, home):
    """A hub that only a proxy reaches, and the file of whoever vouches for it."""
    authority = Authority(home / "authority")
    certificate, key = authority.issue(-1, 60, _NAME)
    hub = new_hub("--tls-cert", certificate, "--tls-key", key)
    client = boto3_client(hub, verify=False)
    port = hub.endpoint.rpartition(":")[2]
    device = SimpleNamespace(endpoint=f"https://{_NAME}:{port}", region=hub.region)
    return SimpleNamespace(seen=device, client=client, port=port, ca=authority.ca)


@pytest.fixture
def proxy():
    """Makes proxies that are ended with the test."""
    made = []

    def make(*words: str) -> Proxy:
        made.append(Proxy(*words))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _agent(new_agent, home, **config):
    agent = new_agent()
    agent.config = home / "agent.json"
    agent.config.write_text(json.dumps(config))
    return agent


def _activation(beyond) -> dict:
    return beyond.client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("named_by", ["the configuration", "the environment"])
def test_everything_goes_by_the_proxy_with_its_password(beyond, proxy, new_agent, home, named_by):
    way = proxy("device", "p@ss:word")
    url = f"http://device:p%40ss%3Aword@{way.address}"
    if named_by == "the configuration":
        agent = _agent(new_agent, home, proxy={"url": url})
    else:
        agent = new_agent()
        agent.environment["HTTPS_PROXY"] = url
    agent.register(beyond.seen, _activation(beyond), "--ca-file", beyond.ca)
    agent.start()
    wait_until_online(beyond.client, agent.node)
    command = shell(beyond.client, [agent.node], "echo by the proxy")
    assert finished(beyond.client, command, agent.node)["StandardOutputContent"] == "by the proxy\n"
    assert set(way.connected) == {f"{_NAME}:{beyond.port}"}
    # It knows its address on the way to the proxy, though the server's name is none here.
    seen = beyond.client.describe_instance_information()["InstanceInformationList"][0]
    assert seen["IPAddress"] == "127.0.0.1"
    assert "the control channel is up" in agent.logs()
    assert "p@ss" not in agent.logs() and "p%40ss" not in agent.logs()


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_wrong_password_is_told_and_not_shown(beyond, proxy, new_agent, home):
    way = proxy("device", "right")
    agent = _agent(new_agent, home, proxy={"url": f"http://device:wrong@{way.address}"})
    done = agent.try_to_register(beyond.seen, _activation(beyond), "--ca-file", beyond.ca)
    assert done.returncode != 0
    assert "proxy" in done.stderr.lower() and "407" in done.stderr, done.stderr
    assert "wrong" not in done.stderr
    assert way.refused > 0 and not way.connected


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_host_that_the_proxy_is_not_for_is_asked_itself(beyond, proxy, new_agent, home):
    way = proxy()
    for pattern in (_NAME, "*.inside.example"):
        agent = _agent(new_agent, home, proxy={"url": f"http://{way.address}", "noProxy": [pattern]})
        done = agent.try_to_register(beyond.seen, _activation(beyond), "--ca-file", beyond.ca)
        # Nobody but the proxy knows the name.
        assert done.returncode != 0
    assert way.connected == []


def test_this_machine_is_never_asked_by_a_proxy(hub, client, activate, proxy, new_agent, home):
    way = proxy()
    agent = _agent(new_agent, home, proxy={"url": f"http://{way.address}"})
    agent.register(hub, activate())
    agent.start()
    wait_until_online(client, agent.node)
    assert way.connected == []


def test_a_look_for_a_new_version_goes_by_the_configurations_proxy(beyond, proxy, new_agent, home):
    way = proxy()
    update = {"source": f"https://{_NAME}:{beyond.port}/nothing/manifest.json"}
    config = {"proxy": {"url": f"http://{way.address}"}, "caFile": str(beyond.ca), "update": update}
    agent = _agent(new_agent, home, **config)
    done = agent.command("update", "--check", "--config", agent.config, "--state-dir", agent.state)
    assert "404" in done.stderr, done.stderr
    assert set(way.connected) == {f"{_NAME}:{beyond.port}"}


def test_a_package_of_a_child_comes_by_the_configurations_proxy(beyond, proxy, new_agent, home):
    way = proxy()
    agent = _agent(new_agent, home, proxy={"url": f"http://{way.address}"})
    incoming = agent.state / "children" / "one" / "incoming"
    incoming.mkdir(parents=True)
    url = f"https://{_NAME}:{beyond.port}/nothing/one-1.0"
    order = {"act": "prepare", "child": "one", "maxPackage": 1 << 20, "url": url}
    order |= {"checksum": f"SHA256:{'0' * 64}", "caFile": str(beyond.ca), "config": str(agent.config)}
    (incoming / "order.json").write_text(json.dumps(order))
    done = agent.command("install-package", incoming)
    assert done.returncode == 0, done.stderr
    assert "404" in json.loads((incoming / "outcome.json").read_text())["error"]
    assert set(way.connected) == {f"{_NAME}:{beyond.port}"}


def _diagnosed(agent, config) -> dict[str, dict]:
    """What `stint diagnose` finds, by check; of several the last. The device doesn't change by it."""
    before = {path: path.stat().st_mtime_ns for path in agent.state.rglob("*")}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"network": {"bytesPerDay": 1_000_000}}))
    done = agent.command("diagnose", "--json", "--config", config, "--state-dir", agent.state)
    assert {path: path.stat().st_mtime_ns for path in agent.state.rglob("*")} == before
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_device_is_diagnosed_and_deregistered_by_the_configurations_proxy(beyond, proxy, new_agent, home):
    way = proxy("device", "p@ss:word")
    agent = _agent(new_agent, home, proxy={"url": f"http://device:p%40ss%3Aword@{way.address}"})
    agent.register(beyond.seen, _activation(beyond), "--ca-file", beyond.ca)
    way.connected.clear()
    checks = _diagnosed(agent, agent.config)
    for name in ("proxy", "tls", "endpoint", "credentials"):
        assert checks[name]["result"] == "pass", checks[name]
    assert checks["proxy"]["target"] == way.address
    assert (checks["dns"]["result"], "tcp" in checks) == ("skip", False)
    assert set(way.connected) == {f"{_NAME}:{beyond.port}"}
    done = agent.command("deregister", "-y", "--config", agent.config, "--state-dir", agent.state)
    assert done.returncode == 0, done.stderr
    assert beyond.client.describe_instance_information()["InstanceInformationList"] == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_proxy_that_lets_nothing_pass_is_what_the_diagnosis_names(beyond, proxy, new_agent, home):
    way = proxy("device", "right")
    agent = _agent(new_agent, home, proxy={"url": f"http://device:right@{way.address}"})
    agent.register(beyond.seen, _activation(beyond), "--ca-file", beyond.ca)
    wrong = home / "other.json"
    wrong.write_text(json.dumps({"proxy": {"url": f"http://device:wrong@{way.address}"}}))
    checks = _diagnosed(agent, wrong)
    assert checks["proxy"]["result"] == "fail" and "407" in checks["proxy"]["evidence"]
    assert "password" in checks["proxy"]["remedy"] and "wrong" not in json.dumps(checks)
    assert checks["credentials"]["result"] == "skip"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{closed.getsockname()[1]}"
        wrong.write_text(json.dumps({"proxy": {"url": f"http://{gone}"}}))
        checks = _diagnosed(agent, wrong)
    assert (checks["proxy"]["result"], checks["proxy"]["target"]) == ("fail", gone)
    assert (checks["endpoint"]["result"], checks["credentials"]["result"]) == ("skip", "skip")
