"""The guardian: a daemon that dies or hangs is started again, and everybody gets to know why."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from harness.agent import Agent
from harness.clients import finished, shell, wait_until_online
from harness.wait import until

DEADLINE = 3


@pytest.fixture
def guarded(hub, client, activate, new_agent):
    """Makes agents with a guardian that is quick to notice; registered, running and Online."""

    def make(**more) -> Agent:
        agent = new_agent()
        agent.register(hub, activate())
        agent.guarded = True
        agent.config = agent.home / "agent.json"
        agent.config.write_text(json.dumps({"guardian": {"deadlineSeconds": DEADLINE, **more}}))
        agent.start()
        wait_until_online(client, agent.node)
        return agent

    return make


def parent(pid: int) -> int:
    """The parent of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def is_online(agent: Agent) -> bool:
    """Whether the daemon says so; false while there is none."""
    return agent.status()[1]["online"]


def another_is_online(agent: Agent, before: int) -> bool:
    """Whether a daemon says so that isn't that one. One question: between two the old one may end."""
    seen = agent.status()[1]
    return seen["online"] and seen["pid"] != before


def restarts(agent: Agent) -> dict:
    """What `stint status` tells of restarts."""
    return agent.status()[1]["guardian"]


def never_again(agent: Agent) -> None:
    """Kills the daemon, and lets no other live: its lock is something that can't be locked."""
    daemon = agent.daemon()
    (agent.state / "run" / "lock").unlink()
    (agent.state / "run" / "lock").mkdir()
    os.kill(daemon, signal.SIGKILL)


def test_the_guardian_is_the_parent_of_the_daemon_and_has_one_thread(guarded):
    agent = guarded()
    daemon = agent.daemon()
    assert parent(daemon) == agent.program.pid
    assert len(list(Path(f"/proc/{agent.program.pid}/task").iterdir())) == 1
    assert restarts(agent) == {"running": True, "count": 0, "last": []}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGABRT])
def test_a_daemon_that_dies_is_started_again_and_the_reason_is_told(guarded, client, sent):
    agent = guarded()
    first = agent.daemon()
    os.kill(first, sent)
    until("another daemon is online", lambda: another_is_online(agent, first))
    seen = restarts(agent)
    assert seen["count"] == 1
    assert seen["last"][0]["reason"] == f"it was killed by signal {sent.value}"
    assert re.search(f"the daemon is started again in [12] s: .* signal {sent.value}", agent.logs())
    text = agent.command("status", "--state-dir", agent.state).stdout
    assert "restarts     1, the last at " in text
    command = shell(client, [agent.node], "echo here")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "here\n"
    # The server as well.
    listed = {"InstanceId": agent.node, "TypeName": "Custom:StintRestart"}
    (entry,) = until("it is told", lambda: client.list_inventory_entries(**listed)["Entries"])
    assert (entry["Number"], entry["Reason"]) == ("1", f"it was killed by signal {sent.value}")


def test_a_daemon_that_hangs_is_killed_and_started_again(guarded):
    agent = guarded()
    first = agent.daemon()
    os.kill(first, signal.SIGSTOP)
    began = time.monotonic()
    until("another daemon is online", lambda: another_is_online(agent, first))
    assert time.monotonic() - began >= DEADLINE
    assert restarts(agent)["last"][0]["reason"] == f"it wasn't heard for {DEADLINE} s"


def test_a_daemon_that_was_stopped_together_with_its_guardian_is_left_alone(guarded):
    agent = guarded()
    first = agent.daemon()
    both = [agent.program.pid, first]
    for pid in both:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(DEADLINE + 3)
    for pid in both:
        os.kill(pid, signal.SIGCONT)
    time.sleep(2 * DEADLINE)
    assert agent.daemon() == first and restarts(agent)["count"] == 0


def test_what_runs_goes_on_while_the_daemon_is_started_again(guarded, client):
    agent = guarded()
    command = shell(client, [agent.node], "sleep 5; echo once >>$HOME/ran; echo done")
    until("it has a worker", agent.workers)
    os.kill(agent.daemon(), signal.SIGKILL)
    assert finished(client, command, agent.node)["StandardOutputContent"] == "done\n"
    assert (agent.home / "ran").read_text() == "once\n"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_the_end_of_the_guardian_is_the_orderly_end_of_the_daemon(guarded, sent):
    agent = guarded()
    daemon = agent.daemon()
    os.kill(agent.program.pid, sent)
    assert agent.program.process.wait(20) == 0
    assert not lives(daemon)
    assert "; what runs goes on" in agent.logs()
    assert restarts(agent) == {"running": False, "count": 0, "last": []}


