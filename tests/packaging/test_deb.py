"""The .deb in a minimal Debian, with the real agent and a real hub: make test-packages."""

import json
import os
import sys

import pytest

from harness.clients import finished, wait_until_online
from harness.debian import Debian, Systemd
from harness.device import ROOT
from harness.programs import _TARGET
from harness.wait import until

sys.path.insert(0, str(ROOT / "scripts/package"))
import deb
import project

BOARD = "x86-64-gateway"

pytestmark = pytest.mark.skipif(
    not os.environ.get("STINT_PACKAGES"), reason="needs root, debootstrap and minutes: make test-packages"
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes the package of a version from the board's agent."""

    def make(version: str):
        monkeypatch.setattr(project, "version", lambda: version)
        agent = _TARGET / "boards" / BOARD / "stint"
        return deb.write(project.read_board(BOARD), agent.read_bytes(), tmp_path)

    return make


@pytest.fixture(params=[Debian, Systemd], ids=["init-script", "systemd"])
def debian(home, request):
    """A Debian that ends with the test."""
    system = request.param(home)
    yield system
    system.end()


@pytest.fixture
def node(debian, package, hub, client, activate):
    """The system with the package installed, registered by the activation that lay in its image."""
    activation = activate()
    debian.must("mkdir -p /etc/stint")
    file = debian.path("/etc/stint/activation.json")
    file.write_text(
        json.dumps(
            {
                "activationId": activation["ActivationId"],
                "activationCode": activation["ActivationCode"],
                "endpoint": hub.endpoint,
                "region": hub.region,
            }
        )
    )
    file.chmod(0o600)
    debian.install(package("1.0.0"))
    nodes = until(
        "the node has registered", lambda: client.describe_instance_information()["InstanceInformationList"]
    )
    wait_until_online(client, nodes[0]["InstanceId"])
    return nodes[0]["InstanceId"]


def send(client, node: str, *commands: str) -> str:
    """The command's id."""
    answer = client.send_command(
        DocumentName="AWS-RunShellScript", InstanceIds=[node], Parameters={"commands": list(commands)}
    )
    return answer["Command"]["CommandId"]


def test_an_installed_package_registers_at_its_first_start_and_runs_commands(debian, client, node):
    assert not debian.path("/etc/stint/activation.json").exists(), "used once, then wiped"
    answer = finished(client, send(client, node, ". /etc/os-release; echo $VERSION_CODENAME"), node)
    assert answer["Status"] == "Success"
    assert answer["StandardOutputContent"] == "bookworm\n"
    assert debian.status() == 0
    debian.must("stint status")


@pytest.mark.parametrize("debian", [Systemd], ids=["systemd"], indirect=True)
def test_under_systemd_the_hardened_agent_comes_online_and_its_documents_gain_nothing(debian, client, node):
    debian.must("mkdir -p /etc/systemd/system/stint.service.d")
    debian.must("cp /usr/share/doc/stint/examples/hardened.conf /etc/systemd/system/stint.service.d/")
    debian.must("systemctl daemon-reload; systemctl restart stint")
    answer = finished(
        client, send(client, node, "grep NoNewPrivs /proc/self/status; touch /usr/x || echo no"), node
    )
    assert answer["StandardOutputContent"].split() == ["NoNewPrivs:", "1", "no"]


def test_an_upgrade_restarts_the_agent_and_no_document_notices(debian, client, node, package):
    debian.must("""echo '{"logLevel": "debug"}' >/etc/stint/agent.json""")
    command = send(client, node, "echo begun; touch /tmp/begun", "sleep 6", "echo ended")
    until("the script runs", lambda: debian.path("/tmp/begun").exists())
    before = debian.agent_pid()

    debian.install(package("1.0.1"))

    assert debian.must("dpkg-query -W -f '${Version}' stint") == "1.0.1-1"
    until("an agent runs", lambda: debian.status() == 0)
    assert debian.agent_pid() != before
    answer = finished(client, command, node)
    assert answer["Status"] == "Success"
    assert answer["StandardOutputContent"] == "begun\nended\n"
    assert "debug" in debian.must("cat /etc/stint/agent.json")


def test_a_removed_package_keeps_its_registration_and_takes_it_up_again(debian, client, node, package):
    debian.must("dpkg -r stint")
    assert debian.sh("pgrep -f 'stint run'").stdout == ""
    assert not debian.path("/usr/sbin/stint").exists()
    assert debian.path("/var/lib/stint/registration.json").exists()
    debian.install(package("1.0.1"))
    answer = finished(client, send(client, node, "echo again"), node)
    assert answer["StandardOutputContent"] == "again\n"


def test_a_purged_package_leaves_nothing_behind(debian, package):
    before = debian.files()
    debian.install(package("1.0.0"))
    debian.must("mkdir -p /var/lib/stint/spool; touch /var/lib/stint/registration.json")
    assert debian.files() > before
    debian.must("STINT_CHILD=/var/lib/stint/supervise/camera setsid sleep 3001 >/dev/null 2>&1 &")
    debian.must("dpkg -P stint 2>&1")
    assert debian.sh("pgrep -f 'sleep 3001'").stdout == ""
    assert debian.files() == before
    assert not debian.path("/etc/stint").exists()
    assert not debian.path("/var/lib/stint").exists()
    found = debian.must("for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null || true")
    assert "stint run" not in found
    assert "stint supervise" not in found


def test_an_agent_that_is_killed_comes_back_and_no_document_notices(debian, client, node):
    command = send(client, node, "echo begun; touch /tmp/begun", "sleep 3", "echo ended")
    until("the script runs", lambda: debian.path("/tmp/begun").exists())
    before = debian.agent_pid()
    debian.must(f"kill -9 {before}")
    until("another agent runs", lambda: debian.status() == 0 and debian.agent_pid() != before)
    answer = finished(client, command, node)
    assert (answer["Status"], answer["StandardOutputContent"]) == ("Success", "begun\nended\n")
