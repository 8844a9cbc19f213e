"""As whom a session runs: the user of the device's configuration, or the one whom the preferences name."""

import json

import pytest

from harness.mgs import plugin
from harness.mgs.ways import ThroughHub, of_commands
from harness.namespaces import Mounted, may_mount
from harness.wait import until

pytestmark = pytest.mark.skipif(not may_mount(), reason="needs root, for users of the test's own")

WHO = "echo $(id -u)-$(id -g)-$(id -G)-$USER-$HOME-$PWD."


class WithUsers(Mounted):
    """An agent on a machine that has two users more."""

    def mount(self) -> str:
        """A list of users in the place of this machine's."""
        users = "root:x:0:0::/root:/bin/sh\nann:x:4242:4242::/tmp:/bin/sh\nbob:x:4243:4244::/none:/bin/sh\n"
        (self.home / "passwd").write_text(users)
        return f"mount --bind {self.home}/passwd /etc/passwd"


@pytest.fixture
def way(home, hub, client, activate):
    """The agent, which is root and runs sessions as ann."""
    agent = WithUsers(home, "device")
    agent.config = home / "agent.json"
    agent.config.write_text(json.dumps({"session": {"runAs": "ann"}}))
    agent.register(hub, activate())
    agent.start()
    connected = lambda: client.get_connection_status(Target=agent.node)["Status"] == "connected"  # noqa: E731
    until("the node has a channel", connected)
    yield ThroughHub(client, agent)
    agent.clean_up()


def test_a_session_runs_as_the_device_s_configuration_says(way):
    shell = way.shell()
    shell.type_in(f"{WHO} echo $0\n")
    shell.until("4242-4242-4242-ann-/tmp-/tmp.")
    # With a hyphen in front it is a login shell.
    shell.until("-sh")
    shell.type_in("exit\n")
    assert shell.ended() == ""
    command = way.command(f"sh -c '{WHO}'")
    command.ended()
    assert command.output == b"4242-4242-4242-ann-/tmp-/tmp.\n"


def test_the_session_s_document_names_another_user_and_not_root(client, way):
    def document(name: str, user: str) -> plugin.Plugin:
        content = {
            "schemaVersion": "1.0",
            "sessionType": "InteractiveCommands",
            "inputs": {"runAsEnabled": True, "runAsDefaultUser": user},
            "properties": of_commands(WHO),
        }
        client.create_document(
            Name=name, DocumentType="Session", DocumentFormat="JSON", Content=json.dumps(content)
        )
        return plugin.start(client, way.agent.node, name)

    # Who has no folder is in the topmost.
    session = document("As-Bob", "bob")
    assert session.ended() == ""
    assert bytes(session.output) == b"4243-4244-4244-bob-/-/.\r\n"
    assert "root, which runAs must not be" in document("As-Root", "root").ended()
    assert "no user carol" in document("As-Carol", "carol").ended()


def test_the_preferences_name_the_user_of_documents_that_say_nothing_of_users(client, way):
    preferences = {
        "schemaVersion": "1.0",
        "sessionType": "Standard_Stream",
        "inputs": {"runAsEnabled": True, "runAsDefaultUser": "bob"},
    }
    client.create_document(
        Name="SSM-SessionManagerRunShell",
        DocumentType="Session",
        DocumentFormat="JSON",
        Content=json.dumps(preferences),
    )
    for session in (way.interactive("id -un"), way.command("id -un")):
        assert session.ended() == ""
        assert bytes(session.output).split() == [b"bob"]
