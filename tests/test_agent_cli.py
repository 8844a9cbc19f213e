"""The agent's command line: registering again, the original's own flags, the configuration, the status."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.agent import Agent
from harness.clients import finished, shell, wait_until_online
from harness.programs import AGENT
from harness.wait import until


def registration(agent: Agent) -> bytes:
    """The registration as it is on disk."""
    return (agent.state / "registration.json").read_bytes()


def configure(agent: Agent, text: str, name: str = "agent.json") -> None:
    """Gives the agent a configuration file."""
    agent.config = agent.home / name
    agent.config.write_text(text)


def refused(done, *words: str) -> None:
    """The command failed, and its message has these words."""
    assert done.returncode != 0, done.stdout
    for word in words:
        assert word in done.stderr, done.stderr


# --- registering -------------------------------------------------------------------------------


def test_registering_again_asks_first_and_closed_input_means_no(hub, activate, new_agent):
    agent = new_agent()
    activation = activate(limit=3)
    first = agent.register(hub, activation)
    before = registration(agent)
    refused(agent.try_to_register(hub, activation), first, "-y")
    assert registration(agent) == before
    assert agent.register(hub, activation, "-y") != first


def test_a_failed_registration_leaves_the_old_one_working(hub, client, activate, new_agent):
    agent = new_agent()
    node = agent.register(hub, activate())
    before = registration(agent)
    wrong = {"ActivationId": "00000000-0000-0000-0000-000000000000", "ActivationCode": "x" * 20}
    refused(agent.try_to_register(hub, wrong, "-y"), "InvalidActivation")
    assert registration(agent) == before
    agent.start()
    until("it still comes online", lambda: agent.status()[1]["online"])
    assert agent.status()[1]["instanceId"] == node


def test_a_relative_state_folder_serves_all_the_way_to_a_command(hub, client, activate, new_agent):
    agent = new_agent()
    # A name of its own on this machine, as processes are found by it.
    agent.state = Path(f"relative-{agent.home.name}-{os.getpid()}")
    node = agent.register(hub, activate())
    agent.start()
    until("it comes online", lambda: agent.status()[1]["online"])
    assert finished(client, shell(client, [node], "echo here"), node)["StandardOutputContent"] == "here\n"


def test_a_hub_that_is_not_there_is_named_in_the_error(hub, activate, new_agent):
    activation = activate()
    hub.stop()
    refused(new_agent().try_to_register(hub, activation), hub.endpoint)


def test_the_activation_code_is_not_kept_or_printed(hub, activate, new_agent):
    agent = new_agent()
    activation = activate()
    done = agent.try_to_register(hub, activation)
    assert activation["ActivationCode"] not in done.stdout + done.stderr
    for path in agent.state.rglob("*"):
        if path.is_file():
            assert activation["ActivationCode"].encode() not in path.read_bytes(), path


def test_the_state_directory_is_for_its_owner_only(hub, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    assert agent.state.stat().st_mode & 0o077 == 0
    for path in agent.state.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("key_type", ["ed25519", "rsa"])
def test_both_key_types_register_and_come_online(hub, activate, new_agent, key_type):
    agent = new_agent()
    agent.register(hub, activate(), "--key-type", key_type)
    agent.start()
    until("it is online", lambda: agent.status()[1]["online"])


# --- under the original's name -----------------------------------------------------------------


@pytest.fixture
def as_original(hub, new_agent, home):
    """The agent, started as `amazon-ssm-agent` with the original's configuration file."""
    link = home / "amazon-ssm-agent"
    os.symlink(AGENT, link)
    agent = new_agent()
    original = {
        "Ssm": {"Endpoint": hub.endpoint},
        "Mds": {"Endpoint": hub.endpoint},
        "Identity": {"ConsumptionOrder": ["OnPrem"]},
    }
    configure(agent, json.dumps(original), "amazon-ssm-agent.json")

    def run(*words: object):
        where = ["--config", agent.config, "--state-dir", agent.state]
        return agent.command(*words, *where, binary=link)

    run.agent = agent
    return run


def test_the_originals_flags_register_a_node(hub, activate, as_original):
    activation = activate()
    words = ["-register", "-y", "-region", hub.region]
    words += ["-code", activation["ActivationCode"], "-id", activation["ActivationId"]]
    done = as_original(*words)
    assert done.returncode == 0, done.stderr
    _code, status = as_original.agent.status()
    assert status["registered"] and status["region"] == hub.region


def test_the_original_configuration_file_serves_as_it_is(hub, client, activate, new_agent):
    agent = new_agent()
    original = {
        "Profile": {"ShareCreds": True},
        "Ssm": {"Endpoint": hub.endpoint, "HealthFrequencyMinutes": 5},
        "Mds": {"Endpoint": hub.endpoint, "CommandWorkersLimit": 3},
        "Mgs": {"Region": "none!"},
        "Identity": {"ConsumptionOrder": ["OnPrem"]},
        "Birdwatcher": {"ForceEnable": False},
    }
    configure(agent, json.dumps(original), "amazon-ssm-agent.json")
    agent.register(hub, activate())
    agent.start()
    until("it is online", lambda: agent.status()[1]["online"])
    # What stint does not honour is said once, by name.
    assert agent.logs().count("Birdwatcher.ForceEnable") == 1


def test_the_originals_version_flag_prints_its_line(as_original):
    done = as_original("-version")
    assert done.returncode == 0
    assert done.stdout.startswith("SSM Agent version: ")