@pytest.mark.long
def test_a_daemon_that_does_not_leave_is_killed_in_the_end(guarded):
    agent = guarded()
    daemon = agent.daemon()
    os.kill(daemon, signal.SIGSTOP)
    os.kill(agent.program.pid, signal.SIGTERM)
    # As long as children may take to stop.
    assert agent.program.process.wait(40) == 1
    assert not lives(daemon)


def test_a_guardian_that_is_killed_leaves_no_daemon_and_another_starts_at_once(guarded, client):
    agent = guarded()
    daemon = agent.daemon()
    os.kill(agent.program.pid, signal.SIGKILL)
    agent.program.process.wait(20)
    agent.start()
    until("another daemon is online", lambda: another_is_online(agent, daemon))
    assert not lives(daemon)
    assert restarts(agent)["last"][-1]["reason"] == "the guardian was killed"


def test_a_stopped_daemon_of_a_guardian_that_was_killed_is_in_nobodys_way(guarded):
    agent = guarded()
    daemon = agent.daemon()
    os.kill(daemon, signal.SIGSTOP)
    os.kill(agent.program.pid, signal.SIGKILL)
    agent.program.process.wait(20)
    agent.start()
    until("another daemon is online", lambda: another_is_online(agent, daemon))
    assert not lives(daemon)


def test_a_second_agent_on_the_same_state_is_refused_at_once(guarded):
    agent = guarded()
    daemon = agent.daemon()
    for more in [{}, {"STINT_RESPAWNED": "yes"}]:
        began = time.monotonic()
        done = agent.command("run", "--state-dir", agent.state, **more)
        assert done.returncode == 1
        assert f"another agent is running with the state in {agent.state}" in done.stderr
        assert time.monotonic() - began < 5
    assert agent.daemon() == daemon


def test_a_device_that_is_not_set_up_is_told_so_at_once_by_an_exit_code_of_its_own(new_agent):
    agent = new_agent()
    for more in [{}, {"STINT_RESPAWNED": "yes"}]:
        done = agent.command("run", "--state-dir", agent.state, **more)
        assert done.returncode == 78, done.stderr
        assert "register" in done.stderr
    (agent.home / "bad.json").write_text('{"regoin": 1}')
    done = agent.command("run", "--config", agent.home / "bad.json", "--state-dir", agent.state)
    assert done.returncode == 78 and "regoin" in done.stderr


def test_a_set_up_that_is_lost_later_is_tried_again_after_minutes_and_not_at_once(guarded):
    agent = guarded()
    daemon, good = agent.daemon(), agent.config.read_text()
    agent.config.write_text('{"regoin": 1}')
    os.kill(daemon, signal.SIGKILL)
    until("it has failed", lambda: "no key" in agent.logs())
    time.sleep(5)
    assert agent.logs().count("no key") == 1 and agent.program.alive()
    agent.config.write_text(good)
    reasons = [entry["reason"] for entry in restarts(agent)["last"]]
    assert reasons == ["it was killed by signal 9", "it ended with exit code 78"]
    assert agent.stop() == 0


def test_a_daemon_that_keeps_dying_is_started_ever_more_slowly(guarded):
    agent = guarded()
    began = time.monotonic()
    never_again(agent)
    until("it has died four times", lambda: restarts(agent)["count"] == 4)
    assert time.monotonic() - began >= 0.75 * (1 + 2 + 4)
    reasons = [entry["reason"] for entry in restarts(agent)["last"]]
    assert reasons[1:] == ["it ended with exit code 1"] * 3


def test_sighup_reaches_the_daemon_and_ends_nothing(guarded):
    agent = guarded()
    daemon = agent.daemon()
    os.kill(agent.program.pid, signal.SIGHUP)
    time.sleep(1)
    assert agent.program.alive() and agent.daemon() == daemon


def test_without_a_guardian_the_daemon_is_the_process_that_was_started(online):
    agent = online()
    assert agent.daemon() == agent.program.pid
    assert restarts(agent) == {"running": False, "count": 0, "last": []}


