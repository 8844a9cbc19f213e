"""Every shell script of the project is clean, and systemd understands our unit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.device import PACKAGING, ROOT


def shell_scripts() -> list[Path]:
    """Everything in the repository whose first line names a shell; procd's and OpenRC's included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found = []
    for name in listed:
        path = ROOT / name
        if not path.is_file() or path.suffix in {".rs", ".md", ".json", ".toml"}:
            continue
        with path.open("rb") as file:
            first = file.readline(200)
        if first.startswith(b"#!") and first.split(b"#!")[1].split()[0].endswith((b"/sh", b"/openrc-run")):
            found.append(path)
    return found


def names(paths: list[Path]) -> list[str]:
    """For the reports."""
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", shell_scripts(), ids=names(shell_scripts()))
def test_shellcheck_has_nothing_to_say(path):
    if not shutil.which("shellcheck"):
        pytest.skip("no shellcheck here: apt-get install shellcheck")
    command = ["shellcheck", "--shell=sh"]
    first = path.read_text().splitlines()[0]
    if "rc.common" in first:
        # OpenWrt's shell is BusyBox ash, which has `local`.
        command += ["--exclude=SC3043"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_search_for_shell_scripts_finds_them():
    found = names(shell_scripts())
    for known in [
        "packaging/install.sh",
        "packaging/init.d/stint",
        "packaging/procd/stint.init",
        "scripts/need",
    ]:
        assert known in found


@pytest.mark.parametrize("drop_in", [None, "hardened.conf"])
def test_systemd_understands_the_unit(tmp_path, drop_in):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    if drop_in:
        (tmp_path / "stint.service.d").mkdir()
        shutil.copy(PACKAGING / "systemd" / drop_in, tmp_path / "stint.service.d")
    # It checks that the program exists, so it is given one that does.
    unit = tmp_path / "stint.service"
    text = (PACKAGING / "systemd/stint.service").read_text()
    unit.write_text(text.replace("/usr/sbin/stint", "/bin/true").replace("Documentation=man:stint(8)\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    # Younger than some systemd, which passes it over (docs/decisions/0025).
    young = "Unknown key 'DelegateSubgroup'"
    ours = ("stint.service", "hardened.conf")
    complaints = [
        line for line in done.stderr.splitlines() if any(n in line for n in ours) and young not in line
    ]
    assert done.returncode == 0, done.stderr
    assert complaints == []


@pytest.mark.parametrize(
    "setting",
    ["KillMode=process", "Restart=always", "OOMPolicy=continue", "RuntimeDirectoryPreserve=yes"],
)
def test_a_stop_a_crash_or_a_hungry_script_ends_no_other_document(setting):
    assert setting in (PACKAGING / "systemd/stint.service").read_text().splitlines()
