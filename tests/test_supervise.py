"""Child agents are kept running by the founding page's rule, and outlive the agent."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from harness.children import alive
from harness.wait import said, until


def test_a_child_that_crashes_at_once_is_started_4_times_and_then_fatal(children):
    """T6, with the page's numbers 60 times faster."""
    kids = children()
    kids.define("crasher", "date +%s.%N >>$STARTS; exit 1", envs={"STARTS": str(kids.notes / "times")})
    kids.agent.start()
    fatal = kids.wait_for("crasher", "fatal")
    assert len(kids.pids("crasher")) == 4
    assert fatal["reason"] == "exit:1" and "nextStart" not in fatal
    assert kids.categories("crasher") == ["exit"] * 4 + ["fatal"]
    times = [float(word) for word in (kids.notes / "times").read_text().split()]
    # Not before the cool-down is over; upper bounds would be a bet on the machine's load.
    assert all(later - earlier >= 3 for earlier, later in pairwise(times))
    # And it stays so over a restart of the agent, past several looks.
    kids.agent.stop()
    kids.agent.start()
    until("the agent is back", lambda: "stint" in kids.agent.logs() and kids.agent.status()[1]["running"])
    time.sleep(5)
    assert len(kids.pids("crasher")) == 4 and kids.status("crasher") == "fatal"


def test_a_child_that_waits_for_its_next_start_is_killed_and_says_when(children):
    kids = children(cooldownSeconds=600)
    kids.define("crasher", "exit 7")
    kids.agent.start()
    child = kids.wait_for("crasher", "killed")
    assert child["reason"] == "exit:7" and 500 < child["nextStart"] <= 601 and child["uptime"] == 0


def test_a_child_that_ends_well_is_not_started_again(children):
    kids = children()
    kids.define("once", "exit 0")
    kids.define("nine", "exit 9", exitcodes="0,9")
    kids.define("canary", "exit 1")
    kids.agent.start()
    until("another one was restarted meanwhile", lambda: len(kids.pids("canary")) >= 3)
    for name, reason in [("once", "exit:0"), ("nine", "exit:9")]:
        assert kids.of_status()[name]["reason"] == reason and kids.status(name) == "stoped"
        assert len(kids.pids(name)) == 1 and kids.events(name) == []


def test_a_child_is_restarted_as_its_definition_wants(children):
    kids = children()
    kids.define("always", "exit 0", autorestart="yes")
    kids.define("never", "exit 1", autorestart="no")
    kids.define("twice", "exit 1", retries=1, restartsecs=1)
    kids.agent.start()
    kids.started("always", 3)
    assert kids.wait_for("twice", "fatal") and len(kids.pids("twice")) == 2
    assert kids.status("never") == "killed" and len(kids.pids("never")) == 1
    assert kids.events("always") == []


def test_the_fast_profile_never_gives_up(children):
    kids = children(profile="fast", cooldownSeconds=1)
    kids.define("crasher", "exit 1")
    kids.agent.start()
    kids.started("crasher", 7)
    assert kids.status("crasher") in ("killed", "running")


def test_bad_definitions_are_reported_and_the_others_run(children):
    kids = children()
    kids.define("good", "exec sleep 600")
    kids.define("good", "exec sleep 700", file="z-again.json")
    kids.write("bad.json", '{"name": "bad",\n"exce": "/bin/true"}')
    kids.define("missing", "", exec="/nonexistent/agent", args=[])
    kids.define("nobody", "true", user="no-such-user")
    kids.agent.start()
    kids.started("good")
    kids.wait_for("good", "running")
    until("the others were tried", lambda: kids.events("missing") and kids.events("nobody"))
    said = kids.agent.command_json("status", "--json", "--config", kids.agent.config)[1]["problems"]
    assert len(said) == 2
    assert 'bad.json: line 2: there is no member "exce"' in said[0]
    assert "z-again.json: good is already defined by" in said[1]
    assert kids.categories("")[:2] == ["definition"] * 2
    assert "can't start /nonexistent/agent" in kids.events("missing")[0]["extra"]
    assert "there is no user no-such-user" in kids.events("nobody")[0]["extra"]
    assert len(kids.pids("good")) == 1


def test_children_start_in_their_order(children):
    kids = children()
    for name, order in [("a", 70), ("b", 10), ("c", 40)]:
        kids.define(name, "exec sleep 600", order=order)
    kids.agent.start()
    for name in "abc":
        kids.started(name)
    until("that was logged", lambda: "a started" in kids.agent.logs())
    assert kids.agent.logs().index("b started") < kids.agent.logs().index("c started")
    assert kids.agent.logs().index("c started") < kids.agent.logs().index("a started")


