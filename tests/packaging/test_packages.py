"""`make package`: what is in the packages, and that the same sources give the same bytes."""

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness.device import AGENT, PACKAGING, ROOT

sys.path.insert(0, str(ROOT / "scripts/package"))
import archive
import project

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb here")


def package(folder: Path, board: str = "x86-64-gateway", **environment: str) -> subprocess.CompletedProcess:
    """Runs scripts/package with a stand-in for the agent."""
    agent = folder / "agent"
    agent.write_text(AGENT)
    command = [sys.executable, ROOT / "scripts/package", "--board", board, "--binary", agent]
    if not shutil.which("dpkg-deb"):
        command += ["--format", "ipk,tar"]
    return subprocess.run(
        [*command, "--out", folder / "out"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def made(folder: Path, ending: str, **more: str) -> Path:
    """The package with that ending."""
    done = package(folder, **more)
    assert done.returncode == 0, done.stderr
    (found,) = (folder / "out").glob(f"*{ending}")
    return found


def output(*command: object) -> str:
    """What a command prints."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def members(data: bytes) -> dict[str, tuple[str, bytes]]:
    """Each member of a compressed tar: its mode and owner, and its content."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        return {
            entry.name: (
                f"{entry.mode:o} {entry.uname}:{entry.uid}",
                tar.extractfile(entry).read() if entry.isfile() else b"",
            )
            for entry in tar.getmembers()
        }


def test_the_same_sources_give_the_same_bytes_whatever_the_umask_and_the_hour(tmp_path):
    digests = []
    for round_, umask in enumerate([0o022, 0o077]):
        folder = tmp_path / str(round_)
        folder.mkdir()
        before = os.umask(umask)
        try:
            assert package(folder, SOURCE_DATE_EPOCH="1700000000").returncode == 0
        finally:
            os.umask(before)
        out = sorted((folder / "out").iterdir())
        digests.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in out])
    assert digests[0] == digests[1]
    assert len(digests[0]) >= 2


def test_the_date_in_a_package_is_the_one_that_was_asked_for(tmp_path):
    data = made(tmp_path, ".ipk", SOURCE_DATE_EPOCH="1700000000").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        assert {entry.mtime for entry in tar.getmembers()} == {1700000000}


def test_an_ipk_is_what_opkg_opens(tmp_path):
    outer = members(made(tmp_path, ".ipk", board="openwrt-mt7621").read_bytes())
    assert outer["./debian-binary"][1] == b"2.0\n"
    data = members(outer["./data.tar.gz"][1])
    assert data["./usr/sbin/stint"] == ("755 root:0", AGENT.encode())
    assert data["./etc/init.d/stint"] == ("755 root:0", (PACKAGING / "procd/stint.init").read_bytes())
    control = members(outer["./control.tar.gz"][1])
    fields = control["./control"][1].decode()
    assert "Package: stint\n" in fields
    assert "Architecture: mipsel_24kc\n" in fields
    assert f"Installed-Size: {sum(len(content) for _, content in data.values())}\n" in fields
    for path in control["./conffiles"][1].decode().split():
        assert f".{path}" in data
    assert control["./postinst"][0] == control["./prerm"][0] == "755 root:0"


def test_an_ipk_keeps_its_state_where_the_board_file_says(tmp_path):
    outer = members(made(tmp_path, ".ipk", board="x86-64-gateway").read_bytes())
    config = members(outer["./data.tar.gz"][1])["./etc/config/stint"][1].decode()
    assert f"option state_dir '{project.read_board('x86-64-gateway').state}'" in config


def test_the_installers_archive_holds_all_that_the_installer_names(tmp_path):
    names = set(members(made(tmp_path, ".tar.gz").read_bytes()))
    top = f"stint-{project.version()}-x86-64-gateway"
    script = (PACKAGING / "install.sh").read_text()
    for wanted in re.findall(r'"\$here/([a-z./0-9]+)"', script):
        assert f"{top}/{wanted}" in names
    assert f"{top}/stint" in names


@needs_dpkg
def test_a_deb_asks_before_it_replaces_what_the_owner_changed(tmp_path):
    deb = made(tmp_path, ".deb")
    conffiles = output("dpkg-deb", "-I", deb, "conffiles").split()
    listed = output("dpkg-deb", "-c", deb)
    in_etc = {line.split()[-1][1:] for line in listed.splitlines() if re.search(r"^-.* \./etc/", line)}
    assert set(conffiles) == in_etc
    assert "root/root" in listed
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}


@needs_dpkg
def test_lintian_has_nothing_to_say_but_what_is_overridden_with_a_reason(tmp_path):
    # The real program only where it has just been built (make test-packages); else one that differs in
    # needing a C library.
    built = bool(os.environ.get("STINT_PACKAGES"))
    if not built and not shutil.which("lintian"):
        pytest.skip("no lintian here: apt-get install lintian")
    command = [sys.executable, ROOT / "scripts/package", "--board", "x86-64-gateway", "--format", "deb"]
    if not built:
        command += ["--binary", shutil.copy("/bin/true", tmp_path / "agent")]
    subprocess.run([*command, "--out", tmp_path], check=True, capture_output=True)
    (deb,) = tmp_path.glob("*.deb")
    done = subprocess.run(["lintian", "--allow-root", deb], capture_output=True, text=True)
    complaints = [line for line in done.stdout.splitlines() if line[:2] in ("E:", "W:")]
    ours = complaints if built else [line for line in complaints if "[usr/sbin/stint]" not in line]
    assert ours == []


@pytest.mark.parametrize("path", sorted((ROOT / "board-configs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_board_has_an_architecture_in_both_package_formats(path):
    board = project.read_board(path.stem)
    assert board.deb_architecture
    assert board.ipk_architecture


def test_a_board_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    done = package(tmp_path, board="commodore-64")
    assert done.returncode == 1
    assert "no board 'commodore-64'" in done.stderr
    assert "openwrt-mt7621" in done.stderr


def test_without_an_agent_it_says_how_to_make_one(tmp_path):
    command = [
        sys.executable,
        ROOT / "scripts/package",
        "--board",
        "beaglebone",
        "--binary",
        tmp_path / "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "make build BOARD=beaglebone" in done.stderr


def test_an_archive_has_every_folder_before_what_is_in_it():
    with tarfile.open(fileobj=io.BytesIO(archive.tar_gz({"a/b/c": (0o644, b"x")}))) as tar:
        assert tar.getnames() == [".", "./a", "./a/b", "./a/b/c"]


def test_the_manual_page_names_every_option_of_the_command_line():
    page = (PACKAGING / "stint.8").read_text().replace("\\-", "-")
    source = (ROOT / "src/cli/mod.rs").read_text()
    # The worker is the daemon's to call, nobody else's.
    source = re.sub(r"struct Worker \{.*?\n\}", "", source, flags=re.S)
    fields = re.findall(r"#\[argh\((?:option|switch)[^]]*\)\]\s+(\w+):", source)
    assert len(fields) > 5
    for field in fields:
        option = "-y" if field == "yes" else "--" + field.replace("_", "-")
        assert option in page, option
