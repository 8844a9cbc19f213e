"""What is too large for a server is told in smaller parts; nothing stands in the way of the rest for ever."""

import json
import uuid

import pytest

from harness.bootserver import RESULT, STATUS, BootServer, Exchange
from harness.children import Children
from harness.wait import until


@pytest.fixture
def server():
    """A server written from the founding page alone, which has no room for more than `server.room` bytes."""
    server = BootServer()
    server.room = 1 << 20
    server.refused = []

    def measure(exchange: Exchange) -> None:
        if len(exchange.text) > server.room:
            exchange.status, exchange.answer = 413, "too large"
            exchange.path += " refused"
            server.refused.append(exchange)

    server.twist = measure
    yield server
    server.close()


@pytest.fixture
def kids(new_agent, server):
    """An agent that reports every second to that server, which signs nothing."""
    kids = Children(new_agent())
    settings = json.loads(kids.agent.config.read_text())
    settings["bootagent"] = {"servers": server.address, "step": 1, "acceptUnsignedJobs": True}
    kids.agent.config.write_text(json.dumps(settings))
    yield kids
    kids.clean_up()


def waiting(kids: Children, what: str) -> int:
    """How many results or events wait for the server."""
    return len(list((kids.agent.state / "supervise" / what).glob("*.json")))


def leave_behind(kids: Children, results: dict[str, str]) -> None:
    """Results of an earlier agent, which knew no bounds."""
    folder = kids.agent.state / "supervise" / "results"
    folder.mkdir(parents=True)
    for number, (job, message) in enumerate(results.items(), 1):
        text = json.dumps({"id": job, "errcode": 1, "message": message})
        (folder / f"{number:010}.json").write_text(text)


def test_fifty_huge_results_arrive_once_each_in_bodies_that_the_server_takes(kids, server):
    server.room = 16 * 1024
    results = {str(uuid.uuid4()): f"{number} " + "x" * 5000 for number in range(50)}
    leave_behind(kids, results)
    kids.agent.start()
    until("all have arrived", lambda: len(server.results()) == 50)
    assert {result["id"]: result["message"] for result in server.results()} == results
    assert max(len(exchange.text) for exchange in server.heard(RESULT)) <= server.room
    # It has been found out once and not for each of them.
    assert 0 < len(server.refused) <= 5
    until("none waits", lambda: waiting(kids, "results") == 0)


def test_a_result_that_is_refused_alone_is_dropped_and_the_others_arrive(kids, server):
    server.room = 4096
    small, huge, last = (str(uuid.uuid4()) for _ in range(3))
    leave_behind(kids, {small: "small", huge: "x" * 10_000, last: "last"})
    kids.agent.start()
    until("the others have arrived", lambda: {result["id"] for result in server.results()} == {small, last})
    events = lambda: [e for x in server.heard(STATUS) for e in x.body.get("events", [])]  # noqa: E731
    told = until("it is told", lambda: [e for e in events() if e["category"] == "dropped"])
    assert told[0]["extra"] == huge and "too large" in told[0]["message"]
    assert f"the result of job {huge} (errcode 1) is dropped" in kids.agent.logs()
    assert waiting(kids, "results") == 0


def test_events_that_are_too_many_for_a_report_don_t_keep_it_back(kids, server):
    server.room = 4096
    folder = kids.agent.state / "supervise" / "events"
    folder.mkdir(parents=True)
    for number in range(1, 21):
        event = {"timestamp": 1, "category": "exit", "subject": "a", "extra": "", "message": "x" * 1000}
        (folder / f"{number:010}.json").write_text(json.dumps(event))
    kids.agent.start()
    told = lambda: [e["localid"] for x in server.heard(STATUS) for e in x.body.get("events", [])]  # noqa: E731
    until("the first are told", lambda: len(told()) >= 2)
    assert server.refused and server.heard(STATUS)


def test_the_messages_of_results_and_events_are_cut_and_say_so(kids, server):
    program = "/" + "x" * 10_000
    server.give(action="config", name="a", definition={"name": "a", "exec": program})
    job = server.give(action="start", name="a")
    kids.agent.start()
    result = until("it is answered", lambda: [r for r in server.results() if r["id"] == job])[0]
    events = lambda: [e for x in server.heard(STATUS) for e in x.body.get("events", [])]  # noqa: E731
    event = until("it is told", lambda: [e for e in events() if e["category"] == "exit"])[0]
    for told in (result, event):
        assert f"can't start {program[:3000]}" in told["message"]
        assert len(told["message"].encode()) <= 4096 and told["message"].endswith(" … (cut)")