def test_a_child_gets_its_environment_and_nothing_of_the_agents(children):
    kids = children()
    kids.agent.environment["SECRET"] = "of the agent"
    kids.define(
        "env",
        f"env >{kids.notes}/seen; ls /proc/$$/fd >{kids.notes}/fds; touch {kids.notes}/done; exec sleep 600",
        envs={"A": "b c"},
    )
    kids.agent.start()
    pid = kids.started("env")
    until("it has written", lambda: (kids.notes / "done").exists())
    seen = dict(line.split("=", 1) for line in (kids.notes / "seen").read_text().splitlines())
    assert seen["A"] == "b c" and seen["PATH"] and seen["STINT_CHILD"].endswith("/children/env")
    assert "SECRET" not in seen
    assert os.getsid(pid) == pid
    # 0, 1, 2, and what the shell itself has opened for the list.
    assert {"0", "1", "2"} <= set((kids.notes / "fds").read_text().split()) <= {"0", "1", "2", "10", "255"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start programs as others")
def test_a_child_runs_as_the_user_that_its_definition_names(children):
    kids = children()
    os.chmod(kids.notes, 0o777)
    os.chmod(kids.marks, 0o777)
    kids.define(
        "other",
        f"id -u >{kids.notes}/who; id -g >>{kids.notes}/who; echo said >/proc/self/fd/1; exec sleep 600",
        user="1234",
        group="4321",
    )
    for folder in [kids.agent.home, *kids.agent.home.parents]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    kids.agent.start()
    pid = kids.started("other")
    log = kids.folder("other") / "log"
    until("it has said who it is", lambda: log.exists() and "said" in log.read_text())
    assert (kids.notes / "who").read_text().split() == ["1234", "4321"]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["Groups"].split() in ([], ["4321"]) and status["Uid"].split() == ["1234"] * 4


def test_output_goes_into_a_log_that_is_turned_over(children):
    kids = children(logKiB=4)
    kids.define(
        "chatty",
        "i=0; while [ $i -lt 2000 ]; do echo line-$i; i=$((i+1)); done; echo >&2 end; exec sleep 600",
    )
    kids.agent.start()
    log, old = kids.folder("chatty") / "log", kids.folder("chatty") / "log.1"
    until("all was logged", lambda: log.exists() and log.read_text().endswith("line-1999\nend\n"))
    assert old.stat().st_size == 4096 and log.stat().st_size <= 4096
    assert {path.name for path in kids.folder("chatty").glob("log*")} == {"log", "log.1"}
    assert "line-1500" in old.read_text() + log.read_text()


def test_a_child_writes_on_while_there_is_no_agent(children):
    kids = children()
    kids.define(
        "writer",
        f"while [ ! -e {kids.notes}/go ]; do sleep 0.1; done; echo said alone; touch {kids.notes}/done;"
        "exec sleep 600",
    )
    kids.agent.start()
    pid = kids.started("writer")
    kids.wait_for("writer", "running")
    kids.agent.kill()
    (kids.notes / "go").touch()
    until("it has written", lambda: (kids.notes / "done").exists())
    assert alive(pid)
    kids.agent.start()
    log = kids.folder("writer") / "log"
    until("what it said is logged", lambda: log.exists() and "said alone" in log.read_text())
    assert kids.pids("writer") == [pid]


def test_an_agent_that_was_killed_finds_its_children_again(children):
    """T9. And it goes on looking after them."""
    kids = children()
    kids.define("steady", "exec sleep 600")
    kids.agent.start()
    pid = kids.started("steady")
    kids.wait_for("steady", "running")
    found = f"steady still runs as process {pid}"
    for times in range(1, 4):
        kids.agent.kill()
        assert alive(pid)
        kids.agent.start()
        until("it is found", lambda times=times: kids.agent.logs().count(found) == times)
    kids.agent.stop()
    assert alive(pid), "a child outlives an agent that is stopped"
    kids.agent.start()
    until("the agent is back", lambda: kids.agent.logs().count(found) == 4)
    # Its end is seen although it isn't this agent's child.
    os.kill(pid, signal.SIGKILL)
    second = kids.started("steady", 2)
    assert kids.categories("steady") == ["exit"] and alive(second)
    assert kids.of_status()["steady"]["pid"] == second


def test_a_child_that_ended_while_there_was_no_agent_is_started_again(children):
    kids = children()
    kids.define("steady", "exec sleep 600")
    kids.agent.start()
    pid = kids.started("steady")
    kids.wait_for("steady", "running")
    kids.agent.kill()
    os.kill(pid, signal.SIGKILL)
    kids.agent.start()
    kids.started("steady", 2)
    assert kids.events("steady")[0]["extra"] == "gone"


def test_a_daemon_is_followed_into_the_background(children):
    kids = children()
    pidfile = kids.notes / "pidfile"
    write = f"echo $$ >{pidfile}.new; mv {pidfile}.new {pidfile}; exec sleep 600"
    body = f"setsid sh -c '{write}' & exit 0"
    kids.define("withfile", body, type="daemon", pidfile=str(pidfile))
    kids.define(
        "without", f"(setsid sh -c 'echo $$ >{kids.notes}/other; exec sleep 600' &) ; exit 0", type="daemon"
    )
    kids.agent.start()
    for name, file in [("withfile", pidfile), ("without", kids.notes / "other")]:
        pid = int(said(file))
        until(f"{name} is known", lambda name=name, pid=pid: kids.of_status()[name].get("pid") == pid)
        os.kill(pid, signal.SIGKILL)
        until(f"{name} is restarted", lambda name=name: len(kids.pids(name)) == 2)
        assert kids.events(name)[0]["extra"] == "signal:9"


def test_a_daemon_that_ends_well_in_the_background_is_stopped_and_not_failed(children):
    kids = children()
    gate = kids.notes / "gate"
    wait = f"echo $$ >{kids.notes}/pid; while [ ! -e {gate} ]; do sleep 0.1; done; exit 0"
    kids.define("a", f"(setsid sh -c '{wait}' &) ; exit 0", type="daemon", startsecs=1)
    kids.agent.start()
    pid = int(said(kids.notes / "pid"))
    until("it is known", lambda: kids.record("a").get("settled") and kids.record("a").get("pid") == pid)
    gate.touch()
    kids.wait_for("a", "stoped")
    assert kids.events("a") == [] and len(kids.pids("a")) == 1


def test_a_daemon_comes_up_also_when_the_agent_dies_meanwhile(children):
    kids = children()
    gate, pidfile = kids.notes / "gate", kids.notes / "pidfile"
    wait = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    write = f"echo $$ >{pidfile}.new; mv {pidfile}.new {pidfile}; exec sleep 600"
    body = f"touch {kids.notes}/begun; {wait}; (setsid sh -c '{write}' &); exit 0"
    kids.define("a", body, type="daemon", pidfile=str(pidfile))
    kids.agent.start()
    until("it comes up", (kids.notes / "begun").exists)
    kids.agent.kill()
    gate.touch()
    pid = int(said(pidfile))
    kids.agent.start()
    until("it is known", lambda: kids.record("a").get("pid") == pid)
    assert alive(pid) and kids.events("a") == []


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_child_whose_record_is_lost_is_not_doubled(children, damage):
    kids = children()
    kids.define("a", "exec sleep 600")
    kids.agent.start()
    kids.wait_for("a", "running")
    kids.agent.kill()
    record = kids.agent.state / "children" / "a" / "record.json"
    record.unlink() if damage == "missing" else record.write_bytes(b"\0" * 100)
    kids.agent.start()
    kids.started("a", 2)
    until("there is one", lambda: [alive(pid) for pid in kids.pids("a")] == [False, True])


def test_what_a_child_leaves_behind_goes_with_it(children):
    kids = children()
    grandchild = kids.notes / "grandchild"
    kids.define("parent", f"(setsid sh -c 'echo $$ >{grandchild}; exec sleep 600' &); sleep 1; exit 1")
    kids.agent.start()
    pid = int(said(grandchild))
    kids.started("parent", 2)
    assert not alive(pid)


def test_a_child_that_is_to_end_with_the_agent_does_and_comes_back_with_it(children):
    kids = children()
    kids.define("with", "exec sleep 600", stopit=True)
    kids.define("on", "exec sleep 600")
    kids.agent.start()
    pids = [kids.started(name) for name in ("with", "on")]
    for name in ("with", "on"):
        kids.wait_for(name, "running")
    assert kids.agent.stop() == 0
    assert [alive(pid) for pid in pids] == [False, True]
    kids.agent.start()
    kids.started("with", 2)
    assert kids.pids("on") == pids[1:] and kids.events("with") == []


def test_children_that_are_to_end_with_the_agent_are_told_all_at_once(children):
    """Each ends only when the other has been told, too. Init doesn't wait for one after another."""
    kids = children()

    def waits_for(name: str, other: str) -> None:
        told, end = kids.notes / f"{name}.told", kids.notes / f"{name}.end"
        hears = f": >{told}; until [ -e {kids.notes / other}.told ]; do sleep 0.05; done; : >{end}; exit 0"
        kids.define(
            name, f"trap '{hears}' TERM; : >{kids.notes / name}; while :; do sleep 0.05; done", stopit=True
        )

    waits_for("one", "two")
    waits_for("two", "one")
    kids.agent.start()
    until("both can hear", lambda: all((kids.notes / name).exists() for name in ("one", "two")))
    assert kids.agent.stop() == 0
    assert [kids.living(name) for name in ("one", "two")] == [[], []]
    assert all((kids.notes / f"{name}.end").exists() for name in ("one", "two"))
    assert all(kids.record(name)["wanted"] for name in ("one", "two"))


def test_a_child_whose_definition_is_removed_is_stopped_and_forgotten(children):
    kids = children()
    kids.define("old", "exec sleep 600")
    kids.define("mended", "exec sleep 600")
    kids.agent.start()
    old, mended = kids.started("old"), kids.started("mended")
    for name in ("old", "mended"):
        kids.wait_for(name, "running")
    kids.agent.stop()
    (kids.definitions / "old.json").unlink()
    kids.write("mended.json", "{half")
    kids.agent.start()
    until("it has stopped", lambda: not alive(old))
    until("it is forgotten", lambda: not kids.folder("old").exists())
    # A file that is being mended doesn't end its child, nor does a folder that isn't mounted.
    assert alive(mended) and kids.status("mended") == "running"
    kids.agent.stop()
    kids.definitions.rename(kids.agent.home / "elsewhere")
    kids.agent.start()
    until("it is found", lambda: kids.agent.logs().count("mended still runs") == 2)
    assert alive(mended) and kids.status("mended") == "running"


def test_orphans_of_children_are_buried(children):
    kids = children()
    kids.define("breeder", "i=0; while [ $i -lt 20 ]; do (sleep 0.2 &); i=$((i+1)); done; exec sleep 600")
    kids.agent.start()
    kids.started("breeder")
    kids.wait_for("breeder", "running")
    daemon = kids.agent.program.process.pid

    def zombies() -> list[str]:
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = Path(f"/proc/{entry}/stat").read_text().rsplit(") ", 1)[1].split()
                except OSError:
                    continue
                if stat[0] == "Z" and int(stat[1]) == daemon:
                    found.append(entry)
        return found

    until("there are orphans", zombies)
    until("they are buried", lambda: not zombies(), patience=60)


def test_a_sighup_starts_new_children_restarts_changed_ones_and_ends_those_without_a_file(children):
    kids = children()
    for name in ("same", "changed", "old", "stopped"):
        kids.define(name, "exec sleep 600")
    kids.agent.start()
    pids = {name: kids.started(name) for name in ("same", "changed", "old", "stopped")}
    for name in pids:
        kids.wait_for(name, "running")
    assert kids.job("stop", "stopped")[0] == 0
    kids.define("changed", "exec sleep 601")
    kids.define("stopped", "exec sleep 601")
    kids.define("new", "exec sleep 600")
    (kids.definitions / "old.json").unlink()
    agent = [process.pid for process in kids.agent.daemons()]
    os.kill(kids.agent.program.process.pid, signal.SIGHUP)
    second = kids.started("changed", 2)
    kids.started("new")
    until("what has no file any more is gone", lambda: not kids.folder("old").exists())
    assert not alive(pids["changed"]) and not alive(pids["old"])
    assert Path(f"/proc/{second}/cmdline").read_bytes().split(b"\0")[:2] == [b"sleep", b"601"]
    # It was no failure, and nobody else has felt anything.
    assert kids.events("changed") == [] and kids.pids("same") == [pids["same"]] and alive(pids["same"])
    assert kids.status("stopped") == "stoped" and len(kids.pids("stopped")) == 1
    assert [process.pid for process in kids.agent.daemons()] == agent
    # A stopped one takes its change along when it is started.
    assert kids.job("start", "stopped")[0] == 0
    started = kids.started("stopped", 2)
    assert Path(f"/proc/{started}/cmdline").read_bytes().split(b"\0")[1] == b"601"


def test_a_definition_that_changes_while_there_is_no_agent_restarts_its_child_with_the_next_one(children):
    kids = children()
    kids.define("a", "exec sleep 600")
    kids.agent.start()
    first = kids.started("a")
    kids.wait_for("a", "running")
    kids.agent.kill()
    kids.define("a", "exec sleep 601")
    kids.agent.start()
    second = kids.started("a", 2)
    assert not alive(first) and kids.events("a") == []
    kids.wait_for("a", "running")
    # Once, and not with every start.
    kids.agent.kill()
    kids.agent.start()
    until("it is found", lambda: f"a still runs as process {second}" in kids.agent.logs())
    time.sleep(2)
    assert kids.pids("a") == [first, second]
