"""A board in QEMU: its power switch, its disk, its network to this machine's loopback, its serial line."""

import contextlib
import json
import shlex
import subprocess
import threading
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from boards.emulated import OUT
from harness.hub import Hub
from harness.programs import environment
from harness.wait import until

# What the guest calls this machine's loopback, and what it is called itself.
HOST, GUEST = "10.0.2.2", "10.0.2.15"
# A boot takes 5 s on an idle machine, and a RSA key on an emulated processor up to half a minute.
PATIENCE = 240
_DISK = "16M"
_PROMPT = b"/ # "
_ASKS_FOR_COLUMN = "\x1b[6n"


def _reported(heard: bytes) -> list[str]:
    """The lines of the agent's report among what the serial line has carried."""
    # The shell's prompt may stand before a line: they share the port.
    *lines, _unfinished = heard.decode(errors="replace").replace("\r", "").split("\n")
    lines = [line.removeprefix(_PROMPT.decode()).removeprefix(_ASKS_FOR_COLUMN) for line in lines]
    return [line for line in lines if line.startswith("stint: ")]


@dataclass(frozen=True)
class Board:
    """A board of board-configs/ that has an image."""

    name: str
    qemu: str
    cpu: str

    @property
    def image(self) -> Path:
        """The folder of kernel and initramfs."""
        return OUT / "images" / self.name


@dataclass
class Machine:
    """One board with a disk of its own. What it prints is kept over its reboots."""

    board: Board
    home: Path
    hub: Hub
    activation: dict
    process: subprocess.Popen | None = None
    _heard: bytearray = field(default_factory=bytearray)
    _heard_before: int = 0
    _numbers: count = field(default_factory=count)

    @property
    def files(self) -> Path:
        """What is on the disk, as /var/lib/stint, when the board is switched on for the first time."""
        return self.home / "disk"

    def configure(self, **settings: object) -> None:
        """Gives the board, which was never on, a configuration of its agent."""
        self.files.mkdir(exist_ok=True)
        settings = {"allowPlainHttp": True, "healthIntervalMinutes": 1, **settings}
        (self.files / "agent.json").write_text(json.dumps(settings))

    def switch_on(self, memory_mb: int = 128, clock: str | None = None) -> "Machine":
        """Boots, with the activation on the kernel's command line; `clock` is what its clock starts at."""
        disk = self.home / f"{self.board.name}.disk"
        if not disk.exists():
            self.files.mkdir(exist_ok=True)
            subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", self.files, disk, _DISK], check=True)
        port = self.hub.endpoint.rpartition(":")[2]
        words = {
            "activation_id": self.activation["ActivationId"],
            "activation_code": self.activation["ActivationCode"],
            "endpoint": f"http://{HOST}:{port}",
            "region": self.hub.region,
        }
        line = "console=ttyAMA0 quiet " + " ".join(f"stint.{key}={value}" for key, value in words.items())
        command = [self.board.qemu, "-M", "virt", "-cpu", self.board.cpu, "-m", memory_mb, "-no-reboot"]
        command += ["-display", "none", "-monitor", "none", "-serial", "stdio", "-append", line]
        command += ["-kernel", self.board.image / "kernel", "-initrd", self.board.image / "initramfs"]
        command += ["-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"]
        command += [
            "-drive",
            f"file={disk},if=none,format=raw,id=disk",
            "-device",
            "virtio-blk-device,drive=disk",
        ]
        command += ["-rtc", f"base={clock}"] if clock else []
        self._heard_before = len(self._heard)
        self.process = subprocess.Popen(
            [str(word) for word in command],
            env=environment(self.home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()
        return self

    def _listen(self, process: subprocess.Popen) -> None:
        log = self.home / f"{self.board.name}.log"
        while chunk := process.stdout.read1():
            self._heard += chunk
            log.write_bytes(self._heard)

    def console(self) -> str:
        """Everything the serial line has carried so far."""
        return self._heard.decode(errors="replace").replace("\r", "")

    def report(self) -> list[str]:
        """The lines of the agent's reports on the serial line since the board was switched on."""
        return _reported(self._heard[self._heard_before :])

    def reports(self) -> list[str]:
        """Those of all its boots."""
        return _reported(self._heard)

    def says(self, what: str) -> str:
        """Waits until the agent's report of this boot has a line with `what`, and returns it."""

        def probe() -> str | None:
            self._must_be_on()
            return next((line for line in self.report() if what in line), None)

        return until(f"{self.board.name} reports '{what}'", probe, PATIENCE)

    def words(self, event: str) -> dict[str, str]:
        """The `key=value` pairs of the line of an event of this boot, as docs/OPERATIONS.md has it."""
        said = shlex.split(self.says(f"stint: {event} "))
        return dict(word.split("=", 1) for word in said[2:])

    def type(self, line: str) -> None:
        """Types a line into the shell on the serial console, when there is one: a UART keeps 16 bytes."""
        until(
            f"{self.board.name} has a shell", lambda: _PROMPT in self._heard[self._heard_before :], PATIENCE
        )
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def shell(self, command: str) -> str:
        """Runs a command in the shell on the serial console; what it printed."""
        number = next(self._numbers)
        begin, end = f"<<<{number}", f"{number}>>>"
        # The quotes keep the echo of what is typed from being taken for the answer.
        self.type(f'echo "<<""<{number}"; {command}; echo "{number}"">>>"')

        def probe() -> str | None:
            self._must_be_on()
            _, seen, rest = self.console().rpartition(f"{begin}\n")
            return rest.partition(end)[0] + " " if seen and end in rest else None

        return until(f"{self.board.name} has run `{command}`", probe, PATIENCE).strip()

    def status(self) -> dict:
        """What `stint status` says in the guest."""

        def probe() -> dict | None:
            # The agent's own report is on the same line, and may get before, behind or into it.
            said = self.shell("stint status --json")
            with contextlib.suppress(ValueError):
                return json.JSONDecoder().raw_decode(said[said.index("{") :])[0]

        return until(f"{self.board.name} shows its status", probe, PATIENCE)

    def agent(self) -> int:
        """The process id of the agent in the guest; 0 if none runs."""
        found = self.shell("cat /run/stint.pid")
        return int(found) if found.isdigit() else 0

    def goes_off(self) -> None:
        """Waits until the board has gone down by itself: QEMU ends instead of booting again."""
        until(f"{self.board.name} goes down", lambda: self.process.poll() is not None, PATIENCE)

    def power_off_at_once(self) -> None:
        """`poweroff -f`: nothing ends in order, but BusyBox may write its files back first."""
        self.type("poweroff -f")
        self.process.wait(PATIENCE)

    def unplug(self) -> None:
        """Cuts the power, if it is on: what the guest had not written to its disk is lost."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def _must_be_on(self) -> None:
        assert self.process.poll() is None, f"{self.board.name} went off:\n{self.console()[-2000:]}"
