"""The package of Debian and its kin, made by dpkg-deb."""

import os
import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import project
from archive import DATA, PROGRAM, Tree, compressed, source

SCRIPTS = ["postinst", "prerm", "postrm"]
CONFFILES = ["etc/default/stint", "etc/init.d/stint", "etc/stint/agent.json"]

CONTROL = """\
Package: stint
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kibibytes}
Recommends: ca-certificates
Section: admin
Priority: optional
Homepage: {homepage}
Description: {summary}
{description}
"""

# What has changed is in changelog.gz, written for users; dpkg wants one in this form beside it.
CHANGELOG = """\
stint ({version}) unstable; urgency=medium

  * Version {upstream}: see changelog.gz.

 -- {maintainer}  {date}
"""


def contents(agent: bytes, version: str) -> Tree:
    """What is installed."""
    date = format_datetime(datetime.fromtimestamp(project.epoch(), UTC))
    changelog = CHANGELOG.format(
        version=version, upstream=project.version(), maintainer=project.MAINTAINER, date=date
    )
    doc = "usr/share/doc/stint"
    return {
        "usr/sbin/stint": (PROGRAM, agent),
        "etc/stint/agent.json": (DATA, source("agent.json")),
        "etc/default/stint": (DATA, source("stint.default")),
        "etc/init.d/stint": (PROGRAM, source("init.d/stint")),
        "lib/systemd/system/stint.service": (DATA, source("systemd/stint.service")),
        "usr/share/man/man8/stint.8.gz": (DATA, compressed(source("stint.8"))),
        f"{doc}/changelog.Debian.gz": (DATA, compressed(changelog.encode())),
        f"{doc}/changelog.gz": (DATA, compressed((project.ROOT / "CHANGELOG.md").read_bytes())),
        f"{doc}/examples/hardened.conf": (DATA, source("systemd/hardened.conf")),
        f"{doc}/copyright": (DATA, source("debian/copyright")),
        "usr/share/lintian/overrides/stint": (DATA, source("debian/lintian-overrides")),
    }


def write(board: project.Board, agent: bytes, out: Path) -> Path:
    """The package's path."""
    if not shutil.which("dpkg-deb"):
        raise project.Refusal("a .deb needs dpkg-deb: apt-get install dpkg, or --format ipk,tar")
    # A Debian version starts with a digit and takes ~ where a pre-release of ours has a hyphen.
    version = re.sub("-", "~", project.version()) + "-1"
    tree = contents(agent, version)
    fields = CONTROL.format(
        version=version,
        architecture=board.deb_architecture,
        maintainer=project.MAINTAINER,
        kibibytes=sum((len(content) + 1023) // 1024 for _, content in tree.values()),
        homepage=project.homepage(),
        summary=project.SUMMARY,
        description="\n".join(f" {line}" for line in project.DESCRIPTION.splitlines()),
    )
    tree["DEBIAN/control"] = (DATA, fields.encode())
    tree["DEBIAN/conffiles"] = (DATA, "".join(f"/{path}\n" for path in CONFFILES).encode())
    for script in SCRIPTS:
        tree[f"DEBIAN/{script}"] = (PROGRAM, source(f"debian/{script}"))
    made = out / f"stint_{version}_{board.deb_architecture}.deb"
    with tempfile.TemporaryDirectory() as folder:
        lay_out(tree, Path(folder))
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", folder, str(made)]
        # One thread: how many there are would show in the compressed bytes.
        more = {"SOURCE_DATE_EPOCH": str(project.epoch()), "DPKG_DEB_THREADS_MAX": "1"}
        done = subprocess.run(command, env=os.environ | more, capture_output=True, text=True)
        if done.returncode != 0:
            raise project.Refusal(f"dpkg-deb says: {done.stderr.strip()}")
    return made


def lay_out(tree: Tree, folder: Path) -> None:
    """Writes the tree as files with their modes, whatever the caller's umask."""
    folder.chmod(PROGRAM)
    for path, (mode, content) in tree.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(PROGRAM)
        os.utime(path, (project.epoch(), project.epoch()))
