"""The agent: idle, while a script runs, from start to first poll, and its size on disk."""

import json
import os
import statistics
import time
from pathlib import Path

from harness.agent import Agent
from harness.clients import finished, shell
from harness.hub import Hub
from harness.programs import AGENT
from harness.wait import until

from . import footprint
from .proxy import Proxy
from .table import Row

# Five minutes hold twenty long polls and one health ping: all that happens on an idle node.
IDLE_SECONDS = int(os.environ.get("BENCH_IDLE_SECONDS", "300"))
SETTLE_SECONDS = 10
SAMPLE_SECONDS = 5
# Memory doesn't change any more then.
GUARDED_SECONDS = 60
STARTS = 5

# The same quantities of amazon-ssm-agent 3.3 on the same kind of machine, measured the same way.
ORIGINAL = {
    "size": "134.2 MB",
    "pss": "45.9 MB",
    "anonymous": "15.1 MB",
    "threads": "17",
    "switches": "8.8",
    "start": "16.2 s",
}


def registered(hub: Hub, client, home: Path, proxy: Proxy) -> Agent:
    """An agent that reaches the hub through the proxy."""
    agent = Agent(home)
    agent.config = home / "agent.json"
    set_guardian(agent, False)
    activation = client.create_activation(IamRole="EdgeRole")
    straight, hub.endpoint = hub.endpoint, proxy.endpoint
    try:
        agent.register(hub, activation)
    finally:
        hub.endpoint = straight
    return agent


def set_guardian(agent: Agent, is_on: bool) -> None:
    """Configures whether it has a guardian. This machine's own watchdog isn't to be touched in any case.
    Polls are measured here; `channel.py` has the control channel."""
    guardian = {"enabled": is_on, "watchdog": False}
    agent.config.write_text(json.dumps({"guardian": guardian, "ssm": {"controlChannel": False}}))


def size() -> list[Row]:
    """The program file."""
    return [Row.megabytes("program file", AGENT.stat().st_size, None, ORIGINAL["size"])]


def start_to_first_poll(agent: Agent, proxy: Proxy) -> list[Row]:
    """From the moment the process is made until its first GetMessages reaches the wire."""
    taken = []
    for _ in range(STARTS):
        proxy.reset()
        begun = time.monotonic()
        agent.start()
        until("the first poll", lambda: "GetMessages" in proxy.first)
        taken.append(proxy.first["GetMessages"] - begun)
        agent.stop()
    return [Row.seconds("start to first poll", statistics.median(taken), 0.1, ORIGINAL["start"])]


def idle(agent: Agent, proxy: Proxy) -> list[Row]:
    """An agent that has nothing to do but poll and ping."""
    before = footprint.of_children_that_ended()
    agent.start()
    until("the first poll", lambda: "GetMessages" in proxy.first)
    time.sleep(SETTLE_SECONDS)
    pids = [process.pid for process in agent.daemons()]
    proxy.reset()
    at_start, began = footprint.of_living(pids), time.monotonic()
    samples, threads = [], []
    while time.monotonic() - began < IDLE_SECONDS:
        time.sleep(min(SAMPLE_SECONDS, IDLE_SECONDS))
        samples.append(footprint.memory(pids))
        threads.append(footprint.threads(pids))
    elapsed = time.monotonic() - began
    polls, traffic = proxy.requests["GetMessages"], proxy.bytes["GetMessages"]
    agent.stop()
    # What the kernel tells of the ended process includes threads that came and went.
    done = footprint.of_children_that_ended() - before - at_start
    return [
        Row.megabytes("idle: PSS", statistics.median(s.pss for s in samples), 2.0, ORIGINAL["pss"]),
        Row.megabytes(
            "idle: anonymous memory",
            statistics.median(s.anonymous for s in samples),
            0.5,
            ORIGINAL["anonymous"],
        ),
        Row.count("idle: threads, most seen", max(threads), 3, ORIGINAL["threads"]),
        Row.rate("idle: context switches per second", done.switches / elapsed, 1.0, ORIGINAL["switches"]),
        Row.milliseconds("idle: processor time per 5 minutes", done.cpu * 300 / elapsed),
        Row.bytes("idle: bytes on the wire per poll, HTTP", traffic / max(polls, 1)),
    ]


def guarded(agent: Agent, proxy: Proxy) -> list[Row]:
    """The same agent below a guardian: both processes together."""
    set_guardian(agent, True)
    proxy.reset()
    agent.start()
    until("the first poll", lambda: "GetMessages" in proxy.first)
    time.sleep(SETTLE_SECONDS)
    pids = [process.pid for process in agent.daemons()]
    assert len(pids) == 2, pids
    samples, began = [], time.monotonic()
    while time.monotonic() - began < min(IDLE_SECONDS, GUARDED_SECONDS):
        time.sleep(SAMPLE_SECONDS)
        samples.append(footprint.memory(pids))
    agent.stop()
    set_guardian(agent, False)
    pss = statistics.median(sample.pss for sample in samples)
    anonymous = statistics.median(sample.anonymous for sample in samples)
    return [
        Row.megabytes("idle with guardian: PSS of both", pss, 2.2),
        Row.megabytes("idle with guardian: anonymous memory", anonymous, 0.6),
    ]


def working(agent: Agent, client) -> list[Row]:
    """The agent and its worker process while a script sleeps."""
    command = shell(client, [agent.node], "sleep 8")
    until("a worker runs", agent.workers)
    samples = []
    for _ in range(10):
        time.sleep(0.5)
        samples.append(footprint.memory([p.pid for p in [*agent.daemons(), *agent.workers()]]))
    finished(client, command, agent.node)
    return [
        Row.megabytes("a script runs: PSS with worker", statistics.median(s.pss for s in samples)),
        Row.megabytes("a script runs: anonymous memory", statistics.median(s.anonymous for s in samples)),
    ]
