"""A network of the test's own: a device in a network namespace, and this machine's one as its server's.

The two are joined by a pair of virtual interfaces with addresses of the block for benchmarks (RFC 2544),
which no network uses. Several tests may run at a time.
"""

import json
import random
import subprocess
import uuid
from pathlib import Path

import pytest

from .agent import Agent
from .clients import boto3_client, wait_until_online
from .hub import Hub
from .programs import AGENT, Program, environment


def _run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)


class Device:
    """A network namespace with one way out, and what happens to it."""

    def __init__(self):
        net = f"198.{random.choice([18, 19])}.{random.randrange(256)}.{8 * random.randrange(32)}"
        stem, _, last = net.rpartition(".")
        self.server, *self.addresses = (f"{stem}.{int(last) + n}" for n in (1, 2, 3))
        mark = uuid.uuid4().hex[:8]
        self.name = f"stint-{mark}"
        self.outside, self.inside = f"so{mark}", f"si{mark}"
        self._made(_run("ip", "netns", "add", self.name))
        self._made(
            _run("ip", "link", "add", self.outside, "type", "veth", "peer", self.inside, "netns", self.name)
        )
        self._made(_run("ip", "address", "add", f"{self.server}/29", "dev", self.outside))
        self._made(_run("ip", "link", "set", self.outside, "up"))
        self.ip("link", "set", "lo", "up")
        self.ip("address", "add", f"{self.addresses[0]}/29", "dev", self.inside)
        self.ip("link", "set", self.inside, "up")

    def _made(self, done: subprocess.CompletedProcess) -> None:
        if done.returncode:
            self.close()
            pytest.skip(f"this machine lets nobody make networks: {done.stderr.strip()}")

    def ip(self, *words: str) -> None:
        """`ip` on the device."""
        done = _run("ip", "-n", self.name, *words)
        assert done.returncode == 0, done.stderr

    def cut(self) -> None:
        """Nothing passes any more, and nobody is told: packets go to an interface that isn't there."""
        nobody = ["lladdr", "02:00:00:00:00:01", "nud", "permanent"]
        self.ip("neighbour", "replace", self.server, "dev", self.inside, *nobody)
        done = _run("ip", "neighbour", "replace", self.addresses[0], "dev", self.outside, *nobody)
        assert done.returncode == 0, done.stderr

    def mend(self) -> None:
        """All passes again."""
        self.ip("neighbour", "del", self.server, "dev", self.inside)
        _run("ip", "neighbour", "del", self.addresses[0], "dev", self.outside)

    def slow(self, rate: str) -> None:
        """No more than this passes from now on, each way: with a delay of its own where the kernel has netem,
        else by a queue of half a second."""
        netem = ["netem", "rate", rate, "delay", "40ms"]
        queue = ["tbf", "rate", rate, "burst", "4000", "latency", "500ms"]
        ends = [(self.outside, ["tc"]), (self.inside, ["tc", "-n", self.name])]
        for device, tc in ends:
            add = [*tc, "qdisc", "replace", "dev", device, "root"]
            if _run(*add, *netem).returncode and (done := _run(*add, *queue)).returncode:
                pytest.skip(f"this kernel makes no link slow: {done.stderr.strip()}")

    def served(self, hub: Hub, agent: Agent) -> None:
        """Moves the hub, which has `--insecure-http`, to where the device reaches it; the agent runs on the
        device, and is Online."""
        hub.stop()
        hub.listen = f"{self.server}:{hub.listen.rpartition(':')[2]}"
        hub.start()
        client = boto3_client(hub)
        agent.config = agent.home / "agent.json"
        agent.config.write_text(json.dumps({"allowPlainHttp": True}))
        agent.register(hub, client.create_activation(IamRole="EdgeRole", RegistrationLimit=1))
        self.start(agent)
        wait_until_online(client, agent.node)

    def start(self, agent: Agent) -> None:
        """`stint run` of an agent on this device."""
        config = ["--config", agent.config] if agent.config else []
        command = ["ip", "netns", "exec", self.name, AGENT, "run", "--state-dir", agent.state, *config]
        log: Path = agent.home / f"{agent.name}.log"
        agent.program = Program(command, log, environment(agent.home, **agent.environment))

    def close(self) -> None:
        """Takes the network away."""
        _run("ip", "link", "del", self.outside)
        _run("ip", "netns", "del", self.name)
