"""The agent replaces itself, from one real build to another, and goes back if that was a mistake."""

import hashlib
import shutil
import signal
import threading

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.programs import AGENT, run
from harness.releases import NEXT, Releases, next_build
from harness.updating import ONE_MINUTE, Updating
from harness.wait import until
from harness.web import Web


@pytest.fixture(scope="session")
def newer():
    """A real build with a version of its own."""
    return next_build()


@pytest.fixture
def releases(home, hub):
    """A release key and a hub that serves what it signs."""
    return Releases(home, hub)


@pytest.fixture
def device(home, hub, client, activate, releases):
    """A registered, running agent that knows the release key."""
    agents = []

    def make(**update) -> Updating:
        agent = Updating(home, f"device{len(agents)}")
        agents.append(agent)
        agent.configure(releases, **update)
        agent.register(hub, activate())
        releases.learn_file(agent)
        agent.start()
        wait_until_online(client, agent.node)
        return agent

    yield make
    for agent in agents:
        agent.clean_up()


def seen(client, node: str) -> dict:
    """What the hub says of a node."""
    (found,) = client.describe_instance_information()["InstanceInformationList"]
    assert found["InstanceId"] == node
    return found


def until_seen(client, node: str, version: str) -> dict:
    """Waits until the hub has heard that version."""
    return until(
        f"the hub hears version {version}",
        lambda: found if (found := seen(client, node))["AgentVersion"] == version else None,
    )


def test_a_good_update_takes_the_place_of_the_old_one_and_stays(client, device, releases, newer):
    agent = device()
    before = seen(client, agent.node)
    pid = agent.program.pid
    assert agent.update("--check").returncode == 0
    releases.publish(NEXT, newer)
    until("the hub serves it", lambda: seen(client, agent.node)["IsLatestVersion"] is False)
    check = agent.update("--check")
    assert (check.returncode, NEXT in check.stdout) == (10, True), check.stderr
    done = agent.update("--apply")
    assert done.returncode == 0, done.stderr + agent.logs()
    assert f"version {NEXT} runs in the place of {before['AgentVersion']}" in done.stdout
    assert until_seen(client, agent.node, NEXT)["IsLatestVersion"] is True
    assert agent.program.alive() and agent.program.pid == pid, "the daemon kept its process"
    agent.kill()
    agent.start()
    until("it is the new one again", lambda: f"stint {NEXT} runs as" in agent.logs().rpartition("kept")[2])
    assert agent.runs() == NEXT
    assert agent.update("--check").returncode == 0
    told = agent.command("audit", "--state-dir", agent.state).stdout
    assert told.count(" update.begun by user ") == told.count(" update.kept by agent ") == 1, told


def update_by_command(client, node: str, **parameters: str) -> str:
    """Sends AWS-UpdateSSMAgent; the command's id."""
    given = {name: [value] for name, value in parameters.items()}
    sent = client.send_command(DocumentName="AWS-UpdateSSMAgent", InstanceIds=[node], Parameters=given)
    return sent["Command"]["CommandId"]


def test_the_document_succeeds_when_the_server_has_heard_the_new_version(client, device, releases, newer):
    agent = device()
    releases.publish(NEXT, newer)
    found = finished(client, update_by_command(client, agent.node, version=NEXT), agent.node, 120)
    assert found["Status"] == "Success", found["StandardErrorContent"] + agent.logs()
    assert f"stint {NEXT} runs in the place of" in found["StandardOutputContent"]
    until_seen(client, agent.node, NEXT)
    again = finished(client, update_by_command(client, agent.node), agent.node)
    assert (again["Status"], "there is nothing to install" in again["StandardOutputContent"]) == (
        "Success",
        True,
    )


def test_a_new_version_that_crashes_is_taken_back_and_the_command_says_why(client, device, releases):
    agent = device()
    agent.keep_up()
    before = seen(client, agent.node)["AgentVersion"]
    releases.publish(NEXT, releases.script(NEXT, "kill -SEGV $$"))
    found = finished(client, update_by_command(client, agent.node), agent.node, 120)
    assert found["Status"] == "Failed"
    assert "started 3 times and the server didn't hear it" in found["StandardErrorContent"]
    assert (agent.respawns, agent.runs()) == (3, before)
    wait_until_online(client, agent.node)
    # It isn't tried again unless somebody says so.
    done = agent.update("--apply")
    assert (done.returncode, "had to be taken back" in done.stdout) == (0, True), done.stderr
    assert agent.status()[1]["update"]["bad"] == [NEXT]


