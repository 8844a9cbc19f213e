"""An agent that a child has started: it is no part of that child, and outlives it.

So it goes where an init script, called by a child, restarts the agent: nobody else takes the new one out of
the child's groups, session and environment.
"""

import os
from pathlib import Path

import pytest

from harness.agent import Agent
from harness.children import Children, alive, carrying
from harness.namespaces import WithoutGroups, may_mount
from harness.programs import AGENT
from harness.wait import until

_HIERARCHIES = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")]


def _may_raise_limits() -> bool:
    """Whether what root starts here has CAP_SYS_RESOURCE."""
    status = Path("/proc/self/status").read_text().splitlines()
    held = next(line for line in status if line.startswith("CapEff")).split()[1]
    return bool(int(held, 16) & 1 << 24)


hidden = pytest.param(WithoutGroups, marks=pytest.mark.skipif(not may_mount(), reason="needs root"))


@pytest.fixture(params=[Agent, hidden], ids=["groups", "no-groups"])
def kids(request, home, hub, activate):
    """Children of an agent that isn't started yet, with control groups and without."""
    agent = request.param(home)
    agent.register(hub, activate())
    kids = Children(agent)
    yield kids
    kids.clean_up()


def started_from_inside(kids: Children, output: str, **definition: object) -> tuple[int, list[int]]:
    """Has a child start an agent after the first one was killed; the child, and the agent's processes."""
    go = kids.notes / "go"
    again = f"{AGENT} run --state-dir {kids.agent.state} --config {kids.agent.config}"
    once = f"if [ -e {go} ]; then rm {go}; {again} {output} & fi"
    kids.define("starter", f"while :; do {once}; sleep 0.1; done", stopsecs=5, **definition)
    kids.define("other", "exec sleep 600")
    kids.agent.start()
    child = kids.started("starter")
    kids.wait_for("starter", "running")
    kids.wait_for("other", "running")
    kids.agent.kill()
    go.touch()
    # It runs already, so this only shows that somebody looks after it.
    until("there is an agent again", lambda: kids.job("start", "other") == (0, "success"))
    return child, [process.pid for process in kids.agent.daemons()]


def groups(pid: int, kids: Children) -> list[str]:
    """Those groups of a process that children of this test have."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return [line for line in lines if f"/{kids.cgroup}/" in line]


def test_an_agent_that_a_child_has_started_outlives_the_child(kids):
    log = kids.agent.home / "second.log"
    child, agent = started_from_inside(kids, f">{log} 2>&1", limits={"memory": "200M"})
    assert agent and f"still runs as process {child}" in log.read_text()
    for pid in agent:
        # As the kernel shows it, and as adoption looks for it.
        mine = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"STINT_CHILD=" not in mine and b"STINT_START=" not in mine and b"HOME=" in mine
        assert groups(pid, kids) == []
        assert os.getsid(pid) != os.getsid(child)
        assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "0"
        limits = Path(f"/proc/{pid}/limits").read_text()
        data = next(line for line in limits.splitlines() if line.startswith("Max data size"))
        assert "unlimited" in data or not _may_raise_limits()
    # Who looks for the agent by its name finds it.
    assert AGENT.name in [Path(f"/proc/{pid}/comm").read_text().strip() for pid in agent]
    assert kids.job("stop", "starter") == (0, "success")
    assert not alive(child) and all(alive(pid) for pid in agent)
    # It goes on looking after both.
    assert kids.job("start", "starter") == (0, "success")
    assert kids.started("starter", 2) and kids.status("other") == "running"
    assert kids.job("restart", "other") == (0, "success")
    second = kids.started("other", 2)
    # What it starts is the new child's and not the old one's.
    assert carrying(f"STINT_CHILD={kids.folder('other')}") == [second]
    assert len(kids.living("starter")) == 1 and all(alive(pid) for pid in agent)


def test_the_output_of_an_agent_that_a_child_has_started_is_not_the_childs(kids):
    _, agent = started_from_inside(kids, "")
    for pid in agent:
        assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)] == ["/dev/null"] * 2
    log = kids.folder("starter") / "log"
    assert not log.exists() or "still runs as process" not in log.read_text()


def test_an_agent_in_the_group_of_a_child_is_not_killed_with_it(kids):
    if isinstance(kids.agent, WithoutGroups):
        pytest.skip("there are no groups")
    kids.define("a", "sleep 600 & exec sleep 600")
    kids.agent.start()
    child = kids.started("a")
    kids.wait_for("a", "running")
    theirs = [path / kids.cgroup / "a" / "cgroup.procs" for path in _HIERARCHIES]
    theirs = [path for path in theirs if path.exists()]
    if not theirs:
        pytest.skip("needs root and control groups")
    agent = [process.pid for process in kids.agent.daemons()]
    for path in theirs:
        for pid in agent:
            path.write_text(str(pid))
    assert all(groups(pid, kids) for pid in agent)
    assert kids.job("stop", "a") == (0, "success")
    assert all(alive(pid) for pid in agent) and not alive(child)
    assert carrying(f"STINT_CHILD={kids.folder('a')}") == []
    assert kids.job("start", "a") == (0, "success")
    assert kids.status("a") == "running"
