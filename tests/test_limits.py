"""Children are held at their limits, for real, by what this machine has, and without that.

Each test runs twice where it can. `kernel` is this machine as it is: the id in the report says whether
version 1 or 2 of control groups limits there. `no-cgroups` is this machine in a mount namespace in which
/sys/fs/cgroup is an empty tmpfs. Version 2 with its controllers is shown on an emulated board
(tests/boards/test_qemu_limits.py).
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path

import pytest

from harness.agent import Agent
from harness.bootserver import STATUS
from harness.children import Children, alive, carrying
from harness.namespaces import WithoutGroups, may_mount
from harness.wait import until

_TICKS = os.sysconf("SC_CLK_TCK")
_BURN = "while :; do :; done"
# A megabyte every quarter of a second, and a note of how many it has. Python itself takes 8 or so.
_LEAK = """
import os, sys, time
held, note = [], sys.argv[1]
while len(held) < int(sys.argv[2]):
    held.append(bytearray(b'x' * 1048576))
    # At once: it is killed when nobody knows, and a note that is being written is empty.
    open(note + '.new', 'w').write(str(len(held)))
    os.replace(note + '.new', note)
    time.sleep(0.25)
time.sleep(600)
"""


def _mechanism() -> str:
    """What may limit both CPU and memory here: `v2`, `v1`, or nothing."""
    elder = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        point, (kind, _, options) = Path(before.split()[4]), after.split()
        usable = os.access(point, os.W_OK) and point.is_dir()
        if kind == "cgroup" and usable:
            elder.update(dict.fromkeys(options.split(",")))
        elif kind == "cgroup2" and usable:
            given = (point / "cgroup.subtree_control").read_text().split()
            ours = not (point / "cgroup.type").exists() and not any(p.is_dir() for p in point.iterdir())
            if ours:
                given = (point / "cgroup.controllers").read_text().split()
            if {"cpu", "memory"} <= set(given):
                return "v2"
    return "v1" if {"cpu", "memory"} <= set(elder) else ""


MECHANISM = _mechanism()
kernel = pytest.param(
    "kernel",
    id=f"kernel-cgroup-{MECHANISM}",
    marks=pytest.mark.skipif(
        not MECHANISM or os.geteuid() != 0, reason="needs root and control groups for CPU and memory"
    ),
)
no_cgroups = pytest.param(
    "no-cgroups", marks=pytest.mark.skipif(not may_mount(), reason="needs root, for a mount namespace")
)


@pytest.fixture
def kids(request, home, hub, activate):
    """Children of an agent that isn't started yet; the parameter says what it has to limit them."""
    agent = Agent(home) if request.param == "kernel" else WithoutGroups(home)
    agent.register(hub, activate())
    # Nobody is to be started again within a test, so that one kill is one event.
    children = Children(agent, cooldownSeconds=600)
    yield children
    children.clean_up()
    groups = [path for path in Path("/sys/fs/cgroup").glob(f"*/{children.cgroup}*")]
    assert groups == [], "groups are left"


def everywhere(*mechanisms):
    """The test runs with each of these."""
    return pytest.mark.parametrize("kids", mechanisms, indirect=True)


def polled(kids: Children) -> bool:
    """Whether the agent looks at limits instead of the kernel keeping them."""
    return isinstance(kids.agent, WithoutGroups)


def running(kids: Children, name: str) -> int:
    """The process of a child that runs."""
    pids = until(f"{name} is started", lambda: kids.pids(name))
    return pids[-1]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its children that have ended: the kernel's word, not the agent's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def percent(pid: int, seconds: float) -> float:
    """Percent of a core that a process uses over a time."""
    start, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - start)


def leak(kids: Children, name: str, megabytes: int = 1000) -> str:
    """A command that takes so much memory, bit by bit."""
    program = kids.notes / "leak.py"
    program.write_text(_LEAK)
    return f"{sys.executable} {program} {kids.notes / name} {megabytes}"


def held(kids: Children, name: str) -> int:
    """How many megabytes a leaking child has noted."""
    note = kids.notes / name
    return int(note.read_text() or 0) if note.exists() else 0


