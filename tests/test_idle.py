"""What an agent costs while nothing is to be done, and what an open shell adds: as far as no clock decides
it. `make bench` measures the rest."""

import json
import re
import time
from pathlib import Path

from harness import memory, processes
from harness.agent import Agent
from harness.mgs import plugin
from harness.programs import IS_RELEASE
from harness.wait import until

# Health reports, inventories and the threads that carry them are over then.
SETTLE_SECONDS = 8
# So long that whatever looks around once a second, or every few, is seen again and again.
LOOK_SECONDS = 10
# In that time: a ping and its answer, a sign of life to the guardian, a look of the guardian's, a look at
# folders. Whatever looks around every second or two makes five of its own.
WAKE_UPS = 8

MOST_OF_A_SHELL = 1_200_000


def wake_ups(agent: Agent) -> dict[int, int]:
    """How often each thread of the agent has gone to sleep so far."""
    found = {}
    for process in agent.daemons():
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            text = (task / "status").read_text()
            found[int(task.name)] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])
    return found


def connected(client, agent: Agent) -> None:
    """Waits until the node holds its channel."""
    status = lambda: client.get_connection_status(Target=agent.node)["Status"] == "connected"  # noqa: E731
    until("the node has a channel", status)


def test_an_idle_agent_with_its_channel_up_and_a_guardian_hardly_ever_wakes_up(
    hub, client, activate, new_agent
):
    agent = new_agent()
    agent.register(hub, activate())
    agent.guarded = True
    agent.start()
    connected(client, agent)
    time.sleep(SETTLE_SECONDS)
    before = wake_ups(agent)
    time.sleep(LOOK_SECONDS)
    after = wake_ups(agent)
    # The guardian, the loop, and the lane that holds the channel.
    assert len(before) == 3 and before.keys() == after.keys(), (before, after)
    counts = {thread: after[thread] - before[thread] for thread in before}
    assert sum(counts.values()) <= WAKE_UPS, counts


def test_a_document_and_a_command_wake_an_idle_agent(client, agent):
    connected(client, agent)
    assert (agent.state / "local").is_dir()
    document = agent.home / "document.json"
    step = {"action": "aws:runShellScript", "name": "a", "inputs": {"runCommand": ["echo woken"]}}
    document.write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": [step]}))
    # In one step, as `mv` does it, and as a program that writes slowly doesn't.
    (agent.state / "local" / "moved.part").write_text(document.read_text())
    (agent.state / "local" / "moved.part").rename(agent.state / "local" / "moved.json")
    (agent.state / "local" / "written.json").write_text(document.read_text())
    completed = agent.state / "local" / "completed"
    done = lambda: [f for f in completed.iterdir() if '"Success"' in f.read_text()]  # noqa: E731
    until("both are done", lambda: completed.is_dir() and len(done()) == 2)


def test_an_open_shell_takes_little_memory(client, agent):
    connected(client, agent)
    daemons = [process.pid for process in agent.daemons()]
    before = memory.use(daemons)
    shell = plugin.start(client, agent.node)
    shell.type_in("echo here-$((40 + 2))\n")
    shell.until("here-42")
    held = [p.pid for p in processes.mentioning(str(agent.state)) if "session" in p.argv[1:2]]
    assert len(held) == 1
    after = memory.use(daemons + held)
    added = after.pss - before.pss if IS_RELEASE else after.anonymous - before.anonymous
    shell.type_in("exit\n")
    shell.ended()
    assert added <= MOST_OF_A_SHELL, (before, after)
