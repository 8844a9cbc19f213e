"""The package of opkg: a compressed tar of debian-binary, control.tar.gz and data.tar.gz."""

from pathlib import Path

import project
from archive import DATA, PROGRAM, Tree, source, tar_gz

# What the device's owner may have changed.
CONFFILES = "/etc/config/stint\n/etc/stint/agent.json\n"

CONTROL = """\
Package: stint
Version: {version}-r1
Architecture: {architecture}
Section: net
Priority: optional
Maintainer: {maintainer}
License: Apache-2.0
Source: {homepage}
Installed-Size: {size}
Description: {summary}
{description}
"""


def contents(board: project.Board, agent: bytes) -> Tree:
    """What is installed. The state is where the board keeps it: on OpenWrt /var is memory."""
    config = source("procd/stint.config").decode()
    shipped = "option state_dir '/etc/stint/state'"
    if shipped not in config:
        raise project.Refusal(f"packaging/procd/stint.config has no line: {shipped}")
    config = config.replace(shipped, f"option state_dir '{board.state}'")
    return {
        "usr/sbin/stint": (PROGRAM, agent),
        "etc/init.d/stint": (PROGRAM, source("procd/stint.init")),
        "etc/config/stint": (DATA, config.encode()),
        "etc/stint/agent.json": (DATA, source("agent.json")),
        "lib/upgrade/keep.d/stint": (DATA, source("procd/stint.keep")),
    }


def write(board: project.Board, agent: bytes, out: Path) -> Path:
    """The package's path."""
    tree = contents(board, agent)
    fields = CONTROL.format(
        version=project.version(),
        architecture=board.ipk_architecture,
        maintainer=project.MAINTAINER,
        homepage=project.homepage(),
        size=sum(len(content) for _, content in tree.values()),
        summary=project.SUMMARY,
        description="\n".join(f" {line}" for line in project.DESCRIPTION.splitlines()),
    )
    control: Tree = {
        "control": (DATA, fields.encode()),
        "conffiles": (DATA, CONFFILES.encode()),
        "postinst": (PROGRAM, source("ipk/postinst")),
        "prerm": (PROGRAM, source("ipk/prerm")),
    }
    package: Tree = {
        "debian-binary": (DATA, b"2.0\n"),
        "control.tar.gz": (DATA, tar_gz(control)),
        "data.tar.gz": (DATA, tar_gz(tree)),
    }
    made = out / f"stint_{project.version()}-r1_{board.ipk_architecture}.ipk"
    made.write_bytes(tar_gz(package))
    return made
