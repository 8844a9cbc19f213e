"""Makes the packages of a board: .deb, .ipk, and an archive with the installer for everything else.

Usage: python3 scripts/package --board NAME [--binary FILE] [--out DIR] [--format deb,ipk,tar]

The agent is what `make build BOARD=…` left in target/boards/NAME/stint. The same sources and the same
agent give the same bytes: every date is $SOURCE_DATE_EPOCH, or else that of the last commit.
"""

import argparse
import sys
from pathlib import Path

import archive
import deb
import ipk
import project

FORMATS = {"deb": deb.write, "ipk": ipk.write, "tar": archive.write_installer}


def main() -> int:
    """Writes the packages and prints a line for each; the exit code."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--board", required=True, help="a name in board-configs/")
    words.add_argument("--binary", type=Path, help="the agent (target/boards/NAME/stint)")
    words.add_argument("--out", type=Path, help="where to (target/packages/NAME)")
    words.add_argument("--format", default=",".join(FORMATS), help="some of deb,ipk,tar (all)")
    asked = words.parse_args()
    try:
        board = project.read_board(asked.board)
        binary = asked.binary or project.OUT / "boards" / board.name / "stint"
        if not binary.is_file():
            raise project.Refusal(f"there is no agent {binary}; make build BOARD={board.name} makes it")
        wanted = asked.format.split(",")
        unknown = set(wanted) - set(FORMATS)
        if unknown:
            raise project.Refusal(f"no format {', '.join(sorted(unknown))}; there are {', '.join(FORMATS)}")
        out = asked.out or project.OUT / "packages" / board.name
        out.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            made = FORMATS[name](board, binary.read_bytes(), out)
            print(f"{made.stat().st_size:>9} {made}")
    except project.Refusal as refusal:
        print(f"scripts/package: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
