"""Everything over TLS, with a certificate of the hub's own making or of yours."""

import shutil
import ssl

import pytest
from botocore.exceptions import SSLError

from harness.clients import Aws, boto3_client, finished, shell, wait_until_online
from harness.programs import HUB, run
from harness.tap import Tap


@pytest.fixture
def hub(new_hub):
    """A hub with `--tls-self-signed`."""
    return new_hub("--tls-self-signed")


@pytest.fixture
def client(hub):
    """A boto3 client that trusts the hub's CA."""
    return boto3_client(hub, verify=str(hub.ca()))


def test_the_whole_way_works_over_tls_with_the_hubs_own_ca(hub, client, activate, new_agent, home):
    assert hub.endpoint.startswith("https://")
    agent = new_agent()
    agent.register(hub, activate(), "--ca-file", hub.ca())
    agent.start()
    wait_until_online(client, agent.node)
    command = shell(client, [agent.node], "echo over tls")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "over tls\n"
    by_cli = Aws(hub, home, ca=hub.ca())("describe-instance-information")
    assert by_cli["InstanceInformationList"][0]["InstanceId"] == agent.node


def test_the_path_of_the_ca_is_told(hub):
    assert str(hub.ca()) in hub.program.logs() + "\n".join(hub.program.lines)
    assert hub.ca().read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_an_agent_that_does_not_know_the_ca_refuses_to_register(hub, activate, new_agent):
    done = new_agent().try_to_register(hub, activate())
    assert done.returncode != 0
    assert "certificate" in done.stderr.lower()
    assert "--ca-file" in done.stderr


def test_clients_that_do_not_know_the_ca_refuse_to_talk(hub):
    with pytest.raises(SSLError):
        boto3_client(hub).describe_instance_information()


def test_the_ca_stays_the_same_over_restarts(hub, client):
    before = hub.ca().read_bytes()
    hub.stop()
    hub.start()
    assert hub.ca().read_bytes() == before
    assert client.describe_activations()["ActivationList"] == []


def test_a_certificate_of_your_own_is_served(hub, new_hub, home):
    """The certificate that another hub has made serves as one from elsewhere."""
    made = {path.name: path for path in hub.data.glob("*.pem")}
    certificate = next(p for name, p in made.items() if "server" in name and "key" not in name)
    key = next(p for name, p in made.items() if "server" in name and "key" in name)
    hub.stop()
    own = home / "own"
    own.mkdir()
    for path in (certificate, key, hub.ca()):
        shutil.copy(path, own)
    other = new_hub("--tls-cert", own / certificate.name, "--tls-key", own / key.name)
    assert boto3_client(other, verify=str(own / "ca.pem")).describe_activations()["ActivationList"] == []


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_server_of_either_version_of_tls_is_reached(hub, client, activate, new_agent, version):
    """Not every proxy and old distribution speaks 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    made = {path.name: path for path in hub.data.glob("*.pem")}
    key = next(p for name, p in made.items() if "server" in name and "key" in name)
    certificate = next(p for name, p in made.items() if "server" in name and "key" not in name)
    context.load_cert_chain(certificate, key)
    way = Tap(hub)
    way.server.socket = context.wrap_socket(way.server.socket, server_side=True)
    way.endpoint = way.endpoint.replace("http:", "https:")
    new_agent().register(way, activate(), "--ca-file", hub.ca())
    assert [operation for operation, _ in way.seen] == ["RegisterManagedInstance"]


def test_half_a_key_pair_is_refused(home):
    done = run(
        [HUB, "serve", "--data", home / "data", "--listen", "127.0.0.1:0", "--tls-cert", home / "c"], home
    )
    assert done.returncode != 0
    assert "--tls-key" in done.stderr
