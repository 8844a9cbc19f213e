"""A device that knows several endpoints of its server goes on with the next one when the first has gone.

Of no use is also a proxy whose server is gone, and one that lets no websocket pass.
"""

import contextlib
import json
import socket
import threading

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.wait import until


class Door:
    """A way to a hub that can be shut, with all that goes through it."""

    def __init__(self, hub, refuses: bytes | None = None):
        """`refuses`: requests with this in their first line are answered with 503, as a proxy does."""
        self.refuses = refuses
        self.hub = ("127.0.0.1", int(hub.endpoint.rpartition(":")[2]))
        self.open: list[socket.socket] = []
        self.passed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one = self.listener.accept()[0]
                other = socket.create_connection(self.hub)
                self.open += [one, other]
                self.passed += 1
                for pair in ((one, other, self.refuses), (other, one, None)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, refuses: bytes | None) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if refuses is not None and refuses in data.partition(b"\r\n")[0]:
                    one.sendall(
                        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    )
                    one.shutdown(socket.SHUT_WR)
                    other.close()
                    return
                other.sendall(data)

    def shut(self) -> None:
        """Nothing passes any more, and nobody new is let in."""
        for one in [self.listener, *self.open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _agent(hub, activate, new_agent, home, endpoints):
    agent = new_agent()
    agent.register(hub, activate())
    agent.config = home / "agent.json"
    agent.config.write_text(json.dumps({"endpoint": endpoints}))
    agent.start()
    return agent


def test_an_endpoint_that_is_gone_from_the_start_is_passed_over(hub, client, activate, new_agent, home):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    agent = _agent(hub, activate, new_agent, home, [f"http://127.0.0.1:{port}", hub.endpoint])
    wait_until_online(client, agent.node)
    command = shell(client, [agent.node], "echo here")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "here\n"


def test_commands_go_on_when_the_first_endpoint_goes(hub, client, activate, new_agent, home):
    first, second = Door(hub), Door(hub)
    agent = _agent(hub, activate, new_agent, home, [first.endpoint, second.endpoint])
    wait_until_online(client, agent.node)
    # The second one is for later.
    assert first.passed > 0 and second.passed == 0
    assert agent.status()[1]["links"][0]["server"] == first.endpoint
    first.shut()
    command = shell(client, [agent.node], "echo by another way")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "by another way\n"
    assert second.passed > 0
    here = agent.command("status", "--state-dir", agent.state, "--config", agent.config).stdout
    assert f"link         ec2messages online at {second.endpoint}" in here
    second.shut()


def test_a_device_whose_first_endpoint_is_gone_registers_and_deregisters_at_the_next(
    hub, client, activate, new_agent, home
):
    agent = new_agent()
    agent.config = home / "agent.json"
    with socket.create_server(("127.0.0.1", 0)) as gone:
        first = f"http://127.0.0.1:{gone.getsockname()[1]}"
    agent.config.write_text(json.dumps({"endpoint": [first, hub.endpoint], "region": hub.region}))
    here = ["--config", agent.config, "--state-dir", agent.state]
    activation = activate()
    words = ["--activation-id", activation["ActivationId"], "--activation-code", activation["ActivationCode"]]
    done = agent.command("register", *words, *here)
    assert done.returncode == 0, done.stderr
    # What was typed is the one that is meant.
    done = agent.command("register", "-y", "--endpoint", first, *words, *here)
    assert done.returncode == 1 and f"can't reach {first}" in done.stderr
    done = agent.command("deregister", "-y", *here)
    assert done.returncode == 0, done.stderr
    assert client.describe_instance_information()["InstanceInformationList"] == []


def _leaves(hub, client, activate, new_agent, home, refuses):
    first = Door(hub, refuses)
    agent = _agent(hub, activate, new_agent, home, [first.endpoint, hub.endpoint])
    wait_until_online(client, agent.node)
    until("it has left the first one", lambda: f"{first.endpoint} is of no use now" in agent.logs(), 90)
    command = shell(client, [agent.node], "echo here")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "here\n"
    return agent


def test_a_proxy_whose_server_is_gone_is_left_for_the_next(hub, client, activate, new_agent, home):
    _leaves(hub, client, activate, new_agent, home, b"HTTP/1.1")


@pytest.mark.long
def test_a_proxy_that_lets_no_websocket_pass_is_left_for_the_next(hub, client, activate, new_agent, home):
    agent = _leaves(hub, client, activate, new_agent, home, b"GET /v1/control-channel")
    until("it has a channel", lambda: "the control channel is up" in agent.logs(), 90)
