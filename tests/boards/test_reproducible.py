"""`make reproducible` finds out a build whose bytes depend on where, or for whom, it is done."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.device import ROOT

# What scripts/build leaves, in the place of a compiler that says more or less of its surroundings.
BUILD = """#!/bin/sh
cd "$(dirname "$0")/.."
mkdir -p target/boards/mine
[ -L target/cross-venv ] && [ -L "$HOME/.cargo/registry" ] && [ "$1" = --board ] || exit 3
echo "{says}" >target/boards/mine/stint
"""


@pytest.fixture
def compare(tmp_path):
    """Runs scripts/reproducible on committed sources whose build says that."""

    def run(says: str) -> subprocess.CompletedProcess:
        sources, home = tmp_path / "sources", tmp_path / "home"
        (sources / "scripts").mkdir(parents=True)
        (home / ".cargo/registry").mkdir(parents=True)
        shutil.copy(ROOT / "scripts/reproducible", sources / "scripts")
        (sources / "scripts/build").write_text(BUILD.format(says=says))
        (sources / "scripts/build").chmod(0o755)
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_GLOBAL": "/dev/null"}
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.invalid", "-C", str(sources)]
        for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "sources"]):
            subprocess.run([*git, *words], env=env, check=True)
        command = [sources / "scripts/reproducible", "--board", "mine"]
        return subprocess.run(command, env=env, capture_output=True, text=True)

    return run


def test_a_build_that_says_nothing_of_its_surroundings_is_the_same(compare, tmp_path: Path):
    done = compare("$SOURCE_DATE_EPOCH")
    assert done.returncode == 0, done.stderr
    assert "mine: the same bytes" in done.stdout
    kept = list((tmp_path / "sources/target/reproducible").glob("*/*"))
    assert [file.name for file in kept] == ["stint", "stint"]
    # What it links to is this machine's, and stays.
    assert (tmp_path / "home/.cargo/registry").is_dir()


@pytest.mark.parametrize("says", ["$PWD", "$HOME"])
def test_a_build_that_has_its_folder_or_its_home_in_it_is_found_out(compare, says):
    done = compare(says)
    assert done.returncode == 1
    assert "mine differs" in done.stderr