def test_the_originals_clear_flag_forgets_the_registration(hub, activate, as_original):
    agent = as_original.agent
    agent.register(hub, activate())
    done = as_original("-register", "-clear")
    assert done.returncode == 0, done.stderr
    assert agent.status()[1]["registered"] is False


# --- configuration -----------------------------------------------------------------------------


def test_an_unknown_key_is_named_with_its_line(new_agent):
    agent = new_agent()
    configure(agent, '{\n  "region": "eu-central-1",\n  "bogusKey": 1\n}\n')
    refused(agent.command("run", "--config", agent.config, "--state-dir", agent.state), "bogusKey", "3")


def test_a_bad_value_is_named_with_its_key_and_line(new_agent):
    agent = new_agent()
    configure(agent, '{\n  "region": 7\n}\n')
    refused(agent.command("run", "--config", agent.config, "--state-dir", agent.state), "region", "2")


def test_a_broken_file_is_named_with_its_line(new_agent):
    agent = new_agent()
    configure(agent, '{\n  "region": "eu-central-1",\n')
    done = agent.command("run", "--config", agent.config, "--state-dir", agent.state)
    refused(done, str(agent.config))


def test_plain_http_to_another_host_is_refused_unless_the_configuration_allows_it(new_agent):
    """192.0.2.1 is an address for documentation; the refusal comes before anything is sent."""
    agent = new_agent()
    words = ["register", "--endpoint", "http://192.0.2.1:7400", "--region", "eu-central-1"]
    words += ["--activation-id", "00000000-0000-0000-0000-000000000000", "--activation-code", "x" * 20]
    refused(agent.command(*words, "--state-dir", agent.state), "http://192.0.2.1:7400", "https")


def test_a_device_is_not_registered_anew_under_a_running_agent(hub, client, activate, new_agent):
    """It would go on as the old node, and write that one's keys over the new one's."""
    agent = new_agent()
    node = agent.register(hub, activate())
    agent.start()
    wait_until_online(client, node)
    before = (agent.state / "registration.json").read_bytes()
    activation = activate()
    refused(agent.try_to_register(hub, activation, "-y"), "an agent is running", "stop it first")
    assert (agent.state / "registration.json").read_bytes() == before
    assert agent.stop() == 0
    assert agent.register(hub, activation, "-y") != node


# --- running and its status --------------------------------------------------------------------


def test_running_without_a_registration_says_how_to_register(new_agent):
    agent = new_agent()
    refused(agent.command("run", "--state-dir", agent.state), "register")


def test_the_status_tells_registered_running_and_online_apart(hub, activate, new_agent):
    agent = new_agent()
    code, status = agent.status()
    assert (code, status["registered"], status["running"]) == (1, False, False)

    node = agent.register(hub, activate())
    code, status = agent.status()
    assert (code, status["registered"], status["running"]) == (1, True, False)
    assert (status["instanceId"], status["region"]) == (node, hub.region)
    assert status["endpoint"] == hub.endpoint

    agent.start()
    until("the status is healthy", lambda: agent.status()[0] == 0)
    status = agent.status()[1]
    assert status["running"] and status["online"] and status["lastPing"]
    assert status["link"] == "ec2messages"
    assert status["pid"] in [process.pid for process in agent.daemons()]
    assert status["jobs"] == {"pending": 0, "running": 0, "completed": 0, "outbox": 0}

    assert agent.stop() == 0
    assert agent.status()[0] == 1


def test_the_status_for_people_says_the_same_in_words(agent):
    until("the status is healthy", lambda: agent.status()[0] == 0)
    done = agent.command("status", "--state-dir", agent.state)
    assert done.returncode == 0
    assert agent.node in done.stdout


def test_a_second_agent_on_the_same_state_is_refused_and_the_first_goes_on(agent):
    done = agent.command("run", "--state-dir", agent.state)
    refused(done, str(agent.state))
    assert agent.program.alive()


def test_the_help_lists_no_command_that_the_agent_alone_uses(new_agent):
    agent = new_agent()
    listed = [
        line.split()[0] for line in agent.command("--help").stdout.splitlines() if line.startswith("  ")
    ]
    assert {"run", "status", "version"} <= set(listed)
    assert not {"worker", "session", "install-package"} & set(listed)
    for word in ("worker", "session", "install-package"):
        assert agent.command(word, "--help").returncode == 2


def test_the_version_is_one_line(new_agent):
    agent = new_agent()
    done = agent.command("version")
    assert [agent.command(word).stdout for word in ("--version", "-V")] == [done.stdout] * 2
    assert done.returncode == 0
    assert done.stdout.startswith("stint ") and len(done.stdout.splitlines()) == 1


def test_an_unknown_command_is_a_usage_error(new_agent):
    refused(new_agent().command("frobnicate"), "frobnicate")


# --- how a program begins (decision 0039) ---------------------------------------------------------


def test_an_agent_without_standard_streams_writes_none_of_its_words_into_its_files(hub, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    script = 'exec "$0" run --state-dir "$1" <&- >&- 2>&-'
    words = ["sh", "-c", script, str(AGENT), str(agent.state)]
    with subprocess.Popen(words, env=agent.surroundings()) as started:
        until("it is online", lambda: agent.status()[0] == 0)
        open_files = [os.readlink(f"/proc/{started.pid}/fd/{number}") for number in range(3)]
        assert open_files == ["/dev/null"] * 3
        started.terminate()
    assert started.returncode == 0


def test_a_reader_that_has_gone_is_no_death():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([AGENT, "version"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
