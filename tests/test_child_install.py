"""Jobs install, upgrade and uninstall child agents; a version that fails gives way to the one before."""

import json
import os
import signal
import threading
import time

import pytest

from harness import packages, processes
from harness.clients import finished, wait_until_online
from harness.installs import Installs
from harness.programs import HUB, run
from harness.wait import until


@pytest.fixture
def site(hub, activate, new_agent):
    """A registered agent, started when the test wants it."""
    made = []

    def make(**supervise) -> Installs:
        agent = new_agent()
        agent.register(hub, activate())
        made.append(Installs(agent, **supervise))
        return made[-1]

    yield make
    for site in made:
        site.clean_up()


@pytest.fixture
def kids(site):
    """A running agent with the founding page's rule, 60 times faster."""
    kids = site()
    kids.agent.start()
    return kids


def good(result: dict) -> str:
    """The message of a job that went well."""
    assert result["errcode"] == 0, result
    return result["message"]


def test_a_package_is_installed_upgraded_and_uninstalled(kids, web):
    first, second = kids.package("app", "1"), kids.package("app", "2")
    assert "version 1 is installed" in good(kids.install("app", web.serve("/app-1.tgz", first), first))
    assert kids.running("app") == ["1"]
    assert kids.of_status()["app"]["version"] == "1"
    upgraded = kids.install("app", web.serve("/app-2.tgz", second), second, action="upgrade")
    assert "version 2 is installed" in good(upgraded)
    assert kids.running("app") == ["2"] and kids.of_status()["app"]["version"] == "2"
    # Exactly one version is kept to go back to.
    assert kids.kept("app") == ["1", "2"]
    assert (str(kids.link("app", "current")), str(kids.link("app", "previous"))) == (
        "versions/2",
        "versions/1",
    )
    third = kids.package("app", "3")
    good(kids.install("app", web.serve("/app-3.tgz", third), third))
    assert kids.kept("app") == ["2", "3"]
    assert kids.categories("app") == ["install"] * 3
    good(kids.job("uninstall", "app"))
    assert kids.running("app") == [] and "app" not in kids.of_status()
    assert not kids.folder("app").exists()
    # What isn't there is off the device already; and an upgrade of it installs it.
    good(kids.job("uninstall", "app"))
    good(kids.install("app", web.serve("/app-1.tgz", first), first, action="upgrade"))
    assert kids.running("app") == ["1"]


def test_the_same_package_again_is_a_success_without_work_unless_forced(kids, web):
    package = kids.package("app", "1")
    url = web.serve("/app-1.tgz", package)
    good(kids.install("app", url, package))
    pid = kids.pids("app")
    assert "installed already" in good(kids.install("app", url, package, envs={"A": "b"}))
    assert kids.pids("app") == pid and len(web.seen) == 1
    # But what else the job says is done.
    assert kids.record("app")["envs"] == {"A": "b"}
    good(kids.install("app", url, package, force=True))
    assert len(kids.pids("app")) == 2 and len(kids.running("app")) == 1


def test_a_package_that_is_refused_changes_nothing(kids, web):
    first, second = kids.package("app", "1"), kids.package("app", "2")
    good(kids.install("app", web.serve("/app-1.tgz", first), first))
    pids = kids.pids("app")
    url = web.serve("/app-2.tgz", second)
    other = packages.tarball(packages.entry("README", "no program"))
    for job, wanted in (
        ({"url": url}, "no checksum"),
        ({"url": url, "checksum": "MD5:00"}, "SHA256:"),
        ({"url": url, "checksum": packages.checksum(b"")}, "has not the checksum"),
        ({"checksum": packages.checksum(second)}, "no url"),
        ({"url": web.url + "/gone", "checksum": packages.checksum(b"x")}, "HTTP status 404"),
        (
            {"url": web.serve("/other.tgz", other), "checksum": packages.checksum(other)},
            "nothing says how app is started",
        ),
        (
            {"url": url, "checksum": packages.checksum(second), "definition": {"name": "app", "exce": "x"}},
            "makes no sense",
        ),
        (
            {"url": url, "checksum": packages.checksum(second), "definition": {"name": "b", "exec": "/b"}},
            "the definition of the job for b",
        ),
    ):
        result = kids.job("upgrade", "app", **job)
        assert result["errcode"] != 0 and wanted in result["message"], result
        assert kids.pids("app") == pids and kids.running("app") == ["1"]
        assert kids.kept("app") == ["1"]
    assert kids.categories("app") == ["install"]


