"""An sshd of the test's own: Debian's dropbear, on loopback, with a key and a home for root."""

import shutil
import socket
import subprocess
from pathlib import Path

from .programs import Program, environment
from .wait import until

# Where Debian has such programs, though not everybody's PATH.
_PLACES = "/usr/sbin:/usr/bin:/sbin:/bin"


def is_there() -> bool:
    """Whether this machine has what it takes."""
    return all(
        shutil.which(name, path=_PLACES) for name in ["dropbear", "dropbearkey", "ssh", "scp", "ssh-keygen"]
    )


class Dropbear:
    """`dropbear` in a mount namespace in which root's home is a folder of the test."""

    def __init__(self, home: Path):
        self.home = home
        self.key = home / "client-key"
        root = home / "root"
        (root / ".ssh").mkdir(parents=True, mode=0o700)
        root.chmod(0o700)
        self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        (root / ".ssh" / "authorized_keys").write_text(Path(f"{self.key}.pub").read_text())
        (root / ".ssh" / "authorized_keys").chmod(0o600)
        (home / "root-passwd").write_text(f"root:x:0:0::{root}:/bin/sh\n")
        self._run(shutil.which("dropbearkey", path=_PLACES), "-t", "ed25519", "-f", home / "host-key")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        inside = f'mount --bind {home}/root-passwd /etc/passwd && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", inside, "sh", shutil.which("dropbear", path=_PLACES)]
        command += ["-F", "-E", "-s", "-p", f"127.0.0.1:{self.port}", "-r", home / "host-key"]
        command += ["-P", home / "dropbear.pid"]
        self.program = Program(command, home / "dropbear.log", environment(home))
        until("dropbear listens", lambda: "Not backgrounding" in self.program.logs())

    def _run(self, *words: object) -> None:
        subprocess.run([str(word) for word in words], capture_output=True, check=True, timeout=20)

    def stop(self) -> None:
        """Ends it."""
        if self.program.alive():
            self.program.kill()
