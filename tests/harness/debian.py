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
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")

# What dpkg itself writes, and what is no file of any package.
_CHANGES_ANYWAY = ("var/lib/dpkg/", "var/log/", "var/cache/", "run/", "tmp/", "proc/", "dev/", "sys/")

_LOG = "/tmp/agent.log"

# The first process: sees to it that dead orphans disappear, as an init does.
_INIT = """
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" none "$1/root"
mount -t proc proc "$1/root/proc"
mount -t tmpfs none "$1/root/run"
mount --bind /dev/null "$1/root/dev/null"
# A root without an init starts no services unless its policy allows it.
printf '#!/bin/sh\\nexit 0\\n' >"$1/root/usr/sbin/policy-rc.d"
chmod 755 "$1/root/usr/sbin/policy-rc.d"
: >"$1/ready"
while :; do sleep 1; done
"""


def base() -> Path:
    """The system as debootstrap makes it; made once, then kept beside what is built."""
    folder = _TARGET / "debian" / RELEASE
    if not folder.exists():
        half = folder.with_suffix(".new")
        subprocess.run(["rm", "-rf", str(half)], check=True)
        half.parent.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", RELEASE, str(half), MIRROR]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        half.rename(folder)
    return folder


class Debian:
    """One running root."""

    def __init__(self, home: Path):
        self.home = home / "debian"
        self.home.mkdir()
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        self.process = subprocess.Popen([*command, "sh", "-ec", _INIT, "sh", str(self.home), str(base())])
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.init = int(until("the namespaces are there", lambda: children.read_text().split())[0])
        until("the root is mounted", lambda: Path(f"/proc/{self.init}/root{self.home}/ready").exists())

    def sh(self, script: str) -> subprocess.CompletedProcess:
        """Runs a script in it, as root."""
        enter = ["nsenter", "--target", str(self.init), "--mount", "--pid", "--root", "--wd=/"]
        return subprocess.run(
            [*enter, "chroot", f"{self.home}/root", "/bin/sh", "-c", script],
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
        done = self.sh("set -e\n" + script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def path(self, inside: str) -> Path:
        """Where a file of it is seen from outside."""
        return Path(f"/proc/{self.init}/root{self.home}/root{inside}")

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
        """Every file and link but for what dpkg writes down."""
        listed = self.must("find / -xdev \\( -type f -o -type l \\) -printf '%P\\n'").splitlines()
        return {name for name in listed if not name.startswith(_CHANGES_ANYWAY)}

    def end(self) -> None:
        """Ends everything in it. The agent's log stays beside the hub's."""
        log = self.path(_LOG)
        if log.exists():
            (self.home.parent / "agent.log").write_bytes(log.read_bytes())
        self.process.kill()
        self.process.wait()
