"""What the tests of packaging get."""

import pytest

from harness.device import Device, busybox, make_device


@pytest.fixture
def device(tmp_path) -> Device:
    """A BusyBox device with the installer at hand."""
    if not busybox():
        pytest.skip("no static BusyBox here: apt-get install busybox-static")
    made = make_device(tmp_path / "root")
    refused = made.sh("true").stderr
    if refused:
        pytest.skip(f"this machine gives no namespaces of its own: {refused}")
    return made
