"""A watchdog of the kernel's own on an emulated board: the guardian feeds it, until nothing else helps."""

import re

from boards.machine import PATIENCE
from harness.clients import finished, shell, wait_until_online
from harness.wait import until

DEADLINE = 3
# Seconds without food.
BITES = 5
# The daemon is the last that was started.
KILL = r"kill -9 $(pidof stint | tr ' ' '\n' | sort -n | tail -n 1)"
DOG = "/sys/class/watchdog/watchdog0"


def boots(machine) -> list[str]:
    """Why the board came up, boot by boot. Each start of the agent in a boot says the same."""
    said = [re.search(r"stint: boot id=(\S+) reason=(\S+)", line) for line in machine.reports()]
    return [reason for _, reason in dict.fromkeys(match.groups() for match in said if match)]


def test_a_board_is_fed_and_when_its_daemon_cannot_be_brought_back_it_is_reset_and_says_so(
    machine, client, node
):
    dog = {"watchdog": "/dev/watchdog", "watchdogSeconds": BITES}
    machine.configure(guardian={"enabled": True, "deadlineSeconds": DEADLINE, **dog})
    machine.switch_on()
    name = node()
    # Opened when the daemon was first heard.
    dog = f"cat {DOG}/identity {DOG}/state {DOG}/timeout"
    is_on = ["active", str(BITES)]
    until("the watchdog is on", lambda: machine.shell(dog).split("\n")[1:] == is_on, PATIENCE)
    # It is fed also while the daemon is killed, and for longer than it would wait.
    machine.shell(f"dmesg -n 1; {KILL}")
    machine.shell(f"sleep {3 * BITES}")
    until("another daemon runs", lambda: machine.status()["guardian"]["count"] == 1, PATIENCE)
    assert finished(client, shell(client, [name], "echo fed"), name, 120)["StandardOutputContent"] == "fed\n"

    # No daemon can have its lock. After the reset it can: that was in memory.
    machine.shell("mount -t tmpfs none /var/lib/stint/run && mkdir /var/lib/stint/run/lock")
    machine.shell(KILL)
    machine.goes_off()
    machine.switch_on()
    machine.says("reason=watchdog")
    wait_until_online(client, name)
    seen = machine.status()["guardian"]
    assert seen["last"][-1]["reason"] == "the watchdog has reset the board", seen

    # An end in good order stops it, and the next boot is one like any other.
    machine.type("reboot")
    machine.goes_off()
    machine.switch_on()
    until("the third boot is reported", lambda: len(boots(machine)) == 3, PATIENCE)
    # Of the first nobody knew anything.
    assert boots(machine) == ["unknown", "watchdog", "clean"]
