"""A device that knows several endpoints of its server goes on with the next one when the first has gone."""

import contextlib
import json
import socket
import threading

from harness.clients import finished, shell, wait_until_online


class Door:
    """A way to a hub that can be shut, with all that goes through it."""

    def __init__(self, hub):
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
                for pair in ((one, other), (other, one)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
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
    first.shut()
    command = shell(client, [agent.node], "echo by another way")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "by another way\n"
    assert second.passed > 0
    second.shut()
