"""Child agents that are installed by jobs: packages that tell which of them run, and the inbox."""

import json
import os
import uuid
from pathlib import Path

from . import packages, processes
from .agent import Agent
from .children import Children
from .wait import until


class Installs(Children):
    """The children of an agent that gets them by jobs."""

    def __init__(self, agent: Agent, **supervise: object):
        super().__init__(agent, **supervise)
        self.inbox = agent.state / "supervise" / "inbox"
        self.handed_in: list[str] = []

    def package(self, name: str, version: str, then: str = "while sleep 0.1; do :; done", **more) -> bytes:
        """An archive with a program that notes its process and its version, and goes on as wanted."""
        note = f"echo $$ >>{self.marks}/{name}; echo {version} >>{self.notes}/{name}"
        script = f"#!/bin/sh\n{note}\n{then}\n"
        entries = [packages.entry(name, script)]
        if more:
            definition = {"name": name, "exec": name, "version": version, **more}
            entries.append(packages.entry("agent.json", json.dumps(definition), 0o644))
        return packages.tarball(*entries)

    def hand_in(self, action: str, name: str, **more: object) -> str:
        """Puts a job into the inbox and rings, as a document's step does; its id."""
        job = f"job-{uuid.uuid4().hex}"
        until("the agent listens", lambda: (self.inbox / "bell").exists())
        text = json.dumps({"id": job, "action": action, "name": name, **more})
        (self.inbox / f"{job}.tmp").write_text(text)
        (self.inbox / f"{job}.tmp").rename(self.inbox / f"{job}.json")
        self.handed_in.append(job)
        try:
            bell = os.open(self.inbox / "bell", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            # The agent is dead; the next one looks.
            return job
        os.write(bell, b"1")
        os.close(bell)
        return job

    def answer(self, job: str) -> dict | None:
        """What became of a job; nothing while nobody knows."""
        path = self.inbox / f"{job}.result"
        return json.loads(path.read_text()) if path.exists() else None

    def job(self, action: str, name: str, patience: float = 60, **more: object) -> dict:
        """Does a job and waits for its result."""
        job = self.hand_in(action, name, **more)
        return until(f"{action} of {name} is answered", lambda: self.answer(job), patience)

    def install(self, name: str, url: str, package: bytes, action: str = "install", **more: object) -> dict:
        """Does the job install; its result."""
        return self.job(action, name, url=url, checksum=packages.checksum(package), **more)

    def running(self, name: str) -> list[str]:
        """The versions of a child that run, one for each of its processes."""
        program = str(self.folder(name) / "current" / name)
        found = [process for process in processes.mentioning(program) if program in process.argv]
        started = dict(zip(self.pids(name), self.versions(name), strict=False))
        return [started.get(process.pid, "?") for process in found]

    def versions(self, name: str) -> list[str]:
        """The versions that have been started, oldest first."""
        file = self.notes / name
        return file.read_text().split() if file.exists() else []

    def kept(self, name: str) -> list[str]:
        """The versions on disk."""
        folder = self.folder(name) / "versions"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def link(self, name: str, link: str) -> Path | None:
        """Where `current` or `previous` leads."""
        path = self.folder(name) / link
        return path.readlink() if path.is_symlink() else None
