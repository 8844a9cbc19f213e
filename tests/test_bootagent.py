"""The BootAgent protocol as its founding page has it, with a server that signs nothing."""

import json
import socket

import pytest

from harness.bootserver import REGISTER, RESULT, STATUS, BootServer
from harness.wait import until

JOB = "ddc8a9b9-55bd-4ddd-b53d-47095ee19466"


@pytest.fixture
def agent(new_agent, server, home):
    """An agent that knows that server, reports every second and takes jobs that nobody signed."""
    agent = new_agent()
    configure(agent, server.address)
    return agent


def configure(agent, servers: str, **more: object) -> None:
    """Writes the agent's configuration."""
    bootagent = {"servers": servers, "step": 1, "acceptUnsignedJobs": True, **more}
    agent.config = agent.home / f"{agent.name}.json"
    children = str(agent.home / "children.d")
    agent.config.write_text(json.dumps({"bootagent": bootagent, "childrenDir": children}))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_agent_introduces_itself_once_and_then_reports(agent, server):
    agent.start()
    until("three reports", lambda: len(server.heard(STATUS)) >= 3)
    [first] = server.heard(REGISTER)
    assert list(first.body)[:2] == ["hostname", "agentsn"]
    report = server.heard(STATUS)[0].body
    members = ["hostname", "version", "uptime", "timestamp", "step", "agents"]
    assert list(report)[:6] == members
    assert report["agentsn"] == first.body["agentsn"]
    assert report["agents"] == [] and report["step"] == 1
    code, said = agent.status()
    assert code == 0 and said["link"] == "bootagent" and said["online"] and said["registered"]
    assert said["bootagent"]["agentsn"] == first.body["agentsn"]
    assert said["bootagent"]["tags"] == "service=ecs,component"


def test_each_exchange_has_a_connection_of_its_own(agent, server):
    agent.start()
    until("five exchanges", lambda: len(server.exchanges) >= 5)
    assert all(exchange.headers["connection"] == "close" for exchange in server.exchanges)
    peers = [exchange.peer for exchange in server.exchanges]
    assert len(set(peers)) == len(peers)


def test_an_id_that_another_agent_has_is_replaced_and_the_new_one_is_kept(agent, server):
    new = "dcb886e9-04ed-41bb-9c12-4d2de12cd59b"

    def conflict(exchange):
        if exchange.path == REGISTER:
            # As printed on the page, with its comment.
            exchange.answer = (
                f'{{\n\t"status": 0,\n\t"agentsn": "{new}",  # 如果上层判断有冲突\n"tags": "a=b"\n}}'
            )

    server.twist = conflict
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    assert server.heard(STATUS)[0].body["agentsn"] == new
    kept = agent.state / "bootagent.json"
    until("the answer is taken in", lambda: '"settled":true' in kept.read_text())
    agent.kill()
    count = len(server.exchanges)
    agent.start()
    until("a report after the restart", lambda: len(server.exchanges) > count)
    assert len(server.heard(REGISTER)) == 1
    assert server.exchanges[count].body["agentsn"] == new


def test_a_refused_registration_is_tried_again(agent, server):
    def refuse(exchange):
        if exchange.path == REGISTER and len(server.heard(REGISTER)) < 2:
            exchange.answer = '{"status": 7, "message": "no room"}'

    server.twist = refuse
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    assert len(server.heard(REGISTER)) == 3
    assert "registration was refused: 7: no room" in agent.logs()
    assert len({exchange.body["agentsn"] for exchange in server.heard(REGISTER)}) == 1


def test_results_are_delivered_until_they_are_accepted_and_no_further(agent, server):
    def refuse(exchange):
        if exchange.path == RESULT and len(server.heard(RESULT)) < 3:
            exchange.answer = '{"errcode": 1}'

    server.twist = refuse
    job = server.give(action="dance", name="BasicAgent")
    agent.start()
    until("four deliveries", lambda: len(server.heard(RESULT)) >= 4)
    reports = len(server.heard(STATUS))
    until("more reports", lambda: len(server.heard(STATUS)) >= reports + 3)
    bodies = [exchange.text for exchange in server.heard(RESULT)]
    assert len(bodies) == 4 and len(set(bodies)) == 1
    [result] = json.loads(bodies[0])
    assert list(result) == ["id", "errcode", "message"]
    assert result["id"] == job and result["errcode"] != 0
    assert '"action" is "dance"' in result["message"]


def test_a_result_survives_kill_9(agent, server):
    def deaf(exchange):
        if exchange.path == RESULT:
            exchange.status = 503

    server.twist = deaf
    job = server.give(action="stop", name="../etc")
    agent.start()
    until("a delivery", lambda: server.heard(RESULT))
    agent.kill()
    before = [exchange.text for exchange in server.heard(RESULT)]
    server.twist = lambda exchange: None
    agent.start()
    until("the delivery after the restart", lambda: len(server.heard(RESULT)) > len(before))
    last = server.heard(RESULT)[-1]
    assert last.text == before[0] and last.body[0]["id"] == job


