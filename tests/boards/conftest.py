"""Tests of cross-built agents. The slow ones are left to `make test-boards` and `make test-targets`.

Those say which: $STINT_BOARDS and $STINT_TARGETS. What is named and can't be run is a failure, for a test
that is skipped is green.
"""

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


def pytest_collection_modifyitems(config, items: list) -> None:
    """Leaves out the boards and targets that are not asked for, and those that a test doesn't need."""
    boards, targets = (os.environ.get(name, "").split() for name in ("STINT_BOARDS", "STINT_TARGETS"))

    def wanted(item) -> bool:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        only = item.get_closest_marker("only_on")
        model, emulator = params.get("model"), params.get("emulator")
        if only and model and model.name not in only.args:
            return False
        named = [model.name] if model else []
        named += [params["program"]] if "program" in params else []
        if boards and not set(named) <= set(boards):
            return False
        return not (targets and emulator and emulator.target not in targets)

    left_out = [item for item in items if not wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if wanted(item)]


@pytest.fixture(params=BOARDS, ids=lambda board: board.name)
def model(request) -> Board:
    """Each board that has an image."""
    if not (request.param.image / "initramfs").exists():
        pytest.fail(f"there is no image of {request.param.name}: make image BOARD={request.param.name}")
    return request.param


@pytest.fixture
def machine(model, home, hub, activate):
    """A board that is off, with an empty disk and an activation for its first boot."""
    machine = Machine(model, home, hub, activate())
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
