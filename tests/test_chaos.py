"""Twenty rounds of `make chaos`: random faults while commands flow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.programs import environment

_CAN = os.geteuid() == 0 and all(shutil.which(tool) for tool in ["unshare", "ip", "tc"])


@pytest.mark.skipif(not _CAN, reason="needs root, unshare, ip and tc, for a network and a disk of its own")
def test_every_command_ends_once_and_the_node_is_back_within_a_minute_of_every_fault(home):
    here = {name: value for name, value in os.environ.items() if name.startswith(("STINT_", "CARGO_"))}
    env = environment(home, **here, PYTHONPATH=str(Path(__file__).parent), TMPDIR=str(home))
    command = [sys.executable, "-m", "chaos", "--rounds", "20"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1800)
    # The seed stands in the first line.
    assert done.returncode == 0, done.stdout + done.stderr