def job(kids: Children, action: str, name: str, **more: object) -> None:
    """Hands in a job by the way of document steps, and waits until it is done."""
    number = str(uuid.uuid4())
    inbox = kids.agent.state / "supervise" / "inbox"
    bell = until("the supervisor listens", lambda: next(inbox.glob("bell"), None))
    (inbox / "new").write_text(json.dumps({"id": number, "action": action, "name": name, **more}))
    (inbox / "new").rename(inbox / f"{number}.json")
    bell.write_bytes(b"!")
    answer = inbox / f"{number}.result"
    until(f"{action} of {name} is done", answer.exists)
    said = json.loads(answer.read_text())
    assert said["errcode"] == 0, said


@everywhere(kernel, no_cgroups)
def test_a_burner_is_held_at_a_tenth_of_a_core(kids, record_property):
    """T1. Measured over 30 s, in which a polled one is stopped and let go three times."""
    kids.define("burner", _BURN, limits={"CPU": "10%"})
    kids.agent.start()
    pid = running(kids, "burner")
    # The first second or so may pass before anybody looks.
    time.sleep(4)
    used = percent(pid, 30)
    record_property("percent of a core", round(used, 1))
    assert (4 <= used <= 15) if polled(kids) else (8 <= used <= 12), f"{used:.1f} %"
    assert kids.pids("burner") == [pid] and kids.events("burner") == []


@everywhere(kernel, no_cgroups)
def test_a_leaker_is_killed_at_its_limit_with_exactly_one_event(kids):
    """T2. It takes 4 MB a second and may have 20."""
    kids.define("leaker", f"exec {leak(kids, 'leaker')}", limits={"memory": "20M"})
    kids.agent.start()
    child = kids.wait_for("leaker", "killed")
    assert child["reason"] == ("limit:memory" if polled(kids) else "oom")
    assert child["nextStart"] > 500
    assert [event["category"] for event in kids.events("leaker")] == ["limit"]
    # Who is looked at gets a few seconds more than who is limited.
    assert 4 <= held(kids, "leaker") <= (20 + 4 * 6 if polled(kids) else 20)
    assert not alive(kids.pids("leaker")[0])
    time.sleep(2)
    assert [event["category"] for event in kids.events("leaker")] == ["limit"]


@everywhere(kernel, no_cgroups)
def test_a_grandchild_that_eats_memory_takes_the_whole_tree_down(kids):
    """T3. The leak is two processes below the child, in a session of its own; a brother only sleeps."""
    mark = f"TREE={uuid.uuid4()}"
    script = f"setsid sh -c '{leak(kids, 'grandchild')} & wait' & setsid sleep 600 & sleep 600"
    kids.define("tree", script, limits={"memory": "20M"}, envs=dict([mark.split("=")]))
    kids.agent.start()
    until("the tree has grown", lambda: len(carrying(mark)) >= 4)
    child = kids.wait_for("tree", "killed")
    assert child["reason"] == ("limit:memory" if polled(kids) else "oom")
    until("all of it is gone", lambda: carrying(mark) == [], 10)
    assert [event["category"] for event in kids.events("tree")] == ["limit"]


@everywhere(kernel)
def test_a_child_that_ends_because_the_kernel_killed_its_own_child_was_over_its_limit(kids):
    kids.define("parent", f"{leak(kids, 'parent')}; exit 7", limits={"memory": "20M"})
    kids.agent.start()
    assert kids.wait_for("parent", "killed")["reason"] == "oom"
    assert [event["category"] for event in kids.events("parent")] == ["limit"]


