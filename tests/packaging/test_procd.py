"""The OpenWrt script, with functions in procd's and UCI's place that write down what they are told.

What procd does with that (it starts the command, starts it again, ends it alone) was seen with the
real one; here the contract is kept.
"""

import subprocess

import pytest

from harness.device import PACKAGING

# UCI answers from the lines `option=value` of $UCI; procd's functions print their words.
STUBS = """
set -eu
config_load() { [ "$1" = stint ]; }
uci() { sed -n "s/^$1=//p" "$UCI"; }
config_get() { value=$(uci "$3"); eval "$1=\\${value:-${4-}}"; }
config_get_bool() { config_get "$@"; }
procd_open_instance() { echo open; }
procd_close_instance() { echo close; }
procd_set_param() { echo "$*"; }
procd_append_param() { echo "+$*"; }
procd_add_reload_trigger() { echo "trigger $*"; }
"""


def told(tmp_path, function: str, options: str = "") -> list[str]:
    """What `function` of the script tells procd."""
    uci = tmp_path / "uci"
    uci.write_text(options)
    script = STUBS + f". {PACKAGING}/procd/stint.init\n{function}\n"
    done = subprocess.run(
        ["sh", "-c", script], env={"UCI": str(uci), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def shipped_options() -> str:
    """The UCI file we ship, as the stub reads it."""
    lines = (PACKAGING / "procd/stint.config").read_text().splitlines()
    options = [line.split(maxsplit=2) for line in lines if line.strip().startswith("option ")]
    return "".join(f"{name}={value.strip(chr(39))}\n" for _, name, value in options)


def test_as_shipped_the_agent_keeps_its_registration_out_of_the_memory_file_system(tmp_path):
    lines = told(tmp_path, "start_service", shipped_options())
    assert lines[:3] == ["open", "command /usr/sbin/stint run", "+command --state-dir /etc/stint/state"]
    assert lines[-1] == "close"


def test_what_a_system_upgrade_keeps_holds_the_registration():
    assert (PACKAGING / "procd/stint.keep").read_text().split() == ["/etc/stint/"]


def test_a_crashing_agent_is_never_given_up(tmp_path):
    respawn = [line for line in told(tmp_path, "start_service") if line.startswith("respawn ")]
    threshold, timeout, retry = respawn[0].split()[1:]
    assert retry == "0", "procd: no limit"
    assert 0 < int(timeout) < int(threshold)


def test_the_agent_has_time_to_end_and_its_log_goes_to_logd(tmp_path):
    lines = told(tmp_path, "start_service")
    assert "term_timeout 25" in lines
    assert "stdout 1" in lines
    assert "stderr 1" in lines


def test_a_configuration_named_in_uci_is_used_and_watched(tmp_path):
    lines = told(tmp_path, "start_service", "config=/data/agent.json\n")
    assert "+command --config /data/agent.json" in lines
    assert "file /data/agent.json" in lines


def test_the_default_configuration_need_not_exist(tmp_path):
    assert not [line for line in told(tmp_path, "start_service") if "--config" in line]


@pytest.mark.parametrize(("options", "starts"), [("enabled=0\n", False), ("enabled=1\n", True), ("", True)])
def test_uci_switches_the_agent_off(tmp_path, options, starts):
    assert bool(told(tmp_path, "start_service", options)) is starts


def test_a_change_in_uci_reloads_the_service(tmp_path):
    assert told(tmp_path, "service_triggers") == ["trigger stint"]
