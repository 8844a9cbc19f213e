"""Where an HTTP proxy is the only way out: named by the configuration or the environment, with a password."""

import json
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
