"""The agent with its control channel up: idle, and how soon a command is done."""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from harness.agent import Agent
from harness.clients import boto3_client
from harness.hub import Hub
from harness.wait import until

from . import footprint, latency
from .proxy import Proxy
from .table import Row

# Five minutes hold a health report, and seven pings on the channel.
IDLE_SECONDS = int(os.environ.get("BENCH_IDLE_SECONDS", "300"))
SETTLE_SECONDS = 15
# Threads that live for less than this are missed: those of the agent wait for two seconds before they end.
GLANCE_SECONDS = 0.5
SAMPLE_SECONDS = 5
# What `tests/boards/test_qemu_memory.py` holds both processes to as well.
PSS_MB, SWITCHES = 2.2, 0.1
# The thread that holds the channel wakes up for pings and their answers alone.
HOLDS_CHANNEL = "poll"


def registered(hub: Hub, client, home: Path, name: str, endpoint: str, guarded: bool) -> Agent:
    """An agent that reaches the hub at `endpoint`."""
    agent = Agent(home, name)
    agent.guarded = guarded
    agent.config = home / f"{name}.json"
    # This machine's own watchdog isn't to be touched.
    agent.config.write_text(json.dumps({"guardian": {"enabled": guarded, "watchdog": False}}))
    straight, hub.endpoint = hub.endpoint, endpoint
    try:
        agent.register(hub, client.create_activation(IamRole="EdgeRole"))
    finally:
        hub.endpoint = straight
    return agent


def is_connected(client, agent: Agent) -> bool:
    """Whether the node holds its channel."""
    return client.get_connection_status(Target=agent.node)["Status"] == "connected"


def idle(hub: Hub, client, home: Path, guarded: bool) -> list[Row]:
    """An agent to which nothing is said."""
    proxy = Proxy(hub.listen)
    name = "channel-guarded" if guarded else "channel"
    agent = registered(hub, client, home, name, proxy.endpoint, guarded)
    agent.start()
    try:
        until("the channel is up", lambda: is_connected(client, agent))
        time.sleep(SETTLE_SECONDS)
        pids = [process.pid for process in agent.daemons()]
        assert len(pids) == 1 + guarded, pids
        waits, samples, threads = footprint.Waits(pids), [], []
        proxy.reset()
        began = last = time.monotonic()
        while (now := time.monotonic()) - began < IDLE_SECONDS:
            time.sleep(GLANCE_SECONDS)
            waits.look()
            if now - last >= SAMPLE_SECONDS:
                last = now
                samples.append(footprint.memory(pids))
                threads.append(footprint.threads(pids))
        elapsed = time.monotonic() - began
    finally:
        agent.clean_up()
    what = "idle, channel up, with guardian" if guarded else "idle, channel up"
    pss = statistics.median(sample.pss for sample in samples)
    return [
        Row.megabytes(f"{what}: PSS", pss, PSS_MB),
        Row.megabytes(
            f"{what}: anonymous memory", statistics.median(sample.anonymous for sample in samples), 0.6
        ),
        Row.count(f"{what}: threads, median", statistics.median(threads)),
        Row.rate(f"{what}: wake-ups per second", waits.all / elapsed, digits=3),
        Row.rate(
            f"{what}: between pings", (waits.all - waits.of(HOLDS_CHANNEL)) / elapsed, SWITCHES, digits=3
        ),
        Row.bytes(f"{what}: bytes on the wire per minute", proxy.total * 60 / elapsed),
    ]


def command(hub: Hub, client, agent: Agent) -> list[Row]:
    """Commands over the channel, one after the other."""
    until("the channel is up", lambda: is_connected(client, agent))
    return latency.command(hub, agent.node, "send-command to Success, channel", 10)


def command_in_memory() -> list[Row]:
    """The same with all files of another hub and agent in memory: without the waits for the disk."""
    with tempfile.TemporaryDirectory(prefix="stint-bench-", dir="/dev/shm") as folder:
        home = Path(folder)
        hub = Hub(home).start()
        client = boto3_client(hub)
        agent = registered(hub, client, home, "memory", hub.endpoint, False)
        agent.start()
        try:
            until("the channel is up", lambda: is_connected(client, agent))
            return latency.command(hub, agent.node, "the same, files in memory", 10)
        finally:
            agent.clean_up()
            hub.kill()
