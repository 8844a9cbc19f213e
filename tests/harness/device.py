"""A root folder with BusyBox and nothing else, and scripts run in it as if it were a device."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .wait import until

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"

# Longer than the slowest script here takes on a busy machine.
_SECONDS = 120

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}

# The agent as its init script sees it: it ends at SIGTERM, it leaves a worker running, it logs. The
# real one is run by these scripts in test_deb.py.
AGENT = """#!/bin/sh
case $1 in
version) echo "stint 9.9.9"; exit 0 ;;
run) shift ;;
*) exit 2 ;;
esac
trap 'exit 0' TERM
echo "$@" >/tmp/arguments
echo started >>/tmp/starts
echo "agent speaks" >&2
[ ! -e /tmp/fail ] || exit 1
setsid sleep 4321 &
while :; do sleep 1 & wait $!; done
"""


@dataclass
class Device:
    """The folder, seen as a device."""

    root: Path

    def sh(self, script: str) -> subprocess.CompletedProcess:
        """Runs `script` in the root, in a process namespace of its own: nothing survives it."""
        # In a file and not an argument: `ps` would find in it whatever a test looks for.
        (self.root / "tmp/script").write_text(script)
        return subprocess.run(
            self._command("/bin/sh /tmp/script"),
            env=_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def boot(self, until_there: str) -> None:
        """Runs BusyBox's init as the first process, with the inittab that is there, until it has made a
        file."""
        init = subprocess.Popen(self._command("/bin/init"), env=_ENVIRONMENT, stdin=subprocess.DEVNULL)
        try:
            until(f"{until_there} is there", lambda: self.exists(until_there), patience=_SECONDS)
        finally:
            init.kill()
            init.wait()

    def _command(self, first: str) -> list[str]:
        inside = (
            'mount -t proc proc "$1/proc" && mount --bind /dev/null "$1/dev/null" && '
            f'exec chroot "$1" {first}'
        )
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        if os.getuid() != 0:
            command += ["--user", "--map-root-user"]
        return [*command, "sh", "-c", inside, "sh", str(self.root)]

    def must(self, script: str) -> str:
        """Like `sh`; each command has to succeed. Gives what was printed."""
        done = self.sh("set -e\n" + script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def text(self, path: str) -> str:
        """A file's content."""
        return (self.root / path.lstrip("/")).read_text()

    def exists(self, path: str) -> bool:
        """Is it there, be it a link that leads nowhere?"""
        return os.path.lexists(self.root / path.lstrip("/"))

    def files(self) -> dict[str, str]:
        """Every file and link with its content, but for BusyBox's and what a running system changes."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if name.startswith(("bin/", "sbin/", "usr/bin/", "proc/", "dev/", "tmp/", "media/")):
                continue
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[name] = path.read_text()
        return found


def busybox() -> str | None:
    """A BusyBox that needs no library, or nothing."""
    program = shutil.which("busybox")
    if not program:
        return None
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return program if linked.returncode != 0 or "statically" in linked.stdout else None


def make_device(root: Path) -> Device:
    """A device with BusyBox's tools, and the installer with an agent on its medium in /media."""
    for folder in ["bin", "sbin", "usr/bin", "usr/sbin", "etc/init.d", "proc", "dev", "run", "tmp", "media"]:
        (root / folder).mkdir(parents=True)
    (root / "dev/null").touch()
    program = busybox()
    assert program, "make_device without a static BusyBox"
    shutil.copy(program, root / "bin/busybox")
    for name in subprocess.run(
        [program, "--list"], capture_output=True, text=True, check=True
    ).stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/init.d/rcS").write_text('#!/bin/sh\nfor s in /etc/init.d/S??*; do "$s" start; done\n')
    (root / "etc/init.d/rcS").chmod(0o755)
    shutil.copytree(PACKAGING, root / "media/stint")
    agent = root / "media/stint/stint"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    return Device(root)
