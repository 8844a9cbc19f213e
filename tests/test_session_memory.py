"""Sessions on a device that has run out of memory: they are how one repairs it."""

import os

import pytest

from harness.clients import wait_until_online
from harness.mgs.ways import ThroughHub
from harness.pressure import Group
from harness.processes import mentioning
from harness.programs import AGENT, Program
from harness.wait import until

LIMIT = 80 * 1024 * 1024

# Less than a session and a shell need.
LEFT = 1024 * 1024

# What the agent's unit for systemd says.
SCORE = -500


@pytest.fixture
def group():
    """All the memory of a device."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for control groups")
    group = Group(LIMIT)
    yield group
    group.close()


@pytest.fixture
def way(group, hub, client, activate, new_agent):
    """An agent that has no more than that."""
    agent = new_agent()
    agent.register(hub, activate())
    command = group.inside(AGENT, "run", "--state-dir", agent.state, score=SCORE)
    agent.program = Program(command, agent.home / "agent.log", agent.surroundings())
    wait_until_online(client, agent.node)
    connected = lambda: client.get_connection_status(Target=agent.node)["Status"] == "connected"  # noqa: E731
    until("the node has a channel", connected)
    return ThroughHub(client, agent)


def test_a_shell_opens_without_free_memory_and_the_kernel_kills_others_for_it(group, way):
    daemon = way.agent.daemon()
    assert daemon in group.pids()
    group.fill(LEFT)
    before = group.kills()
    shell = way.shell()
    shell.type_in("echo a$((40+2))\n")
    shell.until("a42")
    (holder,) = [each.pid for each in mentioning(shell.session) if "session" in each.argv]
    assert holder in group.pids()
    # More than is left: a program of the session's own is nobody whom the kernel spares.
    shell.type_in("sh -c 'held=$(head -c 100000000 /dev/zero | tr \"\\0\" x); echo he''ld'; echo ov''er\n")
    assert b"held\r" not in shell.until("over")
    assert group.kills() > before
    shell.type_in("echo st''ill; exit\n")
    shell.until("still")
    assert shell.ended() == ""
    assert way.agent.daemon() == daemon
