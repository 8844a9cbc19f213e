"""Jobs for child agents, given by the document step stint:configureAgent."""

import json
import os
import time

import pytest

from harness.children import alive, carrying
from harness.clients import wait_until_online
from harness.wait import said, until

DONE = (0, "success")


def running(kids, name: str) -> int:
    """Waits until it runs; its process."""
    return kids.wait_for(name, "running")["pid"]


def test_a_child_is_stopped_and_started_and_restarted_on_demand(children):
    kids = children()
    kids.define("a", "exec sleep 600")
    kids.agent.start()
    first = running(kids, "a")
    assert kids.job("stop", "a") == DONE
    assert not alive(first) and kids.status("a") == "stoped" and kids.of_status()["a"]["reason"] == ""
    assert kids.job("stop", "a") == DONE, "what is so already is done"
    assert kids.job("start", "a") == DONE
    second = running(kids, "a")
    assert kids.job("start", "a") == DONE
    assert kids.job("restart", "a") == DONE
    third = running(kids, "a")
    assert kids.pids("a") == [first, second, third] and not alive(second)
    assert kids.events("a") == [], "what was wanted is no event"


def test_a_stopped_child_stays_stopped_over_restarts_of_the_agent(children):
    kids = children()
    kids.define("a", "exec sleep 600")
    kids.agent.start()
    running(kids, "a")
    assert kids.job("stop", "a") == DONE
    for end in (kids.agent.stop, kids.agent.kill):
        end()
        kids.agent.start()
        until("the agent is back", lambda: kids.job("config", "a") == DONE)
        assert kids.status("a") == "stoped" and len(kids.pids("a")) == 1


def test_a_child_that_ignores_its_stop_signal_is_killed_with_all_that_it_started(children):
    kids = children()
    body = f"trap '' TERM; (trap '' TERM; setsid sh -c 'echo $$ >{kids.notes}/other; sleep 600; :' &);"
    kids.define("deaf", f"{body} while :; do sleep 1; done", stopsecs=1)
    kids.agent.start()
    pid = running(kids, "deaf")
    other = int(said(kids.notes / "other"))
    assert kids.job("stop", "deaf") == DONE
    # On purpose: neither killed nor an event.
    assert kids.status("deaf") == "stoped" and kids.events("deaf") == []
    assert not alive(pid) and not alive(other)


def test_the_stop_signal_is_the_definitions_and_goes_to_whom_it_says(children):
    kids = children()
    body = f"trap 'echo main >>{kids.notes}/got; exit 0' USR1; (trap 'echo sub >>{kids.notes}/got' USR1;"
    body += f" touch {kids.notes}/ready; while :; do sleep 0.1; done) & while :; do sleep 0.1; done"
    kids.define("one", body, stopsignal="SIGUSR1", stopasgroup=False)
    kids.agent.start()
    until("it is ready", lambda: (kids.notes / "ready").exists())
    running(kids, "one")
    assert kids.job("stop", "one") == DONE
    assert (kids.notes / "got").read_text() == "main\n"


def test_a_fatal_child_is_started_again_by_a_job(children):
    kids = children(retries=0)
    kids.define("a", f"[ -e {kids.notes}/mended ] && exec sleep 600; exit 1")
    kids.agent.start()
    kids.wait_for("a", "fatal")
    assert kids.job("stop", "a") == DONE
    assert kids.status("a") == "fatal", "what was given up isn't down on purpose"
    (kids.notes / "mended").touch()
    assert kids.job("start", "a") == DONE
    running(kids, "a")


def test_a_start_that_cannot_be_says_why(children):
    kids = children()
    kids.define("a", "", exec="/nonexistent", args=[], autostart=False)
    kids.agent.start()
    until("the agent listens", lambda: kids.job("config", "a") == DONE)
    code, said = kids.job("start", "a")
    assert code == 1 and "can't start /nonexistent" in said


def test_settings_of_a_job_replace_those_before_and_outlive_the_agent(children):
    kids = children()
    script = f'echo "$A/$B" >>{kids.notes}/seen; exec sleep 600'
    kids.define("a", script, envs={"A": "file", "B": "file"})
    kids.agent.start()
    pid = running(kids, "a")
    seen = kids.notes / "seen"
    said(seen)
    assert kids.job("config", "a", envs={"A": "job"}, limits={"CPU": "50%", "memory": "64M"}) == DONE
    assert alive(pid), "settings need no restart"
    record = kids.record("a")
    assert (record["envs"], record["limits"]) == ({"A": "job"}, {"CPU": "50%", "memory": "64M"})
    assert kids.job("restart", "a") == DONE
    until("it has started", lambda: seen.read_text().count("\n") == 2)
    kids.agent.kill()
    kids.agent.start()
    until("it is back", lambda: kids.job("config", "a", limits={}) == DONE)
    assert kids.job("restart", "a") == DONE
    until("it has started", lambda: seen.read_text().count("\n") == 3)
    assert seen.read_text() == "file/file\njob/\njob/\n"
    assert kids.record("a")["limits"] == {}