@pytest.mark.long
def test_a_new_version_that_hangs_is_ended_by_the_kernel(device, releases):
    agent = device()
    releases.publish(NEXT, releases.script(NEXT, "exec sleep 3600"))
    waiting = threading.Thread(target=agent.update, args=("--apply",), daemon=True)
    waiting.start()
    until("it hangs", lambda: agent.status()[1]["update"].get("trial") == NEXT)
    until("it is ended", lambda: not agent.program.alive(), ONE_MINUTE * 60 + 30)
    assert agent.program.process.returncode == -signal.SIGALRM
    agent.keep_up()


@pytest.mark.long
def test_a_new_version_that_cannot_reach_the_server_gives_itself_up(hub, client, releases, device, newer):
    """Nobody reaches the server: the old version comes back, as nobody knows that the new one is good."""
    first = device()
    releases.publish(NEXT, newer)
    elsewhere = Web()
    for name in ("manifest.json", "manifest.json.sig", f"{NEXT}/{releases.file}"):
        elsewhere.serve(f"/{name}", (releases.folder / name).read_bytes())
    first.configure(releases, source=f"{elsewhere.url}/manifest.json")
    hub.stop()
    done = first.update("--apply")
    assert done.returncode == 1
    assert f"version {NEXT} was taken back: it didn't reach the server in 1 minutes" in done.stderr
    assert first.program.alive()
    hub.start()
    wait_until_online(client, first.node)
    assert seen(client, first.node)["AgentVersion"] == first.runs() != NEXT


