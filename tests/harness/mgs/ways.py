"""Two ways to a session with the real agent: through the real hub, and through the Python server. The client
is the Python plugin in both, and what a test promises holds for both."""

import json

from ..agent import Agent
from . import plugin
from .plugin import Plugin
from .server import Server

ACTIVATION = {
    "ActivationId": "11111111-2222-4333-8444-555555555555",
    "ActivationCode": "12345678901234567890",
}

PREFERENCES = "SSM-SessionManagerRunShell"

PORT = {"type": "LocalPortForwarding", "localPortNumber": "0"}


def of_commands(line: str, **more: object) -> dict:
    """The properties of a session that runs a command."""
    return {"linux": {"commands": line, **more}}


class ThroughHub:
    """StartSession and ResumeSession of boto3, and session documents."""

    def __init__(self, client, agent: Agent):
        self.client, self.agent = client, agent
        self._documents = 0

    @staticmethod
    def prefer(client, **inputs: object) -> None:
        """The operator's own preferences of sessions."""
        document = {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": inputs}
        client.create_document(
            Name=PREFERENCES, DocumentType="Session", DocumentFormat="JSON", Content=json.dumps(document)
        )

    def shell(self) -> Plugin:
        """A login shell."""
        return plugin.start(self.client, self.agent.node)

    def interactive(self, line: str) -> Plugin:
        """A command on a terminal."""
        return plugin.start(self.client, self.agent.node, "AWS-StartInteractiveCommand", command=line)

    def command(self, line: str) -> Plugin:
        """A command without a terminal."""
        return plugin.start(self.client, self.agent.node, "AWS-StartNonInteractiveCommand", command=line)

    def separate(self, line: str) -> Plugin:
        """A command whose errors and exit code come apart."""
        self._documents += 1
        name = f"A-Test-{self._documents}"
        document = {
            "schemaVersion": "1.0",
            "description": "a test's",
            "sessionType": "NonInteractiveCommands",
            "properties": of_commands(line, separateOutputStream=True),
        }
        self.client.create_document(
            Name=name, DocumentType="Session", DocumentFormat="JSON", Content=json.dumps(document)
        )
        return plugin.start(self.client, self.agent.node, name)

    def port(self, number: int) -> Plugin:
        """A forwarded port."""
        document = "AWS-StartPortForwardingSession"
        return plugin.start(self.client, self.agent.node, document, portNumber=str(number))

    def raw_port(self, number: int) -> Plugin:
        """One connection to a port, as for ssh."""
        return plugin.start(self.client, self.agent.node, "AWS-StartSSHSession", portNumber=str(number))

    def terminate(self, client: Plugin) -> None:
        """Ends a session from outside."""
        self.client.terminate_session(SessionId=client.session)


class ThroughServer:
    """The Python server's orders."""

    def __init__(self, server: Server, agent: Agent):
        self.server, self.agent = server, agent

    def _start(self, kind: str, properties: dict | None = None) -> Plugin:
        started = self.server.start(kind, properties)
        return Plugin(started, lambda: self.server.resume(started["SessionId"]))

    def shell(self) -> Plugin:
        """A login shell."""
        return self._start("Standard_Stream")

    def interactive(self, line: str) -> Plugin:
        """A command on a terminal."""
        return self._start("InteractiveCommands", of_commands(line))

    def command(self, line: str) -> Plugin:
        """A command without a terminal."""
        return self._start("NonInteractiveCommands", of_commands(line))

    def separate(self, line: str) -> Plugin:
        """A command whose errors and exit code come apart."""
        return self._start("NonInteractiveCommands", of_commands(line, separateOutputStream=True))

    def port(self, number: int) -> Plugin:
        """A forwarded port."""
        return self._start("Port", {"portNumber": str(number), **PORT})

    def raw_port(self, number: int) -> Plugin:
        """One connection to a port, as for ssh."""
        return self._start("Port", {"portNumber": str(number)})

    def terminate(self, client: Plugin) -> None:
        """Ends a session from outside."""
        self.server.end(client.session)