def test_a_child_is_defined_by_a_job_and_taken_off_by_another(children):
    kids = children()
    kids.agent.start()
    script = f": {kids.agent.state}; exec sleep 600"
    definition = {"name": "new", "exec": "/bin/sh", "args": ["-c", script], "version": "7"}
    until("the agent listens", lambda: kids.job("config", "new", definition=definition) == DONE)
    assert kids.status("new") == "stoped"
    assert kids.job("start", "new") == DONE
    pid = running(kids, "new")
    kids.agent.kill()
    kids.agent.start()
    until("it is found", lambda: "new still runs" in kids.agent.logs())
    assert kids.of_status()["new"]["version"] == "7"
    assert kids.job("uninstall", "new") == DONE
    assert not alive(pid) and kids.of_status() == {} and not kids.folder("new").exists()
    assert kids.categories("new") == ["uninstall"]
    assert kids.job("uninstall", "new") == DONE, "what isn't there is off"


def test_the_file_of_a_child_goes_with_it(children):
    kids = children()
    kids.define("a", "exec sleep 600")
    kids.agent.start()
    running(kids, "a")
    assert kids.job("uninstall", "a") == DONE
    assert not (kids.definitions / "a.json").exists()


def test_a_job_that_makes_no_sense_says_so(children):
    kids = children()
    kids.define("a", "exec sleep 600")
    kids.agent.start()
    running(kids, "a")
    for words, inputs, code, wanted in [
        (("start", "b"), {}, 3, "there is no child agent b"),
        (("stop", "b"), {}, 3, "there is no child agent b"),
        (("config", "a"), {"definition": {"name": "a", "exce": "/x"}}, 1, 'no member "exce"'),
        (("config", "a"), {"definition": {"name": "c", "exec": "/x"}}, 1, "its definition for c"),
        (("config",), {"step": 60}, 1, "no BootAgent server"),
        (("config", "a"), {"limits": {"CPU": "fast"}}, 1, "percent of one core"),
    ]:
        found, said = kids.job(*words, **inputs)
        assert found == code and wanted in said, (words, found, said)


