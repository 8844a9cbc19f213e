"""Which program a start ends with, whatever the one that was flashed makes of the rest."""

import json
import os
import signal
import subprocess

import pytest

from harness import slots
from harness.clients import finished, shell, wait_until_online
from harness.faults import Faults
from harness.programs import AGENT
from harness.wait import until


@pytest.fixture
def newer(home):
    """A program of version 99 that says each time who has started it, and ends."""
    program = home / "newer"
    program.write_text(f'#!/bin/sh\necho "$PPID $*" >>{home}/started\nexit 78\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("guarded", [True, False])
def test_a_configuration_for_a_newer_version_is_no_reason_not_to_start_that_one(
    home, new_agent, newer, guarded
):
    """The one that was flashed reads no more of it than where the state is, and who guards the daemon."""
    agent = new_agent()
    config = home / "agent.json"
    guardian = {"enabled": guarded, "newerYet": 7}
    config.write_text(json.dumps({"newer": {}, "stateDir": str(agent.state), "guardian": guardian}))
    slots.know(agent, committed=slots.put(agent, "a", newer, "99.0.0"))
    # The opposite of what the file says.
    environment = {**os.environ, "STINT_RESPAWNED": "yes"}
    if not guarded:
        environment.pop("STINT_RESPAWNED")
    command = [AGENT, "run", "--config", config]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as program:
        said = program.communicate(timeout=60)[1]
    assert program.returncode == 78, said
    started = (home / "started").read_text()
    parent, _, words = started.strip().partition(" ")
    assert words == f"run --config {config}", (started, said)
    assert (int(parent) == program.pid) is guarded


def test_a_version_on_trial_goes_through_it_itself_although_it_is_to_have_a_guardian(
    hub, client, activate, new_agent
):
    """The kernel counts the time of the process that was chosen."""
    agent = new_agent()
    agent.config = agent.home / "agent.json"
    agent.config.write_text(json.dumps({"healthIntervalMinutes": 1}))
    agent.register(hub, activate())
    agent.start()
    wait_until_online(client, agent.node)
    pid = agent.daemon()
    assert pid == agent.program.pid
    agent.config.write_text(json.dumps({"healthIntervalMinutes": 1, "guardian": {"enabled": True}}))
    state = slots.know(agent, trial=slots.trial(slots.put(agent, "a", AGENT, "99.0.0")))
    os.kill(pid, signal.SIGHUP)
    kept = until("it is kept", lambda: json.loads(state.read_text()).get("committed"))
    assert kept["version"] == "99.0.0"
    assert agent.daemon() == pid
    # From the next start on there is a guardian.
    agent.stop()
    agent.start()
    until("there is a guardian", lambda: agent.daemon() not in (0, pid, agent.program.pid))


def test_a_version_that_could_not_be_counted_on_a_full_disk_is_tried_when_there_is_room(
    hub, client, activate, new_agent
):
    """Nobody else would ever end its trial, and it would be in the way of every other version."""
    agent = new_agent()
    agent.register(hub, activate())
    trial = slots.trial(slots.put(agent, "a", AGENT, "99.0.0"), tries=1)
    state = slots.know(agent, trial=trial)
    faults = Faults(agent.home / "faults")
    agent.environment = faults.environment()
    (faults.folder / "plan").write_text("run ENOSPC every write update/state.json.tmp\n")
    agent.start()
    wait_until_online(client, agent.node)
    assert json.loads(state.read_text())["trial"]["tries"] == 1
    (faults.folder / "plan").unlink()
    kept = until("it is kept", lambda: json.loads(state.read_text()).get("committed"), 60)
    assert kept["version"] == "99.0.0"


def test_a_state_of_updates_that_can_not_be_read_for_a_while_is_not_taken_for_none(
    hub, client, activate, new_agent
):
    agent = new_agent()
    agent.register(hub, activate())
    state = slots.know(agent, committed=slots.put(agent, "a", AGENT, "99.0.0"))
    away = state.rename(state.with_name("away"))
    state.mkdir()
    agent.start()
    wait_until_online(client, agent.node)
    state.rmdir()
    away.rename(state)
    slot = str(agent.state / "update" / "slots" / "a" / "stint")
    until("it is the version that was kept", lambda: os.readlink(f"/proc/{agent.daemon()}/exe") == slot, 60)


def test_a_daemon_that_is_called_while_the_state_of_updates_can_not_be_read_goes_on_as_it_is(
    hub, client, activate, new_agent
):
    agent = new_agent()
    agent.register(hub, activate())
    agent.start()
    wait_until_online(client, agent.node)
    pid, program = agent.daemon(), os.readlink(f"/proc/{agent.daemon()}/exe")
    state = agent.state / "update" / "state.json"
    state.mkdir(parents=True)
    os.kill(pid, signal.SIGHUP)
    until("it has tried", lambda: "/state.json: " in agent.logs())
    command = shell(client, [agent.node], "echo on")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "on\n"
    assert agent.daemon() == pid
    assert os.readlink(f"/proc/{pid}/exe") == program
