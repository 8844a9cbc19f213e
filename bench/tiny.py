"""The set tiny: an agent that looks after one idle child and reports to a BootAgent server."""

import json
import statistics
import time
from pathlib import Path

from harness.agent import Agent
from harness.bootserver import STATUS
from harness.children import Children
from harness.programs import Program, environment
from harness.signingserver import SigningServer
from harness.wait import until
from harness.web import make_certificate

from . import footprint
from .table import Row

# The protocol's own step is ten minutes, in which nothing would be seen.
STEP_SECONDS = 60
SETTLE_SECONDS = 10
SAMPLE_SECONDS = 5

# Boards whose agent can be run on a development machine, and the PSS that it may have, MB.
BOARDS = {"tiny-x86-64": ("tiny", 0.7), "tiny-tls-x86-64": ("tiny with TLS", 1.2)}


def rows(home: Path, target: Path, idle_seconds: int) -> list[Row]:
    """What each of the two costs that `make build BOARD=…` has built."""
    found = []
    for board, (name, aim) in BOARDS.items():
        binary = target / "boards" / board / "stint"
        if binary.exists():
            folder = home / board
            folder.mkdir()
            found += _measure(folder, binary, name, aim, idle_seconds)
    return found


def _measure(home: Path, binary: Path, name: str, aim: float, idle_seconds: int) -> list[Row]:
    certificate = home / "server.pem" if "TLS" in name else None
    if certificate:
        make_certificate(certificate)
    server = SigningServer(certificate=certificate)
    agent = Agent(home)
    kids = Children(agent)
    kids.define("idle", "sleep 1000000; exit 0")
    config = json.loads(agent.config.read_text())
    config["bootagent"] = {"servers": server.url, "step": STEP_SECONDS}
    # The page's own rule: a look once a minute.
    del config["supervise"]["checkSeconds"]
    if certificate:
        config["caFile"] = str(certificate)
    agent.config.write_text(json.dumps(config))
    words = [binary, "run", "--state-dir", agent.state, "--config", agent.config]
    before = footprint.of_children_that_ended()
    agent.program = Program(words, home / "agent.log", environment(home))
    try:
        until("a report with the child", lambda: server.heard(STATUS))
        kids.started("idle")
        time.sleep(SETTLE_SECONDS)
        pids = [agent.program.pid]
        at_start, began = footprint.of_living(pids), time.monotonic()
        samples, threads = [], []
        while time.monotonic() - began < idle_seconds:
            time.sleep(SAMPLE_SECONDS)
            samples.append(footprint.memory(pids))
            threads.append(footprint.threads(pids))
        elapsed = time.monotonic() - began
        agent.stop()
        done = footprint.of_children_that_ended() - before - at_start
    finally:
        kids.clean_up()
        server.close()
    return [
        Row.megabytes(f"{name}: program file", binary.stat().st_size),
        Row.megabytes(f"{name}, one idle child: PSS", statistics.median(s.pss for s in samples), aim),
        Row.megabytes(f"{name}: anonymous memory", statistics.median(s.anonymous for s in samples)),
        Row.count(f"{name}: threads, most seen", max(threads)),
        Row.rate(f"{name}: context switches per second", done.switches / elapsed, 1.0),
        Row.milliseconds(f"{name}: processor time per 5 minutes", done.cpu * 300 / elapsed),
    ]
