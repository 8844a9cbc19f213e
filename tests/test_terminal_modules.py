"""The page's modules, without a page: messages, numbered streams and the channel, by Node's test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parents[1] / "hub" / "console" / "test"


def test_the_modules_of_the_console_keep_their_promises():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (apt-get install nodejs)")
    files = sorted(str(path) for path in _TESTS.glob("*.test.js"))
    assert len(files) >= 3
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout and "# pass 0" not in done.stdout
