#!/usr/bin/env python3
"""What each board's agent costs on flash: bytes, xz and squashfs, against the budget of its board file.

Usage: scripts/size.py [--all | --board NAME …] [--symbols] [--target TRIPLE] [--top N]

Looks at the boards that have been built before, at every board (--all), or at those that are named. Each
is built first: cargo knows what is stale. --symbols also links each with its symbols and lists its largest
crates and functions; --target lists those of the gateway agent of a target. Exit code 1 when a board is
over its budget or can't be built, or when there is nothing to measure.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")

# OpenWrt's blocks, and the filter that suits the target's machine code (docs/BUILDING.md).
SQUASHFS = ["-comp", "xz", "-b", "256K", "-noappend", "-all-root", "-no-progress", "-quiet"]
FILTERS = {"armv7": "armthumb", "arm": "arm", "armv5te": "arm", "x86_64": "x86", "i686": "x86"}

# Symbols of C code: ring's carry its name, what is left is the C library's.
RING = re.compile(r"^(ring_core_|p256_|p384_|ecp_nistz|bn_|ChaCha20|poly1305|sha\d+_block|aes_|gcm_|GFp_)")
RUST_PATH = re.compile(r"^(?:<+&?(?:mut |dyn |\*\w+ |\[)*)?\(?(\w+)::")


def main(words: list[str] | None = None) -> int:
    """Prints the tables; the exit code."""
    asked = arguments().parse_args(words)
    boards = {file.stem: file for file in sorted((ROOT / "board-configs").glob("*.toml"))}
    chosen = [name for name in boards if asked.all or name in asked.board]
    if unknown := set(asked.board) - set(boards):
        print(
            f"size.py: no board {', '.join(sorted(unknown))}; there are {', '.join(boards)}", file=sys.stderr
        )
        return 1
    if not chosen:
        chosen = [name for name in boards if program(name).exists()]
    try:
        over = table({name: tomllib.loads(boards[name].read_text()) for name in chosen})
        if not asked.board:
            for name in sorted(set(boards) - set(chosen)):
                print(f"{name:<20}{'not built':>10}   make build BOARD={name}")
        for name in chosen if asked.symbols else []:
            build("--symbols", "--board", name)
            symbols(name, program(name).with_name("stint-symbols"), asked.top)
        if asked.target:
            build("--symbols", asked.target)
            symbols(asked.target, OUT / "cross" / asked.target / "release" / "stint-symbols", asked.top)
    except subprocess.CalledProcessError as error:
        print(f"size.py: {' '.join(map(str, error.cmd))} failed", file=sys.stderr)
        return 1
    if not chosen:
        over.append("no board is built: make build BOARD=…, or make size ALL=1")
    for line in over:
        print(line, file=sys.stderr)
    return 1 if over else 0


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--all", action="store_true", help="every board, not only those built before")
    words.add_argument("--board", action="append", default=[], metavar="NAME", help="this board alone")
    words.add_argument("--symbols", action="store_true", help="the largest crates and functions of each")
    words.add_argument("--target", metavar="TRIPLE", help="those of a target's gateway agent")
    words.add_argument("--top", type=int, default=15, help="how many of each (15)")
    return words


def program(board: str) -> Path:
    """Where a board's agent is when it is built."""
    return OUT / "boards" / board / "stint"


def build(*words: str) -> None:
    """Has scripts/build make what `words` say."""
    subprocess.run([ROOT / "scripts/build", *words], check=True, stdout=sys.stderr)


def table(boards: dict[str, dict]) -> list[str]:
    """Builds, measures and prints each board; what is over its budget."""
    over = []
    print(f"{'board':<20}{'bytes':>10}{'xz':>9}{'squashfs':>10}{'budget':>10}{'left':>9}")
    for name, board in boards.items():
        build("--board", name)
        binary = program(name)
        plain, squashed = binary.stat().st_size, squashfs(binary, board["target"])
        budget = board["flash"]["budget"]
        print(
            f"{name:<20}{plain:>10}{xz(binary):>9}{squashed:>10}{budget:>10}{budget - plain:>9}", flush=True
        )
        over += over_budget(name, board["flash"], plain, squashed)
    return over


def over_budget(board: str, flash: dict, plain: int, squashed: int) -> list[str]:
    """A line for each limit of a board file's [flash] that a board is over."""
    limits = [("budget", plain, "bytes"), ("squashfs_budget", squashed, "bytes of squashfs")]
    return [
        f"{board}: {size} {what} are {size - flash[key]} over flash.{key}, {flash[key]}"
        for key, size, what in limits
        if size > flash.get(key, size)
    ]


def xz(binary: Path) -> int:
    """Bytes after `xz -9e`."""
    packed = subprocess.run(["xz", "-9e", "--check=none", "-c", binary], check=True, capture_output=True)
    return len(packed.stdout)


def squashfs(binary: Path, target: str) -> int:
    """Bytes of a squashfs that holds the binary alone, without the padding to 4 KiB."""
    filter_ = FILTERS.get(target.partition("-")[0])
    more = ["-Xbcj", filter_] if filter_ else []
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        subprocess.run(
            ["mksquashfs", binary, image, *SQUASHFS, "-nopad", *more], check=True, stdout=subprocess.DEVNULL
        )
        return image.stat().st_size


def symbols(name: str, binary: Path, top: int) -> None:
    """Prints the largest crates and functions of an agent with its symbols."""
    listing = subprocess.run(
        ["nm", "--print-size", "--size-sort", "--reverse-sort", "--demangle", binary],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    functions, crates = [], Counter()
    for line in listing.splitlines():
        _, size, kind, function = line.split(None, 3)
        if kind in "bB":
            continue  # Zeroed memory takes no flash.
        functions.append((int(size, 16), function))
        crates[crate(function)] += int(size, 16)
    print(f"\n{name}: the largest crates (bytes)")
    for crate_, size in crates.most_common(top):
        print(f"{size:>9}  {crate_}")
    print(f"\n{name}: the largest functions and tables (bytes)")
    for size, function in functions[:top]:
        print(f"{size:>9}  {function[:90]}")


def crate(symbol: str) -> str:
    """The crate that a demangled symbol belongs to; C code is ring's or the C library's."""
    if RING.match(symbol):
        return "ring (C and assembly)"
    found = RUST_PATH.match(symbol)
    return found[1] if found else "C library and constants"


if __name__ == "__main__":
    sys.exit(main())
