"""Simulated nodes that poll and answer commands at once, each in a thread of its own."""

import http.client
import threading
from collections.abc import Callable

from .hub import Hub
from .keys import Ed25519Key
from .original import OriginalAgent, Refused

# What a node does with a command: the status and exit code it reports.
Handler = Callable[[OriginalAgent, dict], tuple[str, int]]


def register(hub: Hub, client, count: int, online: bool = True) -> list[OriginalAgent]:
    """Registers `count` nodes under one activation. Ed25519 keys, as they cost nothing to make."""
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=count)
    nodes = [OriginalAgent(hub.endpoint, hub.region, key=Ed25519Key()) for _ in range(count)]
    for node in nodes:
        if online:
            node.come_online(activation)
        else:
            node.register(activation)
    return nodes


class Crew:
    """Nodes at work until the hub goes away."""

    def __init__(self, nodes: list[OriginalAgent], handler: Handler):
        self.handler = handler
        self.handled: list[tuple[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        for node in nodes:
            threading.Thread(target=self._work, args=(node,), daemon=True).start()

    def _work(self, node: OriginalAgent) -> None:
        while True:
            try:
                for message in node.poll():
                    if ".sendCommand" in message["Topic"]:
                        self._handle(node, message)
            except (OSError, http.client.HTTPException, Refused):
                # The test is over and its hub gone; a test that needed this node sees that itself.
                return

    def _handle(self, node: OriginalAgent, message: dict) -> None:
        with self._lock:
            self.handled.append((node.node, message["MessageId"]))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        status, code = self.handler(node, message)
        # Counted down before the last reply: that reply is what lets the next one go.
        with self._lock:
            self.at_once -= 1
        node.carry_out(message, status, code)
