"""The audit log: who wanted what of a device, in a chain that shows what was changed."""

import json
import os
import signal

from harness.bootserver import STATUS
from harness.clients import finished, shell, wait_until_online
from harness.faults import Faults
from harness.programs import HUB, run
from harness.releases import NEXT, Releases
from harness.updating import Updating
from harness.wait import until


def records(agent) -> list[dict]:
    """What `stint audit` shows."""
    done = agent.command("audit", "--json", "--state-dir", agent.state)
    return [json.loads(line) for line in done.stdout.splitlines()]


def events(agent) -> list[str]:
    """The names of what happened."""
    return [record["event"] for record in records(agent)]


def verify(agent):
    """`stint audit --verify`."""
    return agent.command("audit", "--verify", "--state-dir", agent.state)


def of_the_hub(hub, agent, *options: str):
    """`stint-hub audit` of the agent's node."""
    return run([HUB, "audit", *options, agent.node, "--data", hub.data], hub.home)


def configure(agent, home, **audit) -> None:
    """A configuration with `audit`, from the next start on."""
    agent.config = home / f"{agent.name}.json"
    agent.config.write_text(json.dumps({"audit": audit}))


def test_registration_start_commands_and_stop_are_recorded(online, client):
    agent = online()
    command = shell(client, [agent.node], "exit 3")
    assert finished(client, command, agent.node)["Status"] == "Failed"
    until("its end is recorded", lambda: "command.ended" in events(agent))
    agent.stop()
    seen = records(agent)
    assert events(agent) == [
        "node.registered", "agent.started", "config.changed", "command.accepted", "command.ended",
        "agent.stopped",
    ]  # fmt: skip
    assert seen[0]["who"].startswith("user ") and agent.node in seen[0]["what"]
    assert seen[3]["who"] == "ec2messages"
    assert f"id={command} document=AWS-RunShellScript sha256=" in seen[3]["what"]
    assert seen[4]["what"] == f"id={command} status=Failed"
    done = verify(agent)
    assert (done.returncode, done.stdout) == (0, "records 1 to 6\nthe chain holds\n")
    # The same configuration is no change.
    agent.start()
    until("it runs again", lambda: events(agent)[-1] == "agent.started")


def test_where_there_is_no_log_the_chain_does_not_hold(new_agent):
    done = verify(new_agent())
    assert (done.returncode, done.stdout) == (1, "") and "there is no record in " in done.stderr


def test_a_record_is_one_write_to_the_disk_where_the_log_is_there_already(
    hub, client, activate, new_agent, home
):
    agent, faults = new_agent("agent"), Faults(home / "faults")
    agent.environment = faults.environment()
    agent.register(hub, activate())
    agent.start()
    wait_until_online(client, agent.node)

    def synced() -> tuple[int, int]:
        names = [place.name for place in faults.places() if place.role == "run"]
        return names.count("fsync audit/log"), names.count(f"fsync {agent.state.name}/audit")

    files, folders = synced()
    assert files and folders, "its first record may be the first of all"
    finished(client, shell(client, [agent.node], "true"), agent.node)
    until("its end is recorded", lambda: "command.ended" in events(agent))
    assert synced() == (files + 2, folders)


def test_a_record_that_somebody_changed_or_removed_breaks_the_chain(online):
    agent = online()
    agent.stop()
    log = agent.state / "audit" / "log"
    whole = log.read_text()
    log.write_text(whole.replace('"user ', '"loser '))
    done = verify(agent)
    assert done.returncode == 1 and "the chain is broken" in done.stdout
    assert "line 2 doesn't follow the line before" in done.stderr
    lines = whole.splitlines(keepends=True)
    log.write_text("".join(lines[:1] + lines[2:]))
    assert verify(agent).returncode == 1
    log.write_text(whole)
    assert verify(agent).returncode == 0


def test_the_hub_gets_the_log_when_that_is_switched_on_and_not_before(online, home, hub, client):
    agent = online()
    command = shell(client, [agent.node], "true")
    finished(client, command, agent.node)
    until("its end is recorded", lambda: "command.ended" in events(agent))
    assert of_the_hub(hub, agent).stdout == ""
    agent.stop()
    configure(agent, home, sendToHub=True)
    agent.start()
    shown = until("the hub has it", lambda: of_the_hub(hub, agent).stdout)
    assert "node.registered" in shown and f"id={command} status=Success" in shown
    # It is the log itself, line by line.
    until(
        "the hub has all",
        lambda: of_the_hub(hub, agent, "--raw").stdout == (agent.state / "audit" / "log").read_text(),
        patience=90,
    )
    assert of_the_hub(hub, agent).returncode == 0
    assert agent.node in run([HUB, "audit", "--data", hub.data], hub.home).stdout


def test_the_hub_says_why_it_has_nothing_of_a_node(hub, node):
    done = of_the_hub(hub, node)
    assert (done.returncode, done.stdout) == (0, "") and "sendToHub" in done.stderr
    done = run([HUB, "audit", "mi-nope", "--data", hub.data], hub.home)
    assert done.returncode == 1 and "there is no node mi-nope" in done.stderr


def test_the_hub_shows_that_the_log_was_begun_anew(online, home, hub):
    agent = online()
    agent.stop()
    configure(agent, home, sendToHub=True)
    agent.start()
    until("the hub has it", lambda: of_the_hub(hub, agent).stdout)
    agent.stop()
    for file in (agent.state / "audit").iterdir():
        file.unlink()
    agent.start()
    done = until("the hub has the new one", lambda: _if(of_the_hub(hub, agent), 1))
    assert "doesn't follow the line before" in done.stdout
    assert "the chain is broken in 1 place" in done.stderr


