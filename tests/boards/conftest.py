"""Tests of cross-built agents. The slow ones are left to `make test-boards` and `make test-targets`."""

import os

import pytest

from boards.machine import Board, Machine
from harness.clients import wait_until_online
from harness.wait import until

# They need emulators, and binaries that take minutes to build; `make test` has neither.
collect_ignore_glob = [] if os.environ.get("STINT_EMULATORS") else ["test_qemu_*.py"]

BOARDS = [
    Board("qemu-virt-armv7", "qemu-system-arm", "cortex-a7"),
    Board("qemu-virt-aarch64", "qemu-system-aarch64", "cortex-a53"),
]


@pytest.fixture(params=BOARDS, ids=lambda board: board.name)
def machine(request, home, hub, activate):
    """A board that is off, with an empty disk and an activation for its first boot."""
    if not (request.param.image / "initramfs").exists():
        pytest.skip(f"no image: make image BOARD={request.param.name}")
    machine = Machine(request.param, home, hub, activate())
    yield machine
    machine.unplug()


@pytest.fixture
def node(client):
    """Tells the id of the one node of the hub, once it is Online."""

    def find() -> str:
        def listed() -> str | None:
            found = client.describe_instance_information()["InstanceInformationList"]
            return found[0]["InstanceId"] if found else None

        name = until("the board has registered", listed, 240)
        wait_until_online(client, name)
        return name

    return find
