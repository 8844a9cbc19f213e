"""The signed form of the BootAgent protocol: whom an agent believes, and what it proves."""

import json

import pytest

from harness.bootserver import REGISTER, STATUS, BootServer
from harness.signingserver import Key, SigningServer
from harness.wait import until


@pytest.fixture
def server():
    """A server that signs."""
    server = SigningServer()
    yield server
    server.close()


@pytest.fixture
def agent(new_agent, server):
    """An agent that knows that server, and believes nobody who doesn't sign."""
    agent = new_agent()
    configure(agent, server)
    return agent


def configure(agent, server, **more: object) -> None:
    """Writes the agent's configuration."""
    agent.config = agent.home / f"{agent.name}.json"
    children = str(agent.home / "children.d")
    bootagent = {"servers": server.address, "step": 1, **more}
    agent.config.write_text(json.dumps({"bootagent": bootagent, "childrenDir": children}))


def pins(server) -> str:
    """The keys that the agent showed last."""
    return server.heard(STATUS)[-1].headers["stint-pins"]


def test_every_request_is_signed_and_every_answer_believed_by_its_signature(agent, server):
    job = server.give(action="config", step=90)
    agent.start()
    until("the result", server.results)
    # The server of this test refuses what isn't signed by the agent's key.
    assert server.results() == [{"id": job, "errcode": 0, "message": "success"}]
    assert pins(server) == server.keys[0].id
    assert server.heard(REGISTER)[0].headers["stint-pins"] == ""
    assert len(server.nonces) == len(server.exchanges)
    assert agent.status()[0] == 0


def test_the_configured_key_is_the_only_one_that_may_sign_a_registration(agent, server):
    configure(agent, server, serverKey=Key().text)
    agent.start()
    until("the refusal", lambda: "signed by a key that this node doesn't know" in agent.logs())
    assert not server.heard(STATUS)
    agent.stop()
    configure(agent, server, serverKey=server.keys[0].text)
    agent.start()
    until("a report", lambda: server.heard(STATUS))


def _tampered(server, exchange, old):
    exchange.answer = exchange.answer[:-1] + " }"


def _replayed(server, exchange, old):
    exchange.answer, exchange.more = old.answer, {**exchange.more, **old.more}


def _by_another(server, exchange, old):
    exchange.more.update(server.signature(exchange, Key()))


def _by_a_liar(server, exchange, old):
    liar = Key()
    liar.id = server.keys[0].id
    exchange.more.update(server.signature(exchange, liar))


def _unsigned(server, exchange, old):
    del exchange.more["Stint-Key"], exchange.more["Stint-Signature"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (_tampered, "its signature is wrong"),
        (_replayed, "its signature is wrong"),
        (_by_another, "signed by a key that this node doesn't know"),
        (_by_a_liar, "its signature is wrong"),
        (_unsigned, "the server hasn't signed it"),
    ],
)
def test_a_forged_answer_gives_no_job(agent, server, how, reason):
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    old = server.heard(STATUS)[0]
    forged = []

    def twist(exchange):
        if exchange.path == STATUS and len(forged) < 2:
            exchange.answer = json.dumps(
                {"errcode": 0, "jobs": [{"id": "x", "action": "config", "step": 77}]}
            )

    def forge(exchange):
        if exchange.path == STATUS and len(forged) < 2:
            how(server, exchange, old)
            forged.append(exchange)

    server.twist, server.forge = twist, forge
    until("two forged answers", lambda: len(forged) == 2)
    reports = len(server.heard(STATUS))
    until("reports go on", lambda: len(server.heard(STATUS)) >= reports + 2)
    assert reason in agent.logs()
    assert server.results() == []
    assert {exchange.body["step"] for exchange in server.heard(STATUS)} == {1}


def test_a_server_changes_its_keys_and_the_agent_follows(agent, server):
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    old = server.keys[0]
    new = Key()
    # Announced by the old one, which goes when the agent has heard.
    server.keys = [new, old]
    until("both keys are trusted", lambda: pins(server) == f"{new.id},{old.id}")
    server.keys = [new]
    until("the old one is forgotten", lambda: pins(server) == new.id)
    agent.kill()
    count = len(server.heard(STATUS))
    agent.start()
    until("a report after a restart", lambda: len(server.heard(STATUS)) > count)
    assert pins(server) == new.id
    # Whoever holds the old key has nothing to say any more.
    server.keys = [old]
    until("the old key is refused", lambda: "doesn't know; if the server has new" in agent.logs())


def test_an_agent_whose_clock_is_wrong_takes_the_servers_time(agent, server):
    server.ahead = 86_400 * 365
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    first, second = server.heard(REGISTER)
    assert (first.status, second.status) == (401, 200)
    assert all(exchange.status == 200 for exchange in server.heard(STATUS))
    assert abs(server.heard(STATUS)[0].body["timestamp"] - server._now()) < 60


def test_a_server_that_has_lost_an_agent_gets_it_back(agent, server):
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    server.agents.clear()
    count = len(server.exchanges)
    until("it registers again", lambda: len(server.heard(REGISTER)) == 2)
    until(
        "it reports again", lambda: server.exchanges[-1].path == STATUS and server.exchanges[-1].status == 200
    )
    assert server.exchanges[count].status == 401
    first, second = server.heard(REGISTER)
    assert first.body["key"] == second.body["key"]


def test_nobody_takes_over_an_agent_that_trusts_a_key(agent, server):
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    server.keys = [Key()]
    server.agents.clear()
    until("the stranger is refused", lambda: "isn't trusted" in agent.logs())
    assert len(server.heard(REGISTER)) == 1


def test_a_registration_by_hand_serves_the_daemon(new_agent, server):
    agent = new_agent()
    words = ["register", "--server", server.address, "--server-key", server.keys[0].text]
    words += ["--activation-id", "i", "--activation-code", "c", "--state-dir", agent.state]
    done = agent.command(*words)
    assert done.returncode == 0, done.stderr
    [request] = server.heard(REGISTER)
    assert (request.body["activationid"], request.body["activationcode"]) == ("i", "c")
    assert done.stdout.strip() == request.body["agentsn"]
    again = agent.command(*words)
    assert again.returncode == 1 and "say -y" in again.stderr
    # No configuration names a server: the registration does.
    agent.start()
    until("a report", lambda: server.heard(STATUS))
    assert server.heard(STATUS)[0].body["agentsn"] == request.body["agentsn"]
    busy = agent.command(*words, "-y")
    assert busy.returncode == 1 and "stop it first" in busy.stderr


def test_a_server_that_signs_nothing_takes_no_registration_by_hand(new_agent):
    plain = BootServer()
    agent = new_agent()
    done = agent.command("register", "--server", plain.address, "--state-dir", agent.state)
    assert done.returncode == 1 and "acceptUnsignedJobs" in done.stderr
    wrong = agent.command("register", "--server", "ftp://x", "--state-dir", agent.state)
    assert wrong.returncode == 1 and "ftp://x is no server" in wrong.stderr
    plain.close()
