"""`make test-targets` and `make test-boards` fail where there is nothing to run: a skipped test is green."""

import os
import subprocess
import sys

import pytest

from harness.device import ROOT


def run(tmp_path, file: str, **named: str) -> subprocess.CompletedProcess:
    """Those tests, where nothing has been built."""
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "tests/pytest.ini", ROOT / "tests/boards" / file]
    return subprocess.run(
        [*command, "-p", "no:xdist", f"--basetemp={tmp_path}/tests"],
        env={**os.environ, "STINT_EMULATORS": "1", "STINT_TARGET": str(tmp_path), **named},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("target", ["mipsel-unknown-linux-musl", "x86_64-unknown-linux-musl"])
def test_a_target_that_is_not_built_is_a_failure_that_says_how_to_build_it(tmp_path, target):
    done = run(tmp_path, "test_qemu_user.py", STINT_TARGETS=target)
    assert done.returncode == 1, done.stdout
    assert f"make build TARGET={target}" in done.stdout
    assert "2 errors" in done.stdout and "skipped" not in done.stdout


def test_a_board_without_an_image_is_a_failure_that_says_how_to_make_it(tmp_path):
    done = run(tmp_path, "test_qemu_memory.py", STINT_BOARDS="qemu-virt-aarch64")
    assert done.returncode == 1, done.stdout
    assert "make image BOARD=qemu-virt-aarch64" in done.stdout
    assert "1 error" in done.stdout and "skipped" not in done.stdout


def test_boards_that_no_test_boots_are_no_success(tmp_path):
    done = run(tmp_path, "test_qemu_memory.py", STINT_BOARDS="beaglebone")
    assert done.returncode != 0, done.stdout
