"""Child agents by the BootAgent protocol: reported, driven by jobs, and told of once."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from harness import packages
from harness.bootserver import RESULT, STATUS, BootServer
from harness.children import Children, alive
from harness.wait import until
from harness.web import Web

SAMPLES = Path(__file__).resolve().parents[1] / "wire/src/bootagent/samples"
JOB = "ddc8a9b9-55bd-4ddd-b53d-47095ee19466"
NAMES = ["name", "version", "status", "uptime"]


@pytest.fixture
def children(new_agent, server):
    """Children of an agent that reports every second to that server, which signs nothing."""
    made = []

    def make(**supervise) -> Children:
        kids = Children(new_agent(), **supervise)
        made.append(kids)
        config = json.loads(kids.agent.config.read_text())
        # As on a device: nothing goes off this machine in the clear.
        del config["allowPlainHttp"]
        config["bootagent"] = {"servers": server.address, "step": 1, "acceptUnsignedJobs": True}
        kids.agent.config.write_text(json.dumps(config))
        return kids

    yield make
    for kids in made:
        kids.clean_up()


def reported(server, name: str) -> dict:
    """A child as the last report had it."""
    reports = server.heard(STATUS)
    found = [child for child in reports[-1].body["agents"] if child["name"] == name] if reports else []
    return found[0] if found else {}


def done(server, **job: object) -> dict:
    """The result of a job."""
    wanted = server.give(**job)

    def probe() -> dict | None:
        return next((result for result in server.results() if result["id"] == wanted), None)

    return until(f"the result of {job}", probe)


def test_a_server_of_the_founding_page_drives_a_child_through_its_life(children, server):
    kids = children()
    kids.define("steady", "exec sleep 600", version="1.2.3", limits={"memory": "50M"})
    kids.agent.start()
    first = kids.started("steady")
    until("it is reported as running", lambda: reported(server, "steady").get("status") == "running")
    child = reported(server, "steady")
    assert list(child)[:4] == NAMES and child["version"] == "1.2.3"
    assert child["enforced"]["memory"] in ("hard", "polled")

    stopped = done(server, action="stop", name="steady")
    assert (stopped["errcode"], stopped["message"]) == (0, "success")
    until("it is reported as stoped", lambda: reported(server, "steady").get("status") == "stoped")
    assert reported(server, "steady")["uptime"] == 0 and not alive(first)

    assert done(server, action="start", name="steady")["errcode"] == 0
    second = kids.started("steady", 2)
    assert done(server, action="restart", name="steady")["errcode"] == 0
    third = kids.started("steady", 3)
    assert alive(third) and not alive(second)

    changed = done(server, action="config", name="steady", limits={"memory": "60M"}, envs={"A": "b"})
    assert changed["errcode"] == 0 and alive(third)
    bad = done(server, action="config", name="steady", limits={"memory": "much"})
    assert bad["errcode"] != 0 and "limits.memory" in bad["message"]
    assert done(server, action="restart", name="nobody")["errcode"] != 0

    assert done(server, action="uninstall", name="steady", force=True)["errcode"] == 0
    until("it is reported no more", lambda: server.heard(STATUS)[-1].body["agents"] == [])
    assert not alive(third)


def test_a_package_is_installed_and_upgraded_from_a_server_of_its_own(children, server):
    kids, web = children(), Web()
    kids.agent.start()
    for version in ("1", "2"):
        script = f"#!/bin/sh\n: {kids.agent.state}\necho $$ >>{kids.marks}/app\nexec sleep 600\n"
        package = packages.tarball(packages.entry("app", script))
        url = web.serve(f"/app-{version}.tgz", package)
        action = "install" if version == "1" else "upgrade"
        checksum = packages.checksum(package)
        result = done(server, action=action, name="app", url=url, checksum=checksum)
        assert result["errcode"] == 0, result
        until(
            f"version {version} is reported",
            lambda version=version: (
                reported(server, "app").get("version") == version
                and reported(server, "app")["status"] == "running"
            ),
        )
    wrong = done(server, action="upgrade", name="app", url=url, checksum="SHA256:" + 64 * "0")
    assert wrong["errcode"] != 0 and "checksum" in wrong["message"].lower()
    assert reported(server, "app")["version"] == "2"
    web.close()


def test_the_printed_answer_is_taken_as_it_is(children, server):
    """Both jobs of the founding page's sample, comments and commas included; they have one id."""
    printed = (SAMPLES / "status_answer.txt").read_text()

    def twist(exchange):
        if exchange.path == STATUS and not server.heard(STATUS):
            exchange.answer = printed

    server.twist = twist
    kids = children()
    kids.agent.start()
    until("two results", lambda: len(server.results()) >= 2)
    results = server.results()
    assert {result["id"] for result in results} == {JOB}
    said = " ".join(result["message"] for result in results)
    # What the page names can't be had here, and that is what the results say.
    assert "allowFtp" in said and "http://192.168.9.1:1234 is plain HTTP" in said
    assert all(list(result) == ["id", "errcode", "message"] for result in results)


