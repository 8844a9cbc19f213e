"""What packages say about the project, and about the board that they are for."""

import os
import subprocess
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
PACKAGING = ROOT / "packaging"

MAINTAINER = "The stint developers <maintainers@stint-edge.invalid>"
SUMMARY = "Systems Manager agent for small Linux devices"
DESCRIPTION = """\
stint makes a router, gateway or board a managed node of AWS Systems
Manager or of a self-hosted stint-hub: it registers with a hybrid
activation, reports its health, polls for commands and runs them in
worker processes that outlive it."""

# What Debian calls the processors. ARMv6 is Raspberry Pi OS, which calls itself armhf and takes static
# soft-float programs; Debian's own armel is older processors.
DEB_ARCHITECTURES = {
    "aarch64-unknown-linux-musl": "arm64",
    "arm-unknown-linux-musleabi": "armhf",
    "armv5te-unknown-linux-musleabi": "armel",
    "armv7-unknown-linux-musleabihf": "armhf",
    "i686-unknown-linux-musl": "i386",
    "mips-unknown-linux-musl": "mips",
    "mipsel-unknown-linux-musl": "mipsel",
    "riscv64gc-unknown-linux-musl": "riscv64",
    "x86_64-unknown-linux-musl": "amd64",
}

# OpenWrt has a name for each processor core, so boards come first.
IPK_ARCHITECTURES = {
    "beaglebone": "arm_cortex-a8_vfpv3",
    "openwrt-ipq40xx": "arm_cortex-a7_neon-vfpv4",
    "openwrt-mt7621": "mipsel_24kc",
    "qemu-virt-armv7": "arm_cortex-a15_neon-vfpv4",
    "raspberry-pi-3": "aarch64_cortex-a53",
    "raspberry-pi-zero": "arm_arm1176jzf-s_vfp",
    "aarch64-unknown-linux-musl": "aarch64_generic",
    "arm-unknown-linux-musleabi": "arm_arm1176jzf-s_vfp",
    "armv5te-unknown-linux-musleabi": "arm_arm926ej-s",
    "armv7-unknown-linux-musleabihf": "arm_cortex-a7_neon-vfpv4",
    "i686-unknown-linux-musl": "i386_pentium4",
    "mips-unknown-linux-musl": "mips_24kc",
    "mipsel-unknown-linux-musl": "mipsel_24kc",
    "riscv64gc-unknown-linux-musl": "riscv64_generic",
    "x86_64-unknown-linux-musl": "x86_64",
}


class Refusal(Exception):
    """Why there is no package, and what to do."""


@dataclass(frozen=True)
class Board:
    """What of a board file matters to packages."""

    name: str
    description: str
    target: str
    state: str

    @property
    def deb_architecture(self) -> str:
        """As `dpkg --print-architecture` says it there."""
        return self._of(DEB_ARCHITECTURES, self.target)

    @property
    def ipk_architecture(self) -> str:
        """As `opkg print-architecture` says it there."""
        return self._of(IPK_ARCHITECTURES, self.name, self.target)

    def _of(self, table: dict[str, str], *keys: str) -> str:
        for key in keys:
            if key in table:
                return table[key]
        raise Refusal(f"{self.target} has no package architecture yet; add it to {Path(__file__).name}")


def read_board(name: str) -> Board:
    """The board of that name. Refuses one that isn't there, and says which are."""
    path = ROOT / "board-configs" / f"{name}.toml"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.toml"))
        raise Refusal(f"there is no board '{name}'; these are: {', '.join(known)}")
    data = tomllib.loads(path.read_text())
    return Board(name, data["description"], data["target"], data["paths"]["state"])


@cache
def manifest() -> dict:
    """Cargo.toml."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())


def version() -> str:
    """Of the workspace."""
    return manifest()["workspace"]["package"]["version"]


def homepage() -> str:
    """Where the sources are."""
    return manifest()["workspace"]["package"]["repository"]


@cache
def epoch() -> int:
    """The date of everything in a package, in seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    try:
        command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        # Sources from an archive: all of its files have the date of the release.
        return int((ROOT / "Cargo.toml").stat().st_mtime)