def test_a_stop_overtakes_nothing_that_is_being_done_and_jobs_run_in_their_order(children):
    kids = children()
    kids.define("slow", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done")
    kids.agent.start()
    running(kids, "slow")
    restart = kids.agent.home / "restart.json"
    step = {"action": "stint:configureAgent", "name": "j", "inputs": {"action": "restart", "name": "slow"}}
    restart.write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": [step, {**step, "name": "k"}]}))
    until("the agent listens", kids.is_heard)
    code, said = kids.agent.command_json("run-document", restart, "--json", "--config", kids.agent.config)
    assert code == 0 and [done["status"] for done in said["steps"]] == ["Success"] * 2
    assert len(kids.pids("slow")) == 3
    until("one is left", lambda: len(carrying(f"STINT_START={kids.record('slow')['mark']}")) >= 1)
    assert sum(alive(pid) for pid in kids.pids("slow")) == 1


def test_a_command_of_the_hub_stops_and_starts_a_child(hub, client, children):
    """Systems Manager: Stint-ConfigureAgent with send-command, and the usual invocation status."""
    kids = children()
    kids.define("a", "exec sleep 600")
    kids.agent.start()
    wait_until_online(client, kids.agent.node)
    pid = running(kids, "a")

    def send(**parameters: str) -> dict:
        command = client.send_command(
            InstanceIds=[kids.agent.node],
            DocumentName="Stint-ConfigureAgent",
            Parameters={name: [value] for name, value in parameters.items()},
        )["Command"]["CommandId"]

        def ended() -> dict | None:
            found = client.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
            return found[0] if found and found[0]["Status"] in ("Success", "Failed", "TimedOut") else None

        return until("the command has ended", ended)

    assert send(Action="stop", Name="a")["Status"] == "Success"
    assert not alive(pid) and kids.status("a") == "stoped"
    assert send(Action="start", Name="a")["Status"] == "Success"
    running(kids, "a")
    failed = send(Action="start", Name="b")
    assert failed["Status"] == "Failed"
    assert "there is no child agent b" in failed["CommandPlugins"][0]["Output"]


def test_a_child_that_is_not_well_is_killed_and_restarted(children):
    """It is asked over its socket, and has to answer as its definition wants."""
    kids = children()
    socket, answer = kids.notes / "s", kids.notes / "answer"
    # A Unix socket's path is 107 bytes at most, and a test's folder is deep.
    answer.write_text("all OK")
    server = f"""
import os, socket
os.chdir({str(kids.notes)!r})
listener = socket.socket(socket.AF_UNIX)
listener.bind("s")
listener.listen()
while True:
    peer, _ = listener.accept()
    asked = b""
    while not asked.endswith(b"\\r\\n"):
        asked += peer.recv(1024)
    open("asked.new", "wb").write(asked)
    os.replace("asked.new", "asked")
    peer.sendall(open("answer", "rb").read() + b"\\r\\n")
    peer.close()
"""
    program = kids.notes / "server.py"
    program.write_text(server)
    assert len(str(socket)) < 108, "the test's folder is too deep for a socket"
    kids.define(
        "asked",
        f"rm -f {socket}; exec python3 {program}",
        check={"interval": 1, "path": str(socket), "match": "string:OK"},
        checks=2,
        checksecs=1,
    )
    kids.agent.start()
    pid = running(kids, "asked")
    until("it was asked", lambda: (kids.notes / "asked").exists())
    assert (kids.notes / "asked").read_bytes() == b'{"gardian":"BootAgent","method":"health"}\r\n'
    time.sleep(3)
    assert alive(pid) and kids.events("asked") == []
    answer.write_text("no")
    until("it is killed", lambda: not alive(pid))
    event = until("that is told", lambda: kids.events("asked"))[0]
    assert (event["category"], event["extra"]) == ("health", "health")
    assert "answer to a health check is bad: no" in event["message"]
    answer.write_text("all OK")
    assert kids.started("asked", 2)


def test_a_child_that_says_nothing_any_more_is_killed(children):
    """Heartbeats over the socket in BOOTSOCK."""
    kids = children()
    beat = f"""
import json, os, socket, time
os.chdir(os.path.dirname(os.environ["BOOTSOCK"]))
peer = socket.socket(socket.AF_UNIX)
peer.connect(os.path.basename(os.environ["BOOTSOCK"]))
while not os.path.exists({str(kids.notes / "silent")!r}):
    peer.sendall(json.dumps({{"agent": {{"name": "beating"}}, "message": "well"}}).encode() + b"\\r\\n")
    open({str(kids.notes / "sent")!r}, "a").write("x")
    time.sleep(0.5)
time.sleep(600)
"""
    program = kids.notes / "beat.py"
    program.write_text(beat)
    kids.define(
        "beating", f"exec python3 {program}", heartbeat={"interval": 2, "match": "string:well"}, checks=2
    )
    kids.agent.start()
    pid = running(kids, "beating")
    until("it has beaten for longer than silence is borne", lambda: _size(kids.notes / "sent") > 14)
    assert alive(pid) and kids.events("beating") == []
    (kids.notes / "silent").touch()
    until("it is killed", lambda: not alive(pid))
    assert "no heartbeat 2 times" in until("that is told", lambda: kids.events("beating"))[0]["message"]


def _size(path) -> int:
    return os.path.getsize(path) if path.exists() else 0


@pytest.mark.parametrize("damaged", [("definition.json",), ("definition.json", "record.json")], ids="-".join)
def test_a_child_whose_definition_can_t_be_read_is_uninstalled_with_all_that_runs_of_it(children, damaged):
    kids = children()
    kids.agent.start()
    below = f"sleep 600 & echo $! >>{kids.marks}/a; setsid sleep 600 & echo $! >>{kids.marks}/a; wait"
    script = f": {kids.agent.state}; echo $$ >>{kids.marks}/a; {below}"
    definition = {"name": "a", "exec": "/bin/sh", "args": ["-c", script]}
    assert kids.job("config", "a", definition=definition) == DONE
    assert kids.job("start", "a") == DONE
    until("all of it runs", lambda: len(kids.living("a")) == 3)
    kids.agent.kill()
    for file in damaged:
        (kids.folder("a") / file).write_text('{"half')
    kids.agent.start()
    until("it is told", lambda: [e for e in kids.events("a") if "can't be looked after" in e["message"]])
    assert len(kids.living("a")) == 3, "what runs goes on until somebody decides"
    code, said = kids.job("restart", "a")
    assert code != 0 and "there is no child agent a" in said
    assert kids.job("uninstall", "a") == DONE
    assert kids.living("a") == [] and not kids.folder("a").exists()
    assert kids.categories("a")[-1] == "uninstall"
    # The name is free again.
    assert kids.job("config", "a", definition=definition) == DONE
    assert kids.job("start", "a") == DONE
