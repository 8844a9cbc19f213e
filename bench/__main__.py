"""Runs all measurements and prints the table. Called by `make bench`.

BENCH_IDLE_SECONDS (300) and BENCH_NODES (1000) shorten a trial run; BENCH_ONLY=channel measures what the
control channel and sessions cost and nothing else; BENCH_WRITE=1 puts the table into docs/BENCHMARKS.md.
"""

import os
import platform
import re
import sys
import tempfile
from datetime import date
from pathlib import Path

_TARGET = Path(os.environ["STINT_TARGET"])
# What devices get is the static build; where it has not been made, the native one stands in for it.
_STATIC = _TARGET / "boards" / "x86-64-gateway" / "stint"
_NATIVE = _TARGET / "release" / "stint"
# The harness reads these when it is loaded.
os.environ.setdefault("STINT_AGENT", str(_STATIC if _STATIC.exists() else _NATIVE))
os.environ.setdefault("STINT_HUB", str(_TARGET / "hub" / "stint-hub"))

from harness.clients import boto3_client  # noqa: E402
from harness.hub import Hub  # noqa: E402

from . import agent as agents  # noqa: E402
from . import channel, crowd, latency, sessions, tiny  # noqa: E402
from .proxy import Proxy  # noqa: E402
from .table import Row, text  # noqa: E402

_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "BENCHMARKS.md"


def measure(home: Path) -> list[Row]:
    """All numbers, in the order of the table."""
    crowd.allow_many_connections()
    hub = Hub(home).start()
    client = boto3_client(hub)
    if os.environ.get("BENCH_ONLY") == "channel":
        try:
            return on_the_channel(hub, client, home)
        finally:
            hub.kill()
    proxy = Proxy(hub.listen)
    agent = agents.registered(hub, client, home, proxy)
    try:
        rows = agents.size()
        say("start to first poll")
        rows += agents.start_to_first_poll(agent, proxy)
        say(f"idle for {agents.IDLE_SECONDS} s")
        rows += agents.idle(agent, proxy)
        say("idle with a guardian")
        rows += agents.guarded(agent, proxy)
        agent.start()
        say("while a script runs")
        rows += agents.working(agent, client)
        say(f"latency of {latency.COMMANDS} commands")
        rows += latency.command(hub, agent.node, "send-command to Success", 20, "110 ms")
        agent.stop()
        rows += on_the_channel(hub, client, home)
        # A fresh hub: its memory should not hold what the measurements before have left.
        hub.stop()
        say("the set tiny with an idle child")
        rows += tiny.rows(home, _TARGET, agents.IDLE_SECONDS)
        hub.start()
        say(f"{crowd.NODES} nodes polling")
        return rows + crowd.hub(hub, client)
    finally:
        agent.clean_up()
        if hub.program.alive():
            hub.kill()


def on_the_channel(hub: Hub, client, home: Path) -> list[Row]:
    """What the control channel costs and brings, and sessions."""
    rows = []
    for guarded in (False, True):
        say(f"idle with the channel up for {channel.IDLE_SECONDS} s" + (", with a guardian" * guarded))
        rows += channel.idle(hub, client, home, guarded)
    agent = channel.registered(hub, client, home, "direct", hub.endpoint, False)
    agent.start()
    try:
        say(f"latency of {latency.COMMANDS} commands over the channel")
        rows += latency.flush(home)
        rows += channel.command(hub, client, agent)
        rows += channel.command_in_memory()
        say("a shell")
        rows += sessions.shell(client, agent)
        say(f"{sessions.KEYS} typed keys")
        rows += sessions.typed(client, agent)
        say("forwarded ports")
        return rows + sessions.forwarded(client, agent)
    finally:
        agent.clean_up()


def say(what: str) -> None:
    """Progress, on standard error so that the table stays alone on standard output."""
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def machine() -> str:
    """What the numbers were measured on, and how busy it was: above all latencies suffer from that."""
    kernel = platform.release().split("-")[0]
    load = os.getloadavg()[1]
    return (
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Linux {kernel}, "
        f"load {load:.1f} over the last 5 minutes (0.1 is quiet)"
    )


def write(table: str) -> None:
    """Replaces the latest run in the document."""
    page = _DOCUMENT.read_text()
    block = f"<!-- latest run -->\n{machine()}\n\n{table}\n<!-- end -->"
    _DOCUMENT.write_text(
        re.sub(r"<!-- latest run -->.*?<!-- end -->", lambda _: block, page, flags=re.DOTALL)
    )


def main() -> None:
    """Measures, prints, and writes if asked to."""
    with tempfile.TemporaryDirectory(prefix="stint-bench-") as folder:
        rows = measure(Path(folder))
    table = text(rows)
    print(f"\n{machine()}\n\n{table}")
    if os.environ.get("BENCH_WRITE"):
        write(table)


main()