def test_the_printed_settings_are_adopted_where_the_address_is_allowed(children, server):
    other = BootServer()
    printed = (SAMPLES / "status_answer.txt").read_text().replace("192.168.9.1:1234", other.address)
    # Without the job that would fetch from the page's server.
    printed = re.sub(r'\{\n\t\t"id": "[^"]*",  #.*?\}, \{', "{", printed, flags=re.DOTALL)

    def twist(exchange):
        if exchange.path == STATUS and not server.heard(STATUS):
            exchange.answer = printed

    server.twist = twist
    kids = children()
    kids.agent.start()
    wanted = [{"id": JOB, "errcode": 0, "message": "success"}]
    until("the result", lambda: server.results() + other.results())
    assert server.results() + other.results() == wanted
    kids.agent.stop()
    kids.agent.start()
    until("a report to the pushed server", lambda: other.heard(STATUS))
    assert other.heard(STATUS)[-1].body["step"] == 1200
    other.close()


def test_what_happened_while_no_server_was_there_is_told_once(children, server):
    kids = children()
    kids.define("crasher", "exit 3", autorestart="no")
    port = int(server.address.rpartition(":")[2])
    server.close()
    kids.agent.start()
    until("the crash is noted", lambda: kids.categories("crasher") == ["exit"])
    # And so is the state: a kill in between would make a second event, of an end that nobody saw.
    kids.wait_for("crasher", "killed")
    kids.agent.kill()
    kids.agent.start()
    back = BootServer(port)

    def events() -> list[dict]:
        return [e for report in back.heard(STATUS) for e in report.body.get("events", [])]

    until("the event is delivered", events)
    reports = len(back.heard(STATUS))
    until("more reports", lambda: len(back.heard(STATUS)) >= reports + 3)
    [event] = [event for event in events() if event["subject"] == "crasher"]
    assert list(event)[:2] == ["timestamp", "category"]
    assert (event["category"], event["extra"]) == ("exit", "exit:3") and event["localid"] >= 1
    assert kids.events() == []
    assert reported(back, "crasher")["reason"] == "exit:3"
    back.close()


def test_events_that_were_not_heard_are_told_again(children, server):
    kids = children()
    kids.define("crasher", "exit 4", autorestart="no")

    def twist(exchange):
        if exchange.path == STATUS and exchange.body.get("events") and len(heard) < 2:
            exchange.status = 500
            heard.append(exchange.body["events"])

    heard: list = []
    server.twist = twist
    kids.agent.start()
    until("the event is accepted", lambda: len(heard) == 2 and kids.events() == [])
    told = [e for x in server.heard(STATUS) for e in x.body.get("events", []) if e["subject"] == "crasher"]
    assert len(told) == 3 and len({event["localid"] for event in told}) == 1


def test_a_result_of_a_child_survives_kill_9(children, server):
    kids = children()
    kids.define("steady", "exec sleep 600")

    def deaf(exchange):
        if exchange.path == RESULT:
            exchange.status = 500

    server.twist = deaf
    job = server.give(action="stop", name="steady")
    kids.agent.start()
    until("a delivery is tried", lambda: server.heard(RESULT))
    kids.agent.kill()
    # A server gives a job until it has the result.
    server.give(id=job, action="stop", name="steady")
    server.twist = lambda exchange: None
    tried = len(server.heard(RESULT))
    kids.agent.start()
    until("it is delivered", lambda: len(server.heard(RESULT)) > tried)
    reports = len(server.heard(STATUS))
    until("more reports", lambda: len(server.heard(STATUS)) >= reports + 3)
    accepted = [result for exchange in server.heard(RESULT)[tried:] for result in exchange.body]
    # Given again, the job is answered again, and not done again.
    assert all(result == {"id": job, "errcode": 0, "message": "success"} for result in accepted)
    assert kids.agent.logs().count("steady has stopped") == 1 and len(kids.pids("steady")) == 1


def test_a_sighup_makes_the_definitions_be_read_again(children, server):
    kids = children()
    kids.define("old", "exec sleep 600")
    kids.define("changed", "exec sleep 600")
    kids.agent.start()
    old, changed = kids.started("old"), kids.started("changed")
    until("both run", lambda: {reported(server, n).get("status") for n in ("old", "changed")} == {"running"})
    (kids.definitions / "old.json").unlink()
    kids.define("changed", "exec sleep 601")
    kids.define("new", "exec sleep 600")
    os.kill(kids.agent.program.process.pid, signal.SIGHUP)
    until("the new one runs", lambda: reported(server, "new").get("status") == "running")
    kids.started("changed", 2)
    until("what has no file is gone", lambda: reported(server, "old") == {} and not alive(old))
    assert not alive(changed) and kids.agent.program.alive()
