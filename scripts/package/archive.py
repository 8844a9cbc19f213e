"""File trees, and archives of them whose bytes depend on nothing but their content."""

import gzip
import io
import tarfile
from pathlib import Path

import project

PROGRAM = 0o755
DATA = 0o644

# Path in the package, without a slash in front: mode and content.
Tree = dict[str, tuple[int, bytes]]

# What install.sh looks for beside itself.
INSTALLER_FILES = [
    "agent.json",
    "busybox/inittab",
    "init.d/stint",
    "install.sh",
    "openrc/stint",
    "procd/stint.config",
    "procd/stint.init",
    "procd/stint.keep",
    "stint.8",
    "stint.default",
    "systemd/hardened.conf",
    "systemd/stint.service",
]
PROGRAMS = {"init.d/stint", "install.sh", "openrc/stint", "procd/stint.init"}


def source(path: str) -> bytes:
    """A file of packaging/."""
    return (project.PACKAGING / path).read_bytes()


def compressed(data: bytes) -> bytes:
    """gzip without a date or a name."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=9, mtime=0) as file:
        file.write(data)
    return out.getvalue()


def tar_gz(tree: Tree, top: str = ".") -> bytes:
    """A compressed tar of root's, folders included, under `top`."""
    folders = {str(parent) for path in tree for parent in Path(path).parents if str(parent) != "."}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in ["", *sorted(folders | set(tree))]:
            entry = tarfile.TarInfo(f"{top}/{path}" if path else top)
            entry.mtime = project.epoch()
            entry.uname = entry.gname = "root"
            if path in tree:
                entry.mode, content = tree[path]
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, PROGRAM
                tar.addfile(entry)
    return compressed(out.getvalue())


def write_installer(board: project.Board, agent: bytes, out: Path) -> Path:
    """The agent with install.sh and every init system's files."""
    name = f"stint-{project.version()}-{board.name}"
    tree: Tree = {path: (PROGRAM if path in PROGRAMS else DATA, source(path)) for path in INSTALLER_FILES}
    tree["stint"] = (PROGRAM, agent)
    tree["LICENSE"] = (DATA, (project.ROOT / "LICENSE").read_bytes())
    made = out / f"{name}.tar.gz"
    made.write_bytes(tar_gz(tree, name))
    return made