def test_a_bad_upgrade_goes_back_by_itself_and_says_so(kids, web):
    first, bad = kids.package("app", "1", envs={"WHO": "first"}), kids.package("app", "2", "exit 3")
    good(kids.install("app", web.serve("/app-1.tgz", first), first, envs={"GIVEN": "first"}))
    result = kids.install("app", web.serve("/app-2.tgz", bad), bad, action="upgrade", envs={"GIVEN": "2"})
    assert result["errcode"] != 0
    assert result["message"] == "version 2 failed: exit:3; version 1 is in its place again"
    # The page's rule: 4 starts, and then the version before.
    until("the version before runs", lambda: kids.running("app") == ["1"])
    assert kids.versions("app") == ["1", "2", "2", "2", "2", "1"]
    assert kids.of_status()["app"]["version"] == "1" and kids.kept("app") == ["1"]
    # With what it had.
    assert kids.record("app")["envs"] == {"GIVEN": "first"}
    assert kids.categories("app") == ["install", "install"] + ["exit"] * 4 + ["fatal", "rollback"]
    rollback = kids.events("app")[-1]
    assert rollback["extra"] == "exit:3" and "version 1" in rollback["message"]


def test_a_version_that_fails_after_its_job_was_done_goes_back_too(site, web):
    kids = site(windowSeconds=60)
    kids.agent.start()
    first, bad = kids.package("app", "1"), kids.package("app", "2", "sleep 2; exit 3")
    good(kids.install("app", web.serve("/app-1.tgz", first), first))
    assert "version 2 is installed" in good(kids.install("app", web.serve("/app-2.tgz", bad), bad))
    until("the version before runs", lambda: kids.running("app") == ["1"], 90)
    assert kids.versions("app") == ["1", "2", "2", "2", "2", "1"]
    assert kids.categories("app")[-2:] == ["fatal", "rollback"]
    assert kids.status("app") == "running"


def test_the_fast_profile_which_never_gives_up_goes_back_all_the_same(site, web):
    kids = site(profile="fast", cooldownSeconds=1)
    kids.agent.start()
    first, bad = kids.package("app", "1"), kids.package("app", "2", "exit 3")
    good(kids.install("app", web.serve("/app-1.tgz", first), first))
    assert kids.install("app", web.serve("/app-2.tgz", bad), bad)["errcode"] != 0
    until("the version before runs", lambda: kids.running("app") == ["1"])


def test_a_first_version_that_crashes_is_reported_and_stays_fatal(kids, web):
    bad = kids.package("app", "1", "exit 3")
    result = kids.install("app", web.serve("/app-1.tgz", bad), bad)
    assert result["errcode"] != 0 and "doesn't stay up: exit:3" in result["message"]
    assert kids.status("app") == "fatal" and kids.versions("app") == ["1"] * 4
    # A good one mends it.
    mended = kids.package("app", "2")
    good(kids.install("app", web.serve("/app-2.tgz", mended), mended))
    assert kids.running("app") == ["2"]


def test_a_definition_comes_from_the_job_the_operator_the_package_or_the_program_alone(kids, web):
    def installed(name: str, package: bytes, **more: object) -> dict[str, str]:
        good(kids.install(name, web.serve(f"/{name}", package), package, **more))
        pid = kids.pids(name)[-1]
        with open(f"/proc/{pid}/environ") as environ:
            return dict(item.split("=", 1) for item in environ.read().split("\0") if "=" in item)

    of_package = {"envs": {"FROM": "package"}}
    assert "FROM" not in installed("plain", kids.package("plain", "1"))
    assert installed("packed", kids.package("packed", "1", **of_package))["FROM"] == "package"
    # A later version brings its own.
    later = kids.package("packed", "2", envs={"FROM": "later"})
    assert installed("packed", later)["FROM"] == "later"
    kids.write("own.json", '{"name": "own", "exec": "own", "envs": {"FROM": "operator"}}')
    assert installed("own", kids.package("own", "1", **of_package))["FROM"] == "operator"
    definition = {"name": "given", "exec": "given", "envs": {"FROM": "job"}}
    given = kids.package("given", "1", **of_package)
    assert installed("given", given, definition=definition)["FROM"] == "job"
    # What a job gave stays until another one gives something else.
    assert installed("given", kids.package("given", "2", **of_package))["FROM"] == "job"


def test_a_stop_overtakes_a_download_and_holds_until_the_new_version_is_there(kids, web):
    first, second = kids.package("app", "1"), kids.package("app", "2")
    good(kids.install("app", web.serve("/app-1.tgz", first), first))
    go_on = threading.Event()

    def slow(request) -> None:
        go_on.wait(60)
        request.answer(200, second)

    web.pages["/app-2.tgz"] = slow
    upgrade = kids.hand_in("upgrade", "app", url=web.url + "/app-2.tgz", checksum=packages.checksum(second))
    until("it is being fetched", lambda: len(web.seen) == 2)
    good(kids.job("stop", "app"))
    assert kids.running("app") == [] and kids.answer(upgrade) is None
    go_on.set()
    good(until("it is upgraded", lambda: kids.answer(upgrade)))
    assert kids.running("app") == ["2"]