def test_the_configuration_switches_it_on_where_the_init_would_not(online):
    agent = online()
    agent.stop()
    agent.config = agent.home / "agent.json"
    agent.config.write_text('{"guardian": {"enabled": true}}')
    agent.start()
    until("it is online again", lambda: is_online(agent))
    assert parent(agent.daemon()) == agent.program.pid


# --- the watchdog, with a file in the place of the device ------------------------------------------


@pytest.fixture
def dog(home) -> Path:
    """What stands for /dev/watchdog."""
    file = home / "watchdog"
    file.write_text("")
    return file


def test_the_watchdog_is_fed_while_there_is_hope_and_stopped_in_the_end(guarded, dog):
    agent = guarded(watchdog=str(dog), watchdogSeconds=3)
    until("it is fed", lambda: len(dog.read_text()) >= 2)
    # A restart doesn't keep it from its meals.
    os.kill(agent.daemon(), signal.SIGKILL)
    eaten = len(dog.read_text())
    until("it is fed on", lambda: len(dog.read_text()) >= eaten + 4)
    until("the daemon is back", lambda: is_online(agent))
    agent.stop()
    assert set(dog.read_text()[:-1]) == {"."} and dog.read_text().endswith(".V")


@pytest.mark.long
def test_a_daemon_that_cannot_be_brought_back_leaves_the_board_to_its_watchdog(guarded, dog):
    agent = guarded(watchdog=str(dog), watchdogSeconds=3)
    never_again(agent)
    until("it gives up", lambda: "the watchdog isn't fed any more" in agent.logs(), 60)
    eaten = dog.read_text()
    time.sleep(4)
    assert dog.read_text() == eaten and "V" not in eaten


def test_a_daemon_that_is_heard_and_dies_again_and_again_leaves_the_board_to_its_watchdog(guarded, dog):
    agent = guarded(watchdog=str(dog), watchdogSeconds=3)

    def gives_up() -> bool:
        seen = agent.status()[1]
        if seen["online"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(seen["pid"], signal.SIGKILL)
        return "the watchdog isn't fed any more" in agent.logs()

    # Ten deadlines, which can't be shorter.
    until("it gives up", gives_up, 60)
    assert "V" not in dog.read_text()


def test_a_device_that_is_not_set_up_is_left_alone_by_the_watchdog(new_agent, dog):
    agent = new_agent()
    config = agent.home / "agent.json"
    config.write_text(json.dumps({"guardian": {"enabled": True, "watchdog": str(dog)}}))
    done = agent.command("run", "--config", config, "--state-dir", agent.state)
    assert done.returncode == 78, done.stderr
    # A driver that can't be stopped would reset the board a minute later, again and again.
    assert dog.read_text() == ""


def test_a_guardian_that_is_killed_stops_no_watchdog(guarded, dog):
    agent = guarded(watchdog=str(dog), watchdogSeconds=3)
    os.kill(agent.program.pid, signal.SIGKILL)
    agent.program.process.wait(20)
    time.sleep(2)
    assert "V" not in dog.read_text()


def test_a_guardian_that_waits_for_the_daemon_of_the_one_before_feeds_the_watchdog(guarded, dog):
    agent = guarded(watchdog=str(dog), watchdogSeconds=3)
    daemon = agent.daemon()
    os.kill(daemon, signal.SIGSTOP)
    os.kill(agent.program.pid, signal.SIGKILL)
    agent.program.process.wait(20)
    eaten = len(dog.read_text())
    agent.start()
    # It waits for ten seconds, in which the board would be reset three times.
    until("it has done with waiting", lambda: not lives(daemon))
    assert len(dog.read_text()) >= eaten + 5


def test_a_daemon_without_a_guardian_feeds_the_watchdog_itself(guarded, dog):
    agent = guarded(enabled=False, watchdog=str(dog), watchdogSeconds=3)
    until("it is fed", lambda: len(dog.read_text()) >= 3)
    os.kill(agent.daemon(), signal.SIGSTOP)
    eaten = dog.read_text()
    time.sleep(3)
    assert dog.read_text() == eaten
    os.kill(agent.daemon(), signal.SIGCONT)
    agent.stop()
    assert dog.read_text().endswith("V")
