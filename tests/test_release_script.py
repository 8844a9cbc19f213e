"""`scripts/release`: which hub signs a release. Building is cargo's, for which a script stands in here."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def program(path: Path, script: str) -> Path:
    """A program that is a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def release(tmp_path):
    """Makes a release without boards; what its hub says of itself. One is left of an earlier build."""
    left = program(tmp_path / "target" / "hub" / "stint-hub", "echo the hub that was left")
    built = program(tmp_path / "built", "echo the hub of these sources")
    program(
        tmp_path / "bin" / "cargo", f'case "$*" in "build "*"--package stint-hub") cp {built} {left} ;; esac'
    )
    key = tmp_path / "key"
    key.write_text("")

    def make(**more: str) -> subprocess.CompletedProcess:
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        environment = {"PATH": path, "CARGO_TARGET_DIR": str(tmp_path / "target"), **more}
        # This board's agents have no updates, so there is nothing to build for it.
        command = [ROOT / "scripts" / "release", "1.0.0", key, tmp_path / "releases", "tiny-x86-64"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return make


def test_a_release_is_made_by_the_hub_of_these_sources_and_not_by_one_that_was_left(release):
    done = release()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the hub of these sources\n")


def test_a_hub_that_is_named_makes_the_release_and_has_to_be_there(release, tmp_path):
    named = program(tmp_path / "named", "echo the hub that is named")
    assert release(STINT_HUB=str(named)).stdout.startswith("the hub that is named\n")
    done = release(STINT_HUB=str(tmp_path / "nothing"))
    assert done.returncode == 1 and "is no program; without it the hub is built" in done.stderr
