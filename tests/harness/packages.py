"""Packages of child agents, made by the test itself."""

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path


def checksum(package: bytes) -> str:
    """As jobs have it."""
    return "SHA256:" + hashlib.sha256(package).hexdigest()


def entry(name: str, content: str | bytes = b"", mode: int = 0o755, **more) -> tuple[tarfile.TarInfo, bytes]:
    """A file of an archive; `more` makes it something else."""
    content = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    # Somebody who is nobody here.
    info.uid = info.gid = 54321
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def tarball(*entries: tuple[tarfile.TarInfo, bytes], how: str = "gz") -> bytes:
    """An archive of these entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{how}", format=tarfile.GNU_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def deb(folder: Path, name: str, version: str, files: dict[str, str], depends: str = "") -> bytes:
    """A package for dpkg, by dpkg-deb."""
    root = folder / f"{name}-{version}-deb"
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
        (root / path).chmod(0o755)
    (root / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a test <t@example.org>\n"
    control += f"Depends: {depends}\n" if depends else ""
    (root / "DEBIAN" / "control").write_text(control + "Description: a child agent of a test\n")
    made = root.with_suffix(".deb")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", root, made], check=True, stdout=subprocess.DEVNULL
    )
    return made.read_bytes()


def dpkg_of_its_own(home: Path) -> tuple[Path, dict[str, str]]:
    """A real dpkg that installs into a folder of the test's own: that, and how it is found first."""
    tools, root = home / "tools", home / "root"
    tools.mkdir()
    admin = root / "var/lib/dpkg"
    for folder in ("info", "updates", "triggers"):
        (admin / folder).mkdir(parents=True)
    (admin / "status").touch()
    (admin / "available").touch()
    options = f"--force-not-root --force-script-chrootless --root={root} --log={home}/dpkg.log"
    (tools / "dpkg").write_text(f'#!/bin/sh\nexec {shutil.which("dpkg")} {options} "$@"\n')
    (tools / "dpkg").chmod(0o755)
    return root, {"PATH": f"{tools}:{os.environ['PATH']}"}


def ipk(name: str, version: str, files: dict[str, str]) -> bytes:
    """A package for opkg, as OpenWrt makes them: a gzipped archive of two others."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
    return tarball(
        entry("./debian-binary", "2.0\n"),
        entry("./data.tar.gz", tarball(*(entry(f"./{path}", text) for path, text in files.items()))),
        entry("./control.tar.gz", tarball(entry("./control", control))),
    )


def apk(name: str, version: str, files: dict[str, str]) -> bytes:
    """A package for apk (version 2): gzipped archives one behind the other, the first one cut before
    its end."""
    info = f"pkgname = {name}\npkgver = {version}\narch = noarch\n"
    control = gzip.decompress(tarball(entry(".PKGINFO", info)))
    control = gzip.compress(control[:1024])
    return control + tarball(*(entry(path, text) for path, text in files.items()))
