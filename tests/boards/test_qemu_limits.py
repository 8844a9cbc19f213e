"""Children of the agent on a board whose kernel has version 2 of control groups, with all its controllers.

Everything is measured in the guest, by its own clock and its kernel's counts: an emulated processor is slow.
"""

import json

import pytest

from boards.machine import PATIENCE
from harness.wait import until

GROUP = "/sys/fs/cgroup/stint"
# A megabyte every quarter of a second or so, two processes below the child; it needs no more than BusyBox.
LEAK = (
    r"x=\$(head -c 1048576 /dev/zero | tr \\\\0 x); while :; do y=\$y\$x; "
    r"echo \${#y} >/tmp/held; sleep 0.25; done"
)


class Guest:
    """The children of a board's agent, seen and changed from the board's shell."""

    def __init__(self, machine):
        self.machine = machine
        # What the kernel says of its kills would get between a command and its output.
        machine.shell("dmesg -n 1; mkdir -p /etc/stint/children.d")

    def write(self, path: str, content: dict) -> None:
        """Writes a file in one go: who looks for it finds it whole."""
        text = json.dumps(content).replace("'", "'\\''")
        self.machine.shell(f"echo '{text}' >/tmp/new; mv /tmp/new {path}")

    def start(self, name: str, script: str, **more: object) -> None:
        """Defines a child and restarts the agent, which starts it."""
        definition = {"name": name, "exec": "/bin/sh", "args": ["/tmp/script"], "autostart": True, **more}
        self.machine.shell(f"echo '{script}' >/tmp/script")
        self.write(f"/etc/stint/children.d/{name}.json", definition)
        self.machine.shell("/etc/init.d/S90stint restart >/dev/null 2>&1")
        self.wait_for(name, "running")

    def job(self, number: str, **members: object) -> None:
        """Hands in a job by the way of document steps, and waits until it is done."""
        inbox = "/var/lib/stint/supervise/inbox"
        self.write(f"{inbox}/{number}.json", {"id": number, **members})
        self.machine.shell(f"echo >{inbox}/bell")
        done = until(
            f"job {number} is done",
            lambda: self.machine.shell(f"cat {inbox}/{number}.result 2>/dev/null"),
            PATIENCE,
        )
        assert json.loads(done)["errcode"] == 0, done

    def child(self, name: str) -> dict:
        """What `stint status` says of it."""
        # The agent's own report is on the same line, and may get in between.
        lines = self.machine.shell("stint status --json").splitlines()
        said = next((json.loads(line) for line in lines if line.startswith("{")), {"children": []})
        return {child["name"]: child for child in said["children"]}.get(name, {})

    def events(self) -> list[str]:
        """The kinds of events so far."""
        events = self.machine.shell("for e in /var/lib/stint/supervise/events/*.json; do cat $e; echo; done")
        return [json.loads(line)["category"] for line in events.splitlines() if line.startswith("{")]

    def wait_for(self, name: str, status: str) -> dict:
        """Waits until it has this state; what is said of it then."""

        def probe() -> dict | None:
            child = self.child(name)
            return child if child.get("status") == status else None

        return until(f"{name} is {status}", probe, PATIENCE)

    def percent(self, name: str, seconds: int) -> float:
        """Percent of a core that a child uses over a time."""
        look = f"cat /proc/uptime; sed -n 's/usage_usec //p' {GROUP}/{name}/cpu.stat"
        words = self.machine.shell(f"{look}; sleep {seconds}; {look}").split()
        start, _, before, end, _, after = (float(word) for word in words)
        return (after - before) / 10_000 / (end - start)


@pytest.fixture
def guest(machine, node):
    """A board with an agent that is online and has no children yet."""
    machine.switch_on()
    node()
    assert {"cpu", "memory"} <= set(machine.shell("cat /sys/fs/cgroup/cgroup.controllers").split())
    return Guest(machine)


def test_a_board_holds_a_burner_at_a_tenth_of_a_core_and_changes_that_live(guest, capsys):
    """T1 and T4, cgroup v2."""
    guest.start("burner", "while :; do :; done", limits={"CPU": "10%"})
    assert "limits of burner: CPU hard" in guest.machine.shell("grep 'limits of' /run/stint.log")
    used = guest.percent("burner", 30)
    pid = guest.child("burner")["pid"]
    guest.job("more", action="config", name="burner", limits={"CPU": "40%"})
    more = guest.percent("burner", 15)
    with capsys.disabled():
        print(f"\n{guest.machine.board.name}, cgroup v2: {used:.1f} % of a core, then {more:.1f} %")
    assert 8 <= used <= 12 and 32 <= more <= 48
    assert guest.child("burner")["pid"] == pid and guest.events() == []


def test_a_board_kills_a_whole_tree_for_a_grandchilds_memory_with_exactly_one_event(guest):
    """T2 and T3, cgroup v2; and the groups go with the child."""
    script = f'setsid sh -c "{LEAK}" & setsid sleep 1000 & sleep 1000'
    guest.start("leaker", script, limits={"memory": "20M"})
    child = guest.wait_for("leaker", "killed")
    assert child["reason"] == "oom" and child["nextStart"] > 0
    assert guest.events() == ["limit"]
    assert 4 << 20 <= int(guest.machine.shell("cat /tmp/held")) <= 20 << 20
    left = guest.machine.shell(r"cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 1[0]00'")
    assert left == "0", "processes of the tree are left"
    assert guest.machine.shell(f"cat {GROUP}/leaker/cgroup.procs") == ""
    guest.job("away", action="uninstall", name="leaker")
    assert guest.machine.shell("ls -d /sys/fs/cgroup/stint* 2>/dev/null") == ""
