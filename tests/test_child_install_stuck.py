"""A version that can't be left: the way back to the one before fails for ever, and ends all the same."""

import json

import pytest

from harness import packages
from harness.faults import Faults
from harness.installs import Installs
from harness.wait import until
from harness.web import Web

# A version on trial fails four times with a second between, then ten tries with a second between.
PATIENCE = 60


@pytest.fixture
def kids(hub, activate, new_agent):
    """An agent with version 1 of a child, which can be made to fail."""
    agent = new_agent()
    agent.register(hub, activate())
    kids = Installs(agent, cooldownSeconds=1)
    kids.faults = Faults(agent.home / "faults")
    agent.environment = kids.faults.environment()
    agent.start()
    yield kids
    kids.clean_up()


def upgrade(kids: Installs, web: Web, place: str, kind: str, **definition: object) -> str:
    """Upgrades to a version that crashes; from its trial on, a place fails each time. The job."""
    first = kids.package("app", "1", **definition)
    assert kids.install("app", web.serve("/app-1.tgz", first), first)["errcode"] == 0
    second = kids.package("app", "2", then="exit 1", **definition)
    url = web.serve("/app-2.tgz", second)
    job = kids.hand_in("upgrade", "app", url=url, checksum=packages.checksum(second))

    def on_trial() -> bool:
        plan = json.loads((kids.folder("app") / "install.json").read_text())
        return (plan["phase"], plan["to"]) == ("trial", "2")

    until("version 2 is on trial", on_trial)
    (kids.faults.folder / "plan").write_text(f"run {kind} every {place}\n")
    return job


def upgrade_and_fail(kids: Installs, web: Web, place: str, **definition: object) -> dict:
    """The same; the job's answer."""
    job = upgrade(kids, web, place, "EPERM", **definition)
    return until("the job is answered", lambda: kids.answer(job), PATIENCE)


def succeeds_again(kids: Installs, web: Web) -> None:
    """With the fault gone, the next upgrade is as good as any."""
    (kids.faults.folder / "plan").unlink()
    third = kids.package("app", "3")
    assert kids.install("app", web.serve("/app-3.tgz", third), third)["errcode"] == 0
    assert kids.running("app") == ["3"]


def test_a_definition_that_can_t_be_written_back_leaves_the_version_before_running(kids, web):
    result = upgrade_and_fail(kids, web, "write app/definition.json.tmp", startsecs=1)
    assert result["errcode"] == 1
    assert "can't be brought back" in result["message"] and "10 tries" in result["message"]
    until("version 1 runs", lambda: kids.running("app") == ["1"])
    assert str(kids.link("app", "current")) == "versions/1"
    assert kids.categories("app")[-1] == "rollback"
    assert result["message"] == kids.events("app")[-1]["message"]
    assert kids.agent.logs().count("can't go back to what was before (try ") == 10
    # It is in its place, so the failed one is of no use.
    assert kids.kept("app") == ["1"]
    succeeds_again(kids, web)


def test_a_version_that_keeps_its_place_is_given_up_and_nothing_is_cleared_away(kids, web):
    result = upgrade_and_fail(kids, web, "link app/current.tmp")
    assert result["errcode"] == 1 and "can't be brought back" in result["message"]
    assert str(kids.link("app", "current")) == "versions/2"
    # Whoever mends it by hand has the version before.
    assert kids.kept("app") == ["1", "2"]
    assert kids.running("app") == [] and kids.categories("app")[-1] == "rollback"
    # The agent goes on: it neither tries without end nor holds the child.
    kids.agent.kill()
    kids.agent.start()
    assert kids.status("app") in ("stoped", "fatal")
    succeeds_again(kids, web)


def test_a_disk_that_is_full_for_long_is_no_reason_to_give_the_way_back_up(kids, web):
    job = upgrade(kids, web, "link app/current.tmp", "ENOSPC")
    tries = lambda: kids.agent.logs().count("can't go back to what was before")  # noqa: E731
    until("it was tried more often than other failures are", lambda: tries() > 11, PATIENCE)
    assert not kids.answer(job)
    (kids.faults.folder / "plan").unlink()
    result = until("the job is answered", lambda: kids.answer(job), PATIENCE)
    assert "version 1 is in its place again" in result["message"]
    until("version 1 runs", lambda: kids.running("app") == ["1"])


def test_a_boot_in_the_middle_of_the_way_back_is_followed_by_the_rest_of_it(kids, web):
    first = kids.package("app", "1")
    assert kids.install("app", web.serve("/app-1.tgz", first), first)["errcode"] == 0
    # It stays up for as long as its installation waits, and no longer.
    second = kids.package("app", "2", then="sleep 4; exit 1")
    url = web.serve("/app-2.tgz", second)
    assert kids.install("app", url, second, action="upgrade")["errcode"] == 0
    (kids.faults.folder / "plan").write_text("run EIO every link app/current.tmp\n")
    plan = kids.folder("app") / "install.json"
    until("the way back is begun", lambda: json.loads(plan.read_text())["phase"] == "back", PATIENCE)
    until("it is stuck", lambda: "can't go back to what was before" in kids.agent.logs(), PATIENCE)
    kids.agent.kill()
    (kids.faults.folder / "plan").unlink()
    # The next agent finds the record of another boot.
    record = kids.folder("app") / "record.json"
    content = json.loads(record.read_text())
    assert content["trial"] is True
    record.write_text(json.dumps({**content, "boot": "another"}))
    kids.agent.start()
    until("version 1 runs", lambda: kids.running("app") == ["1"], PATIENCE)
    assert str(kids.link("app", "current")) == "versions/1"
    assert kids.categories("app")[-1] == "rollback"
