"""Modules: what the agent does is listed by `stint status`, and one that fails takes no other along."""

import json

from harness.clients import finished, shell, wait_until_online
from harness.wait import until


def modules(agent) -> dict[str, dict]:
    """The modules that the agent lists, by name."""
    return {module["module"]: module for module in agent.status()[1]["modules"]}


def test_every_activity_is_listed_and_what_nobody_configured_is_disabled(online):
    agent = online()
    seen = modules(agent)
    for name in [
        "log-level",
        "links",
        "supervise",
        "spool",
        "ssm",
        "poll",
        "health",
        "deliver",
        "jobs",
        "reboot",
        "offline",
    ]:
        assert seen[name]["state"] == "running", seen
        assert (seen[name]["restarts"], seen[name]["lastError"]) == (0, None)
    assert seen["bootagent"]["state"] == "disabled"
    assert "registered with no server" in seen["bootagent"]["lastError"]
    text = agent.command("status", "--state-dir", agent.state).stdout
    line = next(line for line in text.splitlines() if line.startswith("modules      "))
    # In the order in which they were first heard of, which is nobody's promise.
    running = line.removeprefix("modules").removesuffix("running").strip().split(", ")
    assert set(running) == {name for name, module in seen.items() if module["state"] == "running"}
    assert "module       bootagent disabled since " in text


def test_a_supervisor_that_cannot_start_takes_no_commands_along_and_starts_when_it_can(
    hub, client, activate, new_agent
):
    agent = new_agent()
    agent.register(hub, activate())
    (agent.state / "children").write_text("in the way")
    agent.start()
    wait_until_online(client, agent.node)
    command = shell(client, [agent.node], "echo done")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "done\n"
    failed = until("it fails", lambda: _in_state(agent, "supervise", "failed"), 30)
    assert f"{agent.state}/children" in failed["lastError"]
    # The node is online, and yet not as it should be: both who look are told.
    code, status = agent.status()
    assert (code, status["online"], status["healthy"]) == (1, True, False)
    (told,) = until("the server is told", lambda: _told(client, agent))
    assert told["Name"] == "supervise" and told["Reason"] == failed["lastError"]
    shown = [line.split("\t") for line in hub.node("show", agent.node).splitlines()]
    assert ["module", "supervise", failed["lastError"]] in [line[:3] for line in shown]
    assert hub.node("list").splitlines()[0].endswith("\tFAILING")
    agent_check = next(check for check in _diagnosis(agent) if check["check"] == "agent")
    assert agent_check["result"] == "fail" and "its module supervise has failed" in agent_check["evidence"]
    (agent.state / "children").unlink()
    mended = until("it is started again", lambda: _running(agent, "supervise"), 60)
    assert mended["restarts"] >= 1
    until("it is healthy", lambda: agent.status()[0] == 0)
    until("the server is told so", lambda: not _told(client, agent))


def test_a_failure_that_ended_while_the_agent_was_stopped_is_taken_back(hub, client, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    (agent.state / "children").write_text("in the way")
    agent.start()
    until("the server is told", lambda: _told(client, agent))
    agent.stop()
    (agent.state / "children").unlink()
    agent.start()
    until("the server is told so", lambda: not _told(client, agent))


def test_a_spool_that_cannot_be_opened_takes_nothing_else_along(hub, client, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    (agent.state / "spool").write_text("in the way")
    agent.start()
    failed = until("it fails", lambda: _in_state(agent, "spool", "failed"), 30)
    assert f"{agent.state}/spool" in failed["lastError"]
    assert modules(agent)["supervise"]["state"] == "running"
    (agent.state / "spool").unlink()
    wait_until_online(client, agent.node)
    assert _running(agent, "ssm")
    agent.stop()
    assert "stopping on signal 15" in agent.logs()


def test_a_link_that_cannot_be_made_at_the_start_is_made_when_it_can(hub, client, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    agent.config = agent.state.parent / "config.json"
    agent.config.write_text(json.dumps({"bootagent": {"servers": "http://127.0.0.1:1"}}))
    identity = agent.state / "bootagent.json"
    identity.mkdir()
    agent.start()
    failed = until("it fails", lambda: _in_state(agent, "bootagent", "failed"), 30)
    assert str(identity) in failed["lastError"]
    wait_until_online(client, agent.node)
    identity.rmdir()
    until("it is made", lambda: _running(agent, "bootagent"), 60)
    until("it has an id", identity.is_file)


def _told(client, agent) -> list[dict]:
    """The modules of which the server has heard that they fail."""
    wanted = {"InstanceId": agent.node, "TypeName": "Custom:StintModule"}
    return client.list_inventory_entries(**wanted)["Entries"]


def _diagnosis(agent) -> list[dict]:
    return json.loads(agent.command("diagnose", "--json", "--state-dir", agent.state).stdout)["checks"]


def _running(agent, name: str) -> dict | None:
    return _in_state(agent, name, "running")


def _in_state(agent, name: str, state: str) -> dict | None:
    module = modules(agent).get(name, {})
    return module if module.get("state") == state else None
