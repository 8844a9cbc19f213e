"""The OpenRC script under OpenRC itself: make test-packages."""

import os
from pathlib import Path

import pytest

from harness.debian import Debian
from harness.device import AGENT, PACKAGING
from harness.wait import until

pytestmark = pytest.mark.skipif(
    not os.environ.get("STINT_PACKAGES"), reason="needs root, debootstrap and minutes: make test-packages"
)


@pytest.fixture
def openrc(home: Path):
    """A Debian with OpenRC, our script and a stand-in for the agent, started."""
    system = Debian(home)
    try:
        system.add("openrc")
        for path, text in [
            ("/etc/init.d/stint", (PACKAGING / "openrc/stint").read_text()),
            ("/usr/sbin/stint", AGENT),
        ]:
            system.path(path).write_text(text)
            system.path(path).chmod(0o755)
        # What openrc itself does when the system comes up.
        system.must("mkdir -p /run/openrc; touch /run/openrc/softlevel; rc-service stint start")
        until("the agent has started", lambda: starts(system) == 1 and running(system, "sleep 4321") == 1)
        yield system
    finally:
        system.end()


def starts(system: Debian) -> int:
    """How often the agent has been started."""
    file = system.path("/tmp/starts")
    return file.read_text().count("started") if file.exists() else 0


def running(system: Debian, words: str) -> int:
    """How many processes have these words in their command line."""
    script = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f 2>/dev/null && echo; done; true"
    lines = system.must(script).splitlines()
    return sum(line.startswith(words) or line.startswith(f"/bin/sh {words}") for line in lines)


AGENT_WORDS = "/usr/sbin/stint run"


def test_openrc_starts_a_killed_agent_again_and_a_stop_leaves_the_workers(openrc):
    openrc.must("rc-service stint status")
    openrc.must(
        "for f in /proc/[0-9]*; do tr '\\0' ' ' <$f/cmdline | grep -q '^/bin/sh /usr/sbin/stint run' && "
        "kill -9 ${f#/proc/}; done; true"
    )
    until("the agent has started again", lambda: starts(openrc) == 2)
    until("it has a worker, too", lambda: running(openrc, "sleep 4321") == 2)

    openrc.must("rc-service stint stop")

    assert running(openrc, AGENT_WORDS) == 0
    assert running(openrc, "supervise-daemon") == 0
    assert running(openrc, "sleep 4321") == 2
    assert openrc.sh("rc-service stint status").returncode == 3
