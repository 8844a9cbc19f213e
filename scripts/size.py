#!/usr/bin/env python3
"""What each board's agent costs on flash: bytes, xz and squashfs, against the budget of its board file.

Usage: scripts/size.py [--all] [--symbols TRIPLE] [--top N]

Looks at the boards that `make build BOARD=…` has built; --all builds the others first. --symbols also
links the agent of one target with its symbols and lists the largest crates and functions. Exit code 1
when a board is over its budget, or when there is nothing to measure.
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


def main() -> int:
    """Prints the tables; the exit code."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--all", action="store_true", help="build the boards that are not built yet")
    words.add_argument("--symbols", metavar="TRIPLE", help="the largest crates and functions of a target")
    words.add_argument("--top", type=int, default=15, help="how many of each (15)")
    asked = words.parse_args()
    over = boards(asked.all)
    if asked.symbols:
        symbols(asked.symbols, asked.top)
    return 1 if over else 0


def boards(build: bool) -> bool:
    """Prints the table of boards; whether one is over its budget or none is there."""
    measured, over = 0, []
    print(f"{'board':<20}{'bytes':>10}{'xz':>9}{'squashfs':>10}{'budget':>10}{'left':>9}")
    for file in sorted((ROOT / "board-configs").glob("*.toml")):
        board = tomllib.loads(file.read_text())
        binary = OUT / "boards" / file.stem / "stint"
        if build and not binary.exists():
            subprocess.run([ROOT / "scripts/build", "--board", file.stem], check=True, stdout=sys.stderr)
        if not binary.exists():
            print(f"{file.stem:<20}{'not built':>10}   make build BOARD={file.stem}")
            continue
        measured += 1
        plain, squashed = binary.stat().st_size, squashfs(binary, board["target"])
        budget = board["flash"]["budget"]
        print(f"{file.stem:<20}{plain:>10}{xz(binary):>9}{squashed:>10}{budget:>10}{budget - plain:>9}")
        if plain > budget:
            over.append(f"{file.stem}: {plain} bytes are {plain - budget} over flash.budget")
        limit = board["flash"].get("squashfs_budget")
        if limit is not None and squashed > limit:
            over.append(f"{file.stem}: {squashed} bytes of squashfs are over flash.squashfs_budget, {limit}")
    if not measured:
        over.append("no board is built: make build BOARD=…, or make size ALL=1")
    for line in over:
        print(line, file=sys.stderr)
    return bool(over)


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


def symbols(target: str, top: int) -> None:
    """Prints the largest crates and functions of the gateway agent of one target."""
    subprocess.run([ROOT / "scripts/build", "--symbols", target], check=True, stdout=sys.stderr)
    binary = OUT / "cross" / target / "release" / "stint-symbols"
    listing = subprocess.run(
        ["nm", "--print-size", "--size-sort", "--reverse-sort", "--demangle", binary],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    functions, crates = [], Counter()
    for line in listing.splitlines():
        _, size, kind, name = line.split(None, 3)
        if kind in "bB":
            continue  # Zeroed memory takes no flash.
        functions.append((int(size, 16), name))
        crates[crate(name)] += int(size, 16)
    print(f"\n{target}: the largest crates (bytes)")
    for name, size in crates.most_common(top):
        print(f"{size:>9}  {name}")
    print(f"\n{target}: the largest functions and tables (bytes)")
    for size, name in functions[:top]:
        print(f"{size:>9}  {name[:90]}")


def crate(symbol: str) -> str:
    """The crate that a demangled symbol belongs to; C code is ring's or the C library's."""
    if RING.match(symbol):
        return "ring (C and assembly)"
    found = RUST_PATH.match(symbol)
    return found[1] if found else "C library and constants"


if __name__ == "__main__":
    sys.exit(main())