def test_a_download_outlives_the_agent_and_the_job_is_answered_once(kids, web):
    """The agent is killed; its process goes on; the next agent finds it at work."""
    package = kids.package("app", "1")
    go_on = threading.Event()

    def slow(request) -> None:
        go_on.wait(60)
        request.answer(200, package)

    web.pages["/app-1.tgz"] = slow
    job = kids.hand_in("install", "app", url=web.url + "/app-1.tgz", checksum=packages.checksum(package))
    until("it is being fetched", lambda: web.seen)
    kids.agent.kill()
    kids.agent.start()
    time.sleep(1)
    go_on.set()
    good(until("it is installed", lambda: kids.answer(job)))
    assert len(web.seen) == 1 and kids.running("app") == ["1"]


def test_an_installer_that_always_dies_is_given_up(kids, web):
    """Each process is killed as soon as it asks for the package."""

    def deadly(request) -> None:
        for process in processes.mentioning(str(kids.agent.state)):
            if "install-package" in process.argv:
                os.kill(process.pid, signal.SIGKILL)

    web.pages["/app"] = deadly
    result = kids.job("install", "app", url=web.url + "/app", checksum="SHA256:" + "0" * 64)
    assert result["errcode"] != 0 and "died 5 times" in result["message"]
    assert len(web.seen) == 5 and "app" not in kids.of_status()


def test_a_package_of_the_system_goes_back_by_its_own_manager(site, web, home):
    """A real dpkg, which installs into a folder of the test's own."""
    kids = site()
    root, where = packages.dpkg_of_its_own(home)
    kids.agent.environment = where
    kids.agent.start()
    program = root / "usr/lib/app/app"
    definition = {"name": "app", "exec": "/bin/sh", "args": [str(program)], "exitcodes": "9"}

    def deb(version: str, then: str = "while sleep 0.1; do :; done") -> bytes:
        note = f"echo $$ >>{kids.marks}/app; echo {version} >>{kids.notes}/app"
        return packages.deb(home, "some-app", version, {"usr/lib/app/app": f"#!/bin/sh\n{note}\n{then}\n"})

    def alive() -> list[str]:
        started = dict(zip(kids.pids("app"), kids.versions("app"), strict=False))
        return [started.get(process.pid, "?") for process in processes.mentioning(str(program))]

    first, bad = deb("1.0"), deb("2.0", "exit 3")
    good(kids.install("app", web.serve("/1.deb", first), first, definition=definition))
    assert alive() == ["1.0"] and kids.of_status()["app"]["version"] == "1.0"
    result = kids.install("app", web.serve("/2.deb", bad), bad, action="upgrade")
    assert "version 2.0 failed: exit:3; version 1.0 is in its place again" in result["message"]
    until("the version before runs", lambda: alive() == ["1.0"])
    assert "echo 1.0" in program.read_text()
    # What dpkg can't install leaves what there was.
    broken = packages.deb(home, "some-app", "3.0", {"usr/lib/app/app": "x"}, depends="no-such-package")
    result = kids.install("app", web.serve("/3.deb", broken), broken, action="upgrade")
    assert result["errcode"] != 0 and "dpkg failed:" in result["message"]
    until("the version before runs", lambda: alive() == ["1.0"])
    good(kids.job("uninstall", "app"))
    assert not program.exists() and alive() == []


def test_the_operator_installs_from_the_hubs_store_with_the_aws_cli(site, hub, aws, client, home):
    """Stint-ConfigureAgent, to a node that polls for commands."""
    kids = site()
    kids.agent.start()
    wait_until_online(client, kids.agent.node)
    file = home / "app.tgz"
    file.write_bytes(kids.package("app", "1.2", envs={"A": "b"}))
    put = ["put", file, "--name", "app", "--version", "1.2", "--arch", "any"]
    assert run([HUB, "package", *put, "--data", hub.data], home).returncode == 0
    parameters = json.dumps({"Action": ["install"], "Package": ["app"]})
    sent = aws(
        "send-command", "--document-name", "Stint-ConfigureAgent", "--instance-ids", kids.agent.node,
        "--parameters", parameters,
    )  # fmt: skip
    seen = finished(client, sent["Command"]["CommandId"], kids.agent.node)
    assert seen["Status"] == "Success", seen
    assert "version 1.2 is installed" in seen["StandardOutputContent"]
    assert kids.running("app") == ["1.2"]


def test_an_installation_that_failed_leaves_no_folder_and_what_is_left_can_be_uninstalled(kids, web):
    assert kids.install("app", web.url + "/gone", b"x")["errcode"] != 0
    assert not kids.folder("app").exists()
    # A removal that a power cut has cut short.
    (kids.folder("app") / "versions" / "1").mkdir(parents=True)
    good(kids.job("uninstall", "app"))
    assert not kids.folder("app").exists()
