#!/usr/bin/env python3
"""Writes the list of crates that bitbake fetches, from Cargo.lock, as `bitbake -c update_crates` would.

Usage: packaging/yocto/crates.py [--check]

--check writes nothing and fails if the list isn't that of Cargo.lock.
"""

import argparse
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "packaging/yocto/meta-stint/recipes-support/stint/stint-crates.inc"
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def crates(lock: dict) -> list[tuple[str, str, str]]:
    """Name, version and checksum of every crate that comes from crates.io."""
    found = []
    for package in lock["package"]:
        source = package.get("source")
        # Without a source it is a member of the workspace.
        if source is None:
            continue
        if source != REGISTRY:
            raise SystemExit(
                f"{package['name']} comes from {source}: bitbake needs a SRC_URI of another form"
            )
        found.append((package["name"], package["version"], package["checksum"]))
    return sorted(found)


def recipe(found: list[tuple[str, str, str]]) -> str:
    """The list as bitbake reads it."""
    lines = ["# Made from Cargo.lock by packaging/yocto/crates.py: don't edit.", "", 'SRC_URI += " \\']
    lines += [f"    crate://crates.io/{name}/{version} \\" for name, version, _ in found]
    lines += ['"', ""]
    lines += [f'SRC_URI[{name}-{version}.sha256sum] = "{checksum}"' for name, version, checksum in found]
    return "\n".join(lines) + "\n"


def main() -> int:
    """The exit code."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--check", action="store_true", help="fail if the list is not current")
    check = words.parse_args().check
    wanted = recipe(crates(tomllib.loads((ROOT / "Cargo.lock").read_text())))
    if not check:
        LIST.write_text(wanted)
    elif not LIST.exists() or LIST.read_text() != wanted:
        print(
            f"{LIST.relative_to(ROOT)} is not of this Cargo.lock: run packaging/yocto/crates.py",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
