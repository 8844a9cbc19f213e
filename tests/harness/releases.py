"""Releases of the agent: a key, a signed manifest, and programs, as an integrator makes them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from .agent import Agent
from .hub import Hub
from .programs import AGENT, HUB, run

_ROOT = Path(__file__).resolve().parents[2]
# Beside the build that is tested, so that the compiler's work is kept for the next time.
_NEXT = AGENT.parents[1] / "next"

# Above every version that this project will have for a while.
NEXT = "99.0.0"


def next_build() -> Path:
    """A second real build of the agent, which is version NEXT."""
    env = {**os.environ, "STINT_VERSION": NEXT, "CARGO_TARGET_DIR": str(_NEXT)}
    env.pop("STINT_BOARD", None)
    command = ["cargo", "build", "--quiet", "--package", "stint-agent"]
    subprocess.run(command, cwd=_ROOT, env=env, check=True, timeout=1200)
    built = _NEXT / "debug" / "stint"
    small = _NEXT / "stint"
    # It is copied and hashed many times; most of it is what a debugger wants to know.
    if not small.exists() or small.stat().st_mtime < built.stat().st_mtime:
        temporary = _NEXT / f"stint.{os.getpid()}"
        if shutil.which("strip"):
            subprocess.run(["strip", "-o", temporary, built], check=True, timeout=60)
        else:
            shutil.copy(built, temporary)
        temporary.rename(small)
    return small


class Releases:
    """A folder that `stint-hub release` fills, and the hub that serves it."""

    def __init__(self, home: Path, hub: Hub, name: str = "release"):
        self.home = home
        self.hub = hub
        self.folder = home / name
        self.key = home / f"{name}-key"
        self.public = self.command("key", self.key).strip()
        self.file = ""

    def try_command(self, *words: object) -> subprocess.CompletedProcess:
        """`stint-hub release …`, whatever comes of it."""
        return run([HUB, "release", *words], self.home)

    def command(self, *words: object) -> str:
        """`stint-hub release …`; what it printed."""
        done = self.try_command(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make(self, version: str, program: Path, *options: object) -> None:
        """Adds a version to the folder and signs."""
        what = f"{self.file}={program}"
        self.command("make", "--dir", self.folder, "--key", self.key, "--version", version, *options, what)

    def mark(self, version: str, status: str, *options: object) -> None:
        """Changes the status of a version, signs, and has the hub serve it."""
        what = ["--dir", self.folder, "--key", self.key, "--version", version, *options, status]
        self.command("mark", *what)
        self.serve()

    def serve(self) -> None:
        """Has the hub serve what is in the folder."""
        self.command("add", "--data", self.hub.data, "--key", self.public, self.folder)

    def publish(self, version: str, program: Path, *options: object) -> None:
        """Makes and serves."""
        self.make(version, program, *options)
        self.serve()

    def script(self, version: str, text: str) -> Path:
        """A program that says it is that version, and does `text` when it is to run."""
        path = self.home / f"script-{version}"
        path.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo "stint {version} for x" && exit\n{text}\n')
        path.chmod(0o755)
        return path

    def learn_file(self, agent: Agent) -> None:
        """Finds out what the agent calls its file: it says so when the manifest lacks it."""
        self.file = "stint-no-such-board"
        self.publish("0.0.1", self.script("0.0.1", "exit 1"))
        done = agent.command("update", "--check", "--state-dir", agent.state, "--config", agent.config)
        match = re.search(r"the manifest has no (stint-\S+)", done.stderr)
        assert match, done.stderr
        self.file = match[1]
        self.publish("0.0.1", self.script("0.0.1", "exit 1"))
