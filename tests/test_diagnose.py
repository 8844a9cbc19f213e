"""`stint diagnose`: what is wrong, what shows it, and what to do."""

import json
import socket
from pathlib import Path

from harness.wait import until


def diagnose(agent, *options: object) -> tuple[int, dict[str, dict]]:
    """The exit code, and the checks by name; of several the worst."""
    done = agent.command("diagnose", "--json", "--state-dir", agent.state, *options)
    answer = json.loads(done.stdout)
    assert answer["ok"] == (done.returncode == 0)
    order = ["skip", "pass", "warn", "fail"]
    checks = {}
    for check in sorted(answer["checks"], key=lambda check: order.index(check["result"])):
        assert set(check) == {"check", "target", "result", "evidence", "remedy"}
        assert check["evidence"] and (check["remedy"] or check["result"] in ("pass", "skip"))
        checks[check["check"]] = check
    return done.returncode, checks


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with what a write would change."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


def test_a_device_that_is_well_passes_every_check_and_nothing_is_changed(online):
    agent = online()
    agent.stop()
    before = tree(agent.state)
    code, checks = diagnose(agent)
    assert tree(agent.state) == before
    assert code == 1 and checks["agent"]["result"] == "fail"
    agent.start()
    until("it is healthy", lambda: agent.status()[0] == 0)
    code, checks = diagnose(agent)
    assert code == 0, checks
    for name in [
        "config",
        "version",
        "init",
        "agent",
        "state",
        "registration",
        "tcp",
        "endpoint",
        "credentials",
    ]:
        assert checks[name]["result"] == "pass", checks[name]
    assert agent.node in checks["registration"]["evidence"]
    status = agent.status()[1]
    assert status["healthy"] is True and status["stateDir"] == str(agent.state)
    assert checks["version"]["evidence"].startswith(f"stint {status['version']} for ")
    text = agent.command("diagnose", "--state-dir", agent.state).stdout
    assert f"pass  registration {agent.node} in eu-central-1" in text


def test_a_broken_configuration_is_told_and_the_rest_is_checked(online, home):
    agent = online()
    config = home / "broken.json"
    config.write_text('{\n"regoin": "x"}')
    code, checks = diagnose(agent, "--config", config)
    assert code == 1 and checks["config"]["result"] == "fail"
    assert 'line 2: there is no key "regoin"' in checks["config"]["evidence"]
    assert checks["credentials"]["result"] == "pass"


def test_a_device_that_nobody_registered_is_told_what_to_do(new_agent):
    code, checks = diagnose(new_agent())
    assert code == 1
    assert checks["registration"]["result"] == "warn" and "stint register" in checks["registration"]["remedy"]
    assert checks["endpoint"]["result"] == "skip"


def test_a_state_folder_that_is_named_from_here_is_looked_at_there(new_agent):
    agent = new_agent()
    done = agent.command("diagnose", "--state-dir", "nowhere")
    assert f"pass  state        {agent.home / 'nowhere'} isn't there yet" in done.stdout


def test_each_step_of_the_way_to_the_server_fails_by_its_own_name(online, hub, home):
    agent = online()
    config = home / "agent.json"

    def at(url: str) -> dict[str, dict]:
        config.write_text(json.dumps({"endpoint": url, "allowPlainHttp": True}))
        code, checks = diagnose(agent, "--config", config)
        assert code == 1
        return checks

    assert at("http://nobody.invalid:1")["dns"]["result"] == "fail"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        checks = at(f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert (checks["dns"]["result"], checks["tcp"]["result"]) == ("pass", "fail")
    assert checks["credentials"]["result"] == "skip"
    # The hub speaks no TLS here.
    checks = at(hub.endpoint.replace("http://", "https://"))
    assert (checks["tcp"]["result"], checks["tls"]["result"]) == ("pass", "fail")
    assert "port" in checks["tls"]["remedy"] and "caFile" not in checks["tls"]["remedy"]


def test_a_node_that_the_server_does_not_know_is_told_by_its_credentials(online, client):
    agent = online()
    client.deregister_managed_instance(InstanceId=agent.node)
    code, checks = diagnose(agent)
    assert code == 1 and checks["endpoint"]["result"] == "pass"
    assert checks["credentials"]["result"] == "fail" and "register it anew" in checks["credentials"]["remedy"]


def test_every_endpoint_is_looked_at_and_one_that_answers_is_enough(online, hub, home):
    agent = online()
    config = home / "agent.json"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
        config.write_text(json.dumps({"endpoint": [gone, hub.endpoint]}))
        code, checks = diagnose(agent, "--config", config)
        assert (checks["tcp"]["result"], checks["tcp"]["target"]) == ("warn", gone)
        assert (code, checks["credentials"]["result"]) == (0, "pass"), checks
        config.write_text(json.dumps({"endpoints": {"ssmmessages": gone}}))
        code, checks = diagnose(agent, "--config", config)
        assert (checks["tcp"]["result"], checks["tcp"]["target"]) == ("fail", gone)
        assert (code, checks["credentials"]["result"]) == (1, "pass"), checks
        # Who wants no channel needs no place for one.
        config.write_text(json.dumps({"endpoints": {"ssmmessages": gone}, "ssm": {"controlChannel": False}}))
        assert diagnose(agent, "--config", config)[0] == 0