def test_a_bad_job_never_hides_its_neighbours(agent, server):
    bad = server.give(action="config", step="soon")
    server.jobs.append({"action": "stop", "name": "a"})
    good = server.give(action="config", step=120)
    agent.start()
    until("two results", lambda: len(server.results()) >= 2)
    results = {result["id"]: result for result in server.results()}
    assert set(results) == {bad, good}
    assert '"step" must be a whole number of seconds' in results[bad]["message"]
    assert results[good] == {"id": good, "errcode": 0, "message": "success"}


def test_a_step_is_held_within_the_protocols_range_and_kept(agent, server):
    job = server.give(action="config", step=5)
    agent.start()
    until("the result", server.results)
    assert server.results() == [{"id": job, "errcode": 0, "message": "success; the step is 60 s, not 5"}]
    agent.stop()
    count = len(server.heard(STATUS))
    agent.start()
    until("a report", lambda: len(server.heard(STATUS)) > count)
    assert server.heard(STATUS)[-1].body["step"] == 60


def test_pushed_servers_come_first_and_replace_none(agent, server):
    other = BootServer()
    job = server.give(action="config", svrlist=f"{other.address},")
    agent.start()
    until("a report to the pushed server", lambda: other.heard(STATUS))
    assert {"id": job, "errcode": 0, "message": "success"} in server.results() + other.results()
    agent.kill()
    count = len(other.heard(STATUS))
    agent.start()
    until("a report to it after a restart", lambda: len(other.heard(STATUS)) > count)
    count = len(server.heard(STATUS))
    other.close()
    until("a report to the agent's own server", lambda: len(server.heard(STATUS)) > count)


def test_a_dead_pushed_server_costs_one_round(agent, server):
    dead = f"127.0.0.1:{free_port()}"
    server.give(action="config", svrlist=dead)
    agent.start()
    until("the result", server.results)
    # The first exchange after the change asks the dead one, and in the same breath the next.
    reports = len(server.heard(STATUS))
    until("reports go on", lambda: len(server.heard(STATUS)) >= reports + 2)
    assert dead in agent.logs()
    code, said = agent.status()
    assert code == 0 and said["bootagent"]["svrlist"] == f"http://{dead}"


def test_a_list_that_names_no_server_or_a_forbidden_one_changes_nothing(agent, server):
    wrong = server.give(action="config", svrlist="ftp://a:1,b")
    far = server.give(action="config", svrlist="192.168.9.1:1234,")
    agent.start()
    until("two results", lambda: len(server.results()) >= 2)
    results = {result["id"]: result for result in server.results()}
    assert results[wrong]["errcode"] != 0 and "ftp://a:1 is no server" in results[wrong]["message"]
    assert results[far]["errcode"] != 0 and "allowPlainHttp" in results[far]["message"]
    assert "svrlist" not in agent.status()[1]["bootagent"]


def test_servers_are_tried_in_turn(agent, server):
    configure(agent, f"127.0.0.1:{free_port()},{server.address}")
    agent.start()
    until("a report", lambda: server.heard(STATUS))


def test_a_server_that_signs_nothing_is_used_only_when_the_configuration_says_so(agent, server):
    configure(agent, server.address, acceptUnsignedJobs=False)
    agent.start()
    until("the refusal", lambda: "acceptUnsignedJobs" in agent.logs())
    until("a second try", lambda: len(server.heard(REGISTER)) >= 2)
    assert not server.heard(STATUS)
    code, said = agent.status()
    assert code == 1 and "the server hasn't signed it" in said["lastError"]


@pytest.mark.parametrize(
    ("name", "status", "answer"),
    [
        ("a portal's page", 200, "<html>log in</html>"),
        ("an error page", 500, "<html>oops</html>"),
        ("half an answer", 200, '{"errcode": 0, "jobs": [{"id": "1", "act'),
        ("no object", 200, "[1, 2]"),
        ("nothing", 200, ""),
        ("a megabyte of junk", 200, "junk" * 262_144),
        ("deep nonsense", 200, "[" * 100_000),
    ],
)
def test_a_bad_answer_is_harmless(agent, server, name, status, answer):
    bad = []

    def twist(exchange):
        if exchange.path == STATUS and len(bad) < 2:
            exchange.status, exchange.answer = status, answer
            bad.append(exchange)

    server.twist = twist
    agent.start()
    until(f"reports go on after {name}", lambda: len(server.heard(STATUS)) >= len(bad) + 2 and len(bad) == 2)
    assert agent.program.alive()
    assert "report failed" in agent.logs()
    assert len(server.heard(REGISTER)) == 1


def test_an_errcode_in_the_answer_to_a_report_is_ignored_as_the_page_says(agent, server):
    def twist(exchange):
        if exchange.path == STATUS:
            exchange.answer = json.dumps(
                {"errcode": 2, "jobs": [{"id": JOB, "action": "config", "step": 1200}]}
            )

    server.twist = twist
    agent.start()
    until("the result", server.results)
    assert server.results()[0] == {"id": JOB, "errcode": 0, "message": "success"}
    assert "report failed" not in agent.logs()