@everywhere(kernel, no_cgroups)
def test_a_limit_of_cpu_changes_without_a_restart(kids):
    """T4, CPU: from a tenth to a half of a core, and to none."""
    kids.define("burner", _BURN, limits={"CPU": "10%"})
    kids.agent.start()
    pid = running(kids, "burner")
    time.sleep(4)
    assert percent(pid, 10) < 21
    job(kids, "config", "burner", limits={"CPU": "50%"})
    time.sleep(3)
    used = percent(pid, 10)
    # A machine that runs other tests as well may not have half a core left.
    assert 15 <= used <= 65, f"{used:.1f} %"
    job(kids, "config", "burner", limits={})
    time.sleep(3)
    # This machine may have other things to do as well.
    assert percent(pid, 4) > 15
    assert kids.pids("burner") == [pid] and kids.status("burner") == "running"


@everywhere(kernel, no_cgroups)
def test_a_limit_of_memory_changes_without_a_restart_and_may_be_below_what_is_in_use(kids):
    """T4, memory: 64 MB are enough for it; then it may have 20."""
    kids.define("eater", f"exec {leak(kids, 'eater', 24)}", limits={"memory": "20M"})
    # The limit of the definition would kill it, so the job comes before it gets there.
    kids.agent.start()
    pid = running(kids, "eater")
    until("it leaks", lambda: held(kids, "eater") >= 1)
    job(kids, "config", "eater", limits={"memory": "64M"})
    until("it has all it wants", lambda: held(kids, "eater") == 24)
    time.sleep(2)
    assert kids.pids("eater") == [pid] and kids.status("eater") == "running"
    job(kids, "config", "eater", limits={"memory": "20M"})
    kids.wait_for("eater", "killed")
    assert [event["category"] for event in kids.events("eater")] == ["limit"]


@everywhere(kernel, no_cgroups)
def test_what_is_enforced_is_reported_and_never_overstated(kids, server):
    """T5, and its counterpart: `polled` without groups, `hard` with them; and it stays so."""
    config = json.loads(kids.agent.config.read_text())
    config["bootagent"] = {"servers": server.address, "step": 1, "acceptUnsignedJobs": True}
    kids.agent.config.write_text(json.dumps(config))
    kids.define("both", "exec sleep 600", limits={"CPU": "10%", "memory": "20M", "processes": 50})
    kids.define("none", "exec sleep 600")
    kids.agent.start()
    how = "polled" if polled(kids) else "hard"

    def enforced() -> dict:
        reports = server.heard(STATUS)
        body = reports[-1].body if reports else {"agents": []}
        running = {child["name"]: child for child in body["agents"] if child["status"] == "running"}
        return {"feature": body.get("feature"), **running} if len(running) == 2 else {}

    said = until("both children are reported", enforced)
    assert said["both"]["enforced"] == {"CPU": how, "memory": how}
    assert "enforced" not in said["none"]
    assert said["feature"] & 1 == (not polled(kids))
    assert f"limits of both: CPU {how}, memory {how}" in kids.agent.logs()
    # What somebody else takes away is put back by the next report, or no longer claimed.
    for limit in Path("/sys/fs/cgroup").glob(f"*/{kids.cgroup}/both/memory.limit_in_bytes"):
        limit.with_name("memory.memsw.limit_in_bytes").write_text("-1")
        limit.write_text("-1")
        assert int(limit.read_text()) > 20 << 20
        until("the limit is back", lambda limit=limit: int(limit.read_text()) == 20 << 20)
        assert enforced()["both"]["enforced"]["memory"] == "hard"


@everywhere(kernel)
def test_groups_are_removed_with_the_child_and_a_killed_agent_leaves_none_behind(kids):
    kids.define("one", "exec sleep 600", limits={"CPU": "10%"})
    kids.agent.start()
    pid = running(kids, "one")
    kids.wait_for("one", "running")
    groups = lambda: [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{kids.cgroup}/one")]  # noqa: E731
    assert groups() and any(kids.cgroup in line for line in Path(f"/proc/{pid}/cgroup").read_text().split())
    kids.agent.kill()
    assert alive(pid) and groups(), "the child and its limits outlive the agent"
    kids.agent.start()
    until("the agent is back", lambda: kids.status("one") == "running")
    (kids.definitions / "one.json").unlink()
    job(kids, "uninstall", "one")
    until("its groups are gone", lambda: groups() == [] and not alive(pid))
