"""`python -m chaos --rounds N --seed S`: exit code 0 if everything held. Needs root, for namespaces."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from .faults import ALL
from .traffic import Traffic
from .world import World

# From the end of a fault to a node that is Online and works.
PATIENCE = 60.0
_INSIDE = "STINT_CHAOS_INSIDE"


def main() -> int:
    """Parses the command line and runs the rounds in namespaces of their own."""
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", help="faults by name, with commas")
    parser.add_argument("--report", type=Path, help="a Markdown file to write")
    wish = parser.parse_args()
    if _INSIDE not in os.environ:
        command = [sys.executable, "-m", "chaos", *sys.argv[1:]]
        if "--seed" not in " ".join(sys.argv):
            command += ["--seed", str(wish.seed)]
        unshare = ["unshare", "--net", "--mount", "--propagation", "private"]
        # ip(8) keeps names of networks below /run, which is this run's own.
        script = 'mount -t tmpfs none /run && exec "$@"'
        command = [*unshare, "sh", "-c", script, "sh", *command]
        os.execvpe(command[0], command, {**os.environ, _INSIDE: "yes"})
    return run(wish)


def run(wish: argparse.Namespace) -> int:
    """All rounds, then the reckoning."""
    print(f"chaos: seed {wish.seed}, {wish.rounds} rounds", flush=True)
    chance = Random(wish.seed)
    faults = [f for f in ALL if not wish.only or f.__name__ in wish.only.split(",")]
    home = Path(tempfile.mkdtemp(prefix="stint-chaos-"))
    world = World(home)
    times: dict[str, list[float]] = {}
    wrong: list[str] = []
    states: Counter = Counter()
    began = time.monotonic()
    try:
        world.until_online(time.time(), PATIENCE)
        traffic = Traffic(world, wish.seed)
        for number in range(1, wish.rounds + 1):
            fault = chance.choice(faults)
            fault(world, chance)
            took = None
            try:
                took = world.until_online(time.time(), PATIENCE)
                times.setdefault(fault.__name__, []).append(took)
            except Exception as error:
                wrong.append(f"round {number}, {fault.__name__}: {error}")
            said = "not in time" if took is None else f"{took:.1f} s"
            print(f"chaos: {number:4} {fault.__name__:18} Online after {said}", flush=True)
            time.sleep(chance.uniform(0, 2))
        traffic.stop()
        states, more = traffic.settle()
        wrong += more
    finally:
        world.end()
    text = report(wish, time.monotonic() - began, times, states, wrong)
    print(text)
    if wish.report:
        wish.report.write_text(text)
    if wrong:
        print(f"chaos: logs are in {home}", flush=True)
    return 1 if wrong else 0


def report(wish, seconds: float, times: dict, states: Counter, wrong: list[str]) -> str:
    """What happened, as Markdown."""
    ends = ", ".join(f"{count} {name or 'without an end'}" for name, count in states.items())
    lines = [
        "# The last run of `make chaos`",
        "",
        "The real programs, a command a second, and random faults: processes killed and stopped, a",
        "network cut, silent, choked, lossy and changed, a disk without bytes or inodes, a hub",
        "restarted and restored from a backup, clocks of 1970 and 2037. After each fault the node has to",
        "be Online and to run a command within 60 s; in the end every command has to have one end, and",
        "none may have been run twice. A command that a restored hub has never heard of is forgotten; one",
        "that was under way in the backup is given up after the hub's three days, which are skipped. The",
        "faults are in",
        "`tests/chaos/faults.py`.",
        "",
        f"{wish.rounds} rounds in {seconds / 60:.0f} minutes:",
        f"`make chaos ROUNDS={wish.rounds} SEED={wish.seed}`.",
        "",
        f"Commands: {ends}.",
        "",
        "| fault | rounds | Online after its end, median s | most s |",
        "|---|---:|---:|---:|",
    ]
    for name, took in sorted(times.items()):
        took = sorted(took)
        lines.append(f"| {name} | {len(took)} | {took[len(took) // 2]:.1f} | {took[-1]:.1f} |")
    lines += ["", "Nothing was wrong." if not wrong else "Wrong:", ""]
    return "\n".join(lines + [f"- {line}" for line in wrong] + ([""] if wrong else []))


if __name__ == "__main__":
    sys.exit(main())