def test_what_is_not_signed_or_not_whole_or_older_is_refused_and_nothing_is_touched(
    device, releases, newer, home
):
    agent = device()

    def refused(*words: object) -> str:
        done = agent.update("--apply", *words)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stdout + done.stderr
        assert agent.untouched()
        return done.stderr

    program = releases.script("0.0.5", "exit 1")
    releases.publish("0.0.5", program)
    assert "version 0.0.5 is older than" in refused("--version", "0.0.5")
    releases.mark("0.0.5", "Inactive")
    assert "version 0.0.5 is Inactive" in refused("--version", "0.0.5", "--allow-downgrade")
    assert "has no version 7" in refused("--version", "7")
    assert "is no version" in refused("--version", "new")

    releases.publish(NEXT, releases.script("98.0", "exit 1"))
    assert "it says that it is version 98.0" in refused()
    releases.publish("99.1", releases.script("99.1", "exit 1"))
    served = releases.hub.data / "updates" / "99.1" / releases.file
    whole = served.read_bytes()
    served.write_bytes(whole[: len(whole) // 2])
    assert "has not the checksum it should have" in refused()
    served.write_bytes(whole[:-1] + b"!")
    assert "has not the checksum it should have" in refused()
    served.unlink()
    assert "was refused" in refused()
    served.write_bytes(whole)

    manifest = releases.hub.data / "updates" / "manifest.json"
    good = manifest.read_bytes()
    digest = hashlib.sha256(whole).hexdigest()
    manifest.write_bytes(good.replace(digest.encode(), b"0" * 64))
    assert "isn't signed by a release key that this device knows" in refused()
    manifest.write_bytes(good)
    other = Releases(home, releases.hub, "other")
    agent.configure(other)
    assert "isn't signed by a release key that this device knows" in refused()
    agent.config.write_text("{}")
    assert "no release key is known" in refused()


def test_an_old_manifest_is_not_passed_off_as_new(device, releases):
    agent = device()
    releases.publish(NEXT, releases.script(NEXT, "exit 1"))
    folder = releases.hub.data / "updates"
    old = {name: (folder / name).read_bytes() for name in ("manifest.json", "manifest.json.sig")}
    releases.mark(NEXT, "Active")
    # Seen is enough.
    assert agent.update("--check").returncode == 10
    for name, content in old.items():
        (folder / name).write_bytes(content)
    done = agent.update("--check")
    assert done.returncode == 1 and "the manifest is an old one" in done.stderr


def test_a_manifest_names_the_key_that_follows_and_revokes_the_one_before(home, device, releases):
    agent = device()
    successor = Releases(home, releases.hub, "successor")
    releases.publish(NEXT, releases.script(NEXT, "exit 1"), "--next-key", successor.public)
    assert agent.update("--check").returncode == 10
    successor.folder, successor.file = releases.folder, releases.file
    kept = home / "kept"
    shutil.copytree(releases.folder, kept)
    successor.mark("0.0.1", "Deprecated", "--revoke-key", releases.public)
    assert agent.update("--check").returncode == 10
    # Nobody signs with it by mistake, and who does it on purpose isn't believed, whatever the serial number.
    mark = ["mark", "--dir", releases.folder, "--key", releases.key, "--version", "0.0.1", "Active"]
    assert f"the manifest revokes {releases.public}" in releases.try_command(*mark).stderr
    releases.folder = kept
    for _ in range(3):
        releases.mark("0.0.1", "Active")
    done = agent.update("--check")
    assert done.returncode == 1 and "isn't signed by a release key that this device knows" in done.stderr


def test_a_deprecated_version_replaces_itself_if_the_configuration_wants_that(
    client, device, releases, newer
):
    agent = device(automatic=True)
    running = seen(client, agent.node)["AgentVersion"]
    releases.publish(running, AGENT)
    releases.publish(NEXT, newer)
    assert agent.update("--automatic").returncode == 0
    assert agent.untouched(), "a newer version alone is no reason"
    releases.mark(running, "Deprecated")
    agent.stop()
    agent.start()
    until("the new version is kept", lambda: agent.runs() == NEXT, 90)
    until_seen(client, agent.node, NEXT)


def test_children_and_commands_go_on_while_the_agent_is_replaced(client, device, releases, newer, home):
    agent = device()
    releases.publish(NEXT, newer)
    go_on = home / "go-on"
    command = shell(
        client, [agent.node], "echo before", f"while [ ! -e {go_on} ]; do sleep 0.1; done", "echo after"
    )
    until("it runs", agent.workers)
    worker = agent.workers()[0].pid
    assert agent.update("--apply").returncode == 0, agent.logs()
    until_seen(client, agent.node, NEXT)
    assert [process.pid for process in agent.workers()] == [worker]
    go_on.touch()
    found = finished(client, command, agent.node)
    assert (found["Status"], found["StandardOutputContent"]) == ("Success", "before\nafter\n")


def test_below_a_guardian_it_is_the_same(client, device, releases, newer, home):
    agent = device()
    agent.stop()
    agent.guarded = True
    agent.start()
    until("the daemon runs", lambda: agent.status()[1]["online"])
    releases.publish(NEXT, newer)
    done = agent.update("--apply")
    assert done.returncode == 0, done.stderr + agent.logs()
    assert until_seen(client, agent.node, NEXT)["PingStatus"] == "Online"
    guardian = agent.program.pid
    assert agent.program.alive() and {p.pid for p in agent.daemons()} == {guardian, agent.daemon()}
    releases.publish("99.1", releases.script("99.1", "exit 1"))
    done = agent.update("--apply")
    assert done.returncode == 1 and "started 3 times" in done.stderr, done.stderr + agent.logs()
    assert (agent.runs(), agent.program.alive()) == (NEXT, True)
    until("it is online", lambda: agent.status()[1]["online"])
    assert {p.pid for p in agent.daemons()} == {guardian, agent.daemon()}


def on_a_small_disk(agent, size: int, first: str = ":") -> tuple[int, str]:
    """`stint update --apply` with so many bytes for updates; its code, and what there is afterwards."""
    folder = agent.state / "update"
    folder.mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size={size} none {folder} && cd {folder}"
    inside = f'{mount} && {{ {first}; "$@"; code=$?; find . -type f; exit $code; }}'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, "sh", AGENT, "update"]
    done = run([*command, "--apply", "--state-dir", agent.state, "--config", agent.config], agent.home)
    return done.returncode, done.stdout + done.stderr


def test_without_room_for_a_second_program_nothing_is_touched(device, releases, newer):
    agent = device()
    agent.stop()
    releases.publish(NEXT, newer)
    size = newer.stat().st_size
    code, said = on_a_small_disk(agent, size // 2, "mkdir -p slots/b; echo kept >slots/b/stint")
    assert code == 1 and f"there is no room for the new version: it needs {size + 65536} bytes" in said, said
    assert "slots/b/stint" in said and "slots/a" not in said
    # What is in the slot that is to be overwritten makes room.
    junk = f"mkdir -p slots/a; head -c {size} /dev/zero >slots/a/stint"
    code, said = on_a_small_disk(agent, size + size // 2, junk)
    assert code == 0 and "it is tried when the agent starts" in said, said
    assert "slots/a/stint" in said and "state.json" in said


def test_what_an_interrupted_download_has_left_makes_room(device, releases):
    agent = device()
    agent.stop()
    size = 1024 * 1024
    program = releases.script("98.0.0", f"exit 1\n: {'x' * size}")
    releases.publish("98.0.0", program)
    left = f"mkdir -p slots/a; head -c {size // 2} /dev/zero >slots/a/stint.stint-part"
    code, said = on_a_small_disk(agent, size + size // 4, left)
    assert code == 0 and "it is tried when the agent starts" in said, said