def test_the_log_is_bounded_and_its_chain_goes_on(online, home):
    agent = online()
    agent.stop()
    configure(agent, home, maxKiB=16)
    starts = 0
    # Some more than fill the first file: what a short life has to record isn't the same each time.
    while starts < 25 or not (agent.state / "audit/log.1").exists():
        agent.start()
        until("it runs", lambda: agent.status()[1]["running"])
        agent.stop()
        starts += 1
        assert starts < 100
    sizes = [(agent.state / "audit" / name).stat().st_size for name in ["log", "log.1"]]
    assert sum(sizes) < 20 * 1024, sizes
    assert verify(agent).returncode == 0
    assert events(agent).count("agent.started") >= 20


def named(agent, event: str) -> list[dict]:
    """The records of what is called so."""
    return [record for record in records(agent) if record["event"] == event]


def test_a_restart_by_the_guardian_is_recorded_with_its_reason(hub, client, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    agent.guarded = True
    agent.start()
    wait_until_online(client, agent.node)
    assert named(agent, "agent.restarted") == []
    os.kill(agent.daemon(), signal.SIGKILL)
    (record,) = until("it is recorded", lambda: named(agent, "agent.restarted"))
    assert record["who"] == "guardian"
    assert record["what"] == 'reason="it was killed by signal 9" count=1'
    # A start that nobody had to bring about is none.
    until("it is online again", lambda: agent.status()[1]["online"])
    agent.stop()
    agent.start()
    until("it runs again", lambda: len(named(agent, "agent.started")) >= 3)
    assert len(named(agent, "agent.restarted")) == 1
    assert verify(agent).returncode == 0


def test_an_update_is_recorded_from_its_beginning_to_its_end(home, hub, client, activate):
    releases, agent = Releases(home, hub), Updating(home, "device")
    try:
        agent.configure(releases)
        agent.register(hub, activate())
        releases.learn_file(agent)
        agent.start()
        agent.keep_up()
        wait_until_online(client, agent.node)
        # This one dies three times, and nobody else would tell of its trial.
        releases.publish(NEXT, releases.script(NEXT, "kill -SEGV $$"))
        assert agent.update("--apply").returncode == 1
        until("it is recorded", lambda: named(agent, "update.taken-back"))
    finally:
        agent.clean_up()
    (begun,), (back,) = named(agent, "update.begun"), named(agent, "update.taken-back")
    assert begun["who"].startswith("user ") and begun["what"].startswith(f"version={NEXT} from=")
    assert back["who"] == "agent" and back["what"].startswith(f"version={NEXT} from=")
    assert "why=\"it was started 3 times and the server didn't hear it" in back["what"]
    assert begun["number"] < back["number"] and named(agent, "update.kept") == []


def test_what_a_person_at_the_device_asks_for_is_recorded_with_their_user(online, home, client, hub):
    agent = online()
    (home / "greet.json").write_text(
        json.dumps({"schemaVersion": "1.2", "runtimeConfig": {"aws:runShellScript": {"properties": []}}})
    )
    person = f"user {os.getuid()} (ada)"
    say = lambda *words: agent.command(*words, "--state-dir", agent.state, SUDO_USER="ada")  # noqa: E731
    assert say("log-level", "debug").returncode == 0
    done = say("send-offline", home / "greet.json")
    assert done.returncode == 0, done.stderr
    id = done.stdout.strip()
    (level,) = named(agent, "log-level.changed")
    assert (level["who"], level["what"]) == (person, "level=debug")
    (sent,) = named(agent, "document.submitted")
    assert (sent["who"], sent["what"]) == (person, f"id={id} file={home}/greet.json")
    (taken,) = until("it is taken", lambda: named(agent, "command.accepted"))
    assert taken["who"] == "local folder" and taken["what"].startswith(f"id={id} ")
    assert named(agent, "node.registered")[0]["who"].startswith(f"user {os.getuid()}")


def test_a_session_that_is_refused_is_recorded_with_who_wanted_it(hub, client, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    agent.config = agent.home / "agent.json"
    agent.config.write_text(json.dumps({"session": {"enabled": False}}))
    agent.start()
    wait_until_online(client, agent.node)
    session = until("it has a channel", lambda: _session(client, agent))
    (refused,) = until("it is recorded", lambda: named(agent, "session.refused"))
    assert refused["who"].endswith(f":user/{hub.credentials()[0]}")
    begin = f'id={session} document=SSM-SessionManagerRunShell why="sessions are switched off'
    assert refused["what"].startswith(begin)


def _session(client, agent) -> str | None:
    status = client.get_connection_status(Target=agent.node)["Status"]
    return client.start_session(Target=agent.node)["SessionId"] if status == "connected" else None


def test_jobs_of_a_bootagent_server_are_recorded(new_agent, server):
    agent = new_agent()
    agent.config = agent.home / "agent.json"
    bootagent = {"servers": server.address, "step": 1, "acceptUnsignedJobs": True}
    agent.config.write_text(json.dumps({"bootagent": bootagent}))
    job = {"id": "ddc8a9b9-55bd-4ddd-b53d-47095ee19466", "action": "stop", "name": "nobody"}

    def give(exchange):
        if exchange.path == STATUS and not server.results():
            exchange.answer = json.dumps({"errcode": 2, "jobs": [job]})

    server.twist = give
    agent.start()
    until("its end is recorded", lambda: named(agent, "job.ended"))
    (accepted,) = named(agent, "job.accepted")
    assert accepted["who"] == "bootagent"
    assert accepted["what"] == f"id={job['id']} action=stop child=nobody"
    ended = named(agent, "job.ended")[0]
    assert ended["what"] == f"id={job['id']} action=stop child=nobody errcode=3"


def _if(done, code: int):
    return done if done.returncode == code else None
