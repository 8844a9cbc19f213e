"""What is wrong in a board file stops the build, with the line."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from boards.emulated import OUT
from harness.device import ROOT

BOARD = (ROOT / "board-configs/x86-64-gateway.toml").read_text()


def bake(folder: Path, text: str) -> subprocess.CompletedProcess:
    """Runs the agent's build script, as cargo has made it, for a board with that file."""
    (folder / "board-configs").mkdir()
    (folder / "board-configs/mine.toml").write_text(text)
    scripts = (OUT / "debug/build").glob("stint-agent-*/build-script-build")
    newest = max(scripts, key=lambda script: script.stat().st_mtime)
    env = {"PATH": os.environ["PATH"], "CARGO_PKG_VERSION": "1.2.3", "TARGET": "x86_64-unknown-linux-musl"}
    env |= {"STINT_BOARD": "mine", "OUT_DIR": str(folder), "SOURCE_DATE_EPOCH": "1700000000"}
    return subprocess.run([newest], cwd=folder, env=env, capture_output=True, text=True)


def test_a_board_file_of_ours_is_baked_in(tmp_path):
    done = bake(tmp_path, BOARD)
    assert done.returncode == 0, done.stderr
    assert 'name: "mine"' in (tmp_path / "board.rs").read_text()


@pytest.mark.parametrize(
    ("key", "wrong", "said"),
    [
        ("state", 'statte = "/var/lib/stint"', "statte"),
        ("state", 'state = "var/lib/stint"', "paths.state must be absolute"),
        ("config", 'config = ""', "paths.config must be absolute"),
        ("baud", "baud = 1200", "serial.baud must be one of"),
        ("baud", 'baud = "fast"', "baud"),
        ("devices", "devices = 7", "devices"),
        ("health_minutes", "health_minutes = 61", "intervals.health_minutes must be from 1 to 60"),
        ("init", 'init = "upstart"', "upstart"),
        ("features", 'features = "all"', "all"),
        ("budget", "budget = 1\nbugdet = 1", "bugdet"),
    ],
)
def test_a_wrong_key_or_value_stops_the_build_with_its_line(tmp_path, key, wrong, said):
    text, found = re.subn(rf"^{key} = .*$", wrong.replace("\\", "\\\\"), BOARD, flags=re.MULTILINE)
    assert found == 1
    done = bake(tmp_path, text)
    assert done.returncode == 1
    assert said in done.stderr
    line = text.splitlines().index(wrong.splitlines()[-1]) + 1
    assert "board-configs/mine.toml" in done.stderr
    assert f"line {line}" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("[log]\nto = 'file'\nfile = 'stint.log'", "log.file must be absolute"),
        ("[network]\n\nbytes_per_day = 5", "network.bytes_per_day must be 0, or from"),
        ("[update]\nsource = 'https://releases.example'\nkeys = ['ssh-ed25519 AAAA']", "update.keys must be"),
    ],
)
def test_a_wrong_value_of_an_optional_section_stops_the_build_with_its_line(tmp_path, section, said):
    text = f"{BOARD}\n{section}\n"
    done = bake(tmp_path, text)
    assert done.returncode == 1
    assert said in done.stderr
    assert f"line {len(text.splitlines())}:" in done.stderr, done.stderr


@pytest.fixture
def build(tmp_path):
    """Runs scripts/build for a board with that file, where there is no toolchain."""
    for folder in ("scripts", "targets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "board-configs").mkdir()

    def run(text: str) -> subprocess.CompletedProcess:
        (tmp_path / "board-configs/mine.toml").write_text(text)
        command = [tmp_path / "scripts/build", "--board", "mine"]
        env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CARGO_TARGET_DIR": str(tmp_path)}
        return subprocess.run(command, env=env, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    ("key", "wrong", "said"),
    [
        ("target", 'target = "vax"', "mine.toml, line {line}: there is no target 'vax'"),
        ("target", "target = vax", "mine.toml, line {line}: there is no target ''"),
        ("target", 'targt = "vax"', "mine.toml: there is no line 'target = "),
        ("features", 'features = "all"', "mine.toml, line {line}: there is no set 'all'; these are: gateway"),
        ("features", 'featurs = "tiny"', "mine.toml: there is no line 'features = "),
        ("features", 'features = "gateway" # of all', "make toolchain"),
    ],
)
def test_scripts_build_says_which_line_has_a_wrong_target_or_set(build, key, wrong, said):
    text, found = re.subn(rf"^{key} = .*$", wrong, BOARD, flags=re.MULTILINE)
    assert found == 1
    done = build(text)
    assert done.returncode == 1
    assert said.format(line=text.splitlines().index(wrong) + 1) in done.stderr, done.stderr
