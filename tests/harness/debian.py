"""A minimal Debian in namespaces of its own: packages are really installed, and their agents really run.

It shares the machine's network, so that an agent in it reaches a hub on loopback. Everything it writes
is in memory and gone with it.
"""

import os
import subprocess
from pathlib import Path

from .programs import _TARGET
from .wait import until

RELEASE = "bookworm"
# Where packages come from, if not from where debootstrap looks by itself.
MIRROR = [mirror] if (mirror := os.environ.get("DEBIAN_MIRROR")) else []

# What dpkg and a running system write, and what is no file of any package.
_CHANGES_ANYWAY = ("var/lib/dpkg/", "var/log/", "var/cache/", "var/lib/systemd/", "run/", "tmp/")

_LOG = "/tmp/agent.log"

# The first process. $1 is where to mount, $2 what, the rest the command that becomes it.
_BOOT = """
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" none "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro none sys
mount -t tmpfs none run
mount --bind /dev/null dev/null
# What systemd keeps account of its services in; of no use to others.
mount -t tmpfs -o mode=755 none sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd none sys/fs/cgroup/systemd
# A root without an init starts no services unless its policy allows it.
printf '#!/bin/sh\\nexit 0\\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
shift 2
exec env -i PATH="$PATH" chroot . "$@"
"""


def base(packages: str = "") -> Path:
    """The system as debootstrap makes it, with these packages; made once, then kept beside what is
    built."""
    folder = _TARGET / "debian" / "-".join([RELEASE, *packages.split(",")] if packages else [RELEASE])
    if not folder.exists():
        half = folder.with_suffix(".new")
        subprocess.run(["rm", "-rf", str(half)], check=True)
        half.parent.mkdir(parents=True, exist_ok=True)
        more = [f"--include={packages}"] if packages else []
        command = ["debootstrap", "--variant=minbase", *more, RELEASE, str(half), *MIRROR]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        half.rename(folder)
    return folder


class Debian:
    """One running root, without an init of its own."""

    packages = ""
    # Sees to it that dead orphans disappear, as an init does, and no more.
    first = ("/bin/sh", "-c", "while :; do sleep 1; done")

    def __init__(self, home: Path):
        mounted = home / "debian"
        mounted.mkdir()
        command = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child"]
        words = [str(mounted), str(base(self.packages)), *self.first]
        self.home = home
        with (home / "debian.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--propagation", "private", "sh", "-ec", _BOOT, "sh", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            first = until("the namespaces are there", lambda: children.read_text().split())[0]
            self.root = Path(f"/proc/{first}/root")
            until("the first process has a root of its own", self.is_apart)
            until("the system is up", self.is_up)
        except BaseException:
            self.process.kill()
            raise

    def is_apart(self) -> bool:
        """Is its root another than this machine's? Before that nothing may be done to it."""
        assert self.process.poll() is None, (self.home / "debian.log").read_text()
        return not os.path.samefile(self.root, "/")

    def is_up(self) -> bool:
        """May services be started?"""
        return True

    def status(self) -> int:
        """Zero if the agent runs."""
        return self.sh("/etc/init.d/stint status").returncode

    def agent_pid(self) -> str:
        """As the init system has it."""
        return self.must("cat /run/stint.pid").strip()

    def sh(self, script: str) -> subprocess.CompletedProcess:
        """Runs a script in it, as root."""
        assert self.is_apart()
        enter = ["nsenter", f"--target={self.root.parent.name}", "--mount", "--pid", "--uts", "--root"]
        return subprocess.run(
            [*enter, "/bin/sh", "-c", script],
            cwd="/",
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "DEBIAN_FRONTEND": "noninteractive",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def must(self, script: str) -> str:
        """Like `sh`; each command has to succeed. Gives what was printed."""
        done = self.sh("set -e; cd /\n" + script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def path(self, inside: str) -> Path:
        """Where a file of it is seen from outside."""
        return self.root / inside.lstrip("/")

    def install(self, package: Path) -> str:
        """`dpkg -i`, where the owner has sent the agent's log to a file."""
        self.path(f"/tmp/{package.name}").write_bytes(package.read_bytes())
        self.must(f"echo LOG={_LOG} >/etc/default/stint")
        return self.must(f"dpkg --force-confold -i /tmp/{package.name} 2>&1")

    def add(self, name: str) -> None:
        """A package of Debian's own. It starts nothing."""
        self.path("/etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
        quiet = "apt-get -qq update && apt-get -qq install -y --no-install-recommends"
        self.must(f"RUNLEVEL=1 {quiet} {name} >/tmp/apt.log 2>&1 || {{ cat /tmp/apt.log; exit 1; }}")

    def files(self) -> set[str]:
        """Every file and link but for what a running system writes down."""
        listed = self.must("find / -xdev \\( -type f -o -type l \\) -printf '%P\\n'").splitlines()
        return {name for name in listed if not name.startswith(_CHANGES_ANYWAY)}

    def end(self) -> None:
        """Ends everything in it. The agent's log stays beside the hub's."""
        try:
            (self.home / "agent.log").write_text(self.agents_log())
        finally:
            self.process.kill()
            self.process.wait()

    def agents_log(self) -> str:
        """Since the start."""
        log = self.path(_LOG)
        return log.read_text() if log.exists() else ""


class Systemd(Debian):
    """The same with systemd as its first process."""

    packages = "systemd-sysv"
    first = ("/usr/bin/env", "container=stint", "/lib/systemd/systemd", "--unit=multi-user.target")

    def is_up(self) -> bool:
        """Has systemd started what it starts at boot?"""
        return self.sh("systemctl is-system-running").stdout.strip() == "running"

    def status(self) -> int:
        """Zero if the agent runs."""
        return self.sh("systemctl is-active stint").returncode

    def agent_pid(self) -> str:
        """As systemd has it."""
        return self.must("systemctl show --property=MainPID --value stint").strip()

    def agents_log(self) -> str:
        """From the journal."""
        return self.sh("journalctl --unit=stint --output=cat").stdout
