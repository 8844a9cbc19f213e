"""The agent of an emulated board replaces itself by another real build, and lives through mishaps."""

import threading

import pytest

from boards.emulated import OUT
from boards.machine import HOST, PATIENCE
from boards.newer import next_build
from harness.clients import finished, wait_until_online
from harness.releases import NEXT, Releases
from harness.wait import until
from harness.web import Web

STATE = "/var/lib/stint"

# The second build alone takes minutes.
pytestmark = [pytest.mark.only_on("qemu-virt-armv7"), pytest.mark.long]


@pytest.fixture(scope="session")
def newer():
    """A second cross build, of version NEXT."""
    assert (OUT / "boards" / "qemu-virt-armv7" / "stint").exists(), "make build BOARD=qemu-virt-armv7"
    return next_build("qemu-virt-armv7")


class Board:
    """A board whose agent knows a release key, seen from its shell and from the hub."""

    def __init__(self, machine, hub, client, node):
        self.machine, self.hub, self.client = machine, hub, client
        self.find = node
        self.releases = Releases(machine.home, hub)
        target = "armv7-unknown-linux-musleabihf"
        self.releases.file = f"stint-{machine.board.name}-{target}"
        self.node = ""

    def switch_on(self, **update: object) -> "Board":
        """Boots for the first time, until the node is Online."""
        update = {"keys": [self.releases.public], "deadlineMinutes": 1, **update}
        self.machine.configure(update=update)
        self.machine.switch_on()
        self.node = self.find()
        self.machine.shell("dmesg -n 1")
        return self

    def boot(self) -> None:
        """Boots again, until the agent answers in the guest."""
        self.machine.switch_on()
        self.machine.shell("dmesg -n 1")
        until("an agent runs", lambda: self.status()["running"], PATIENCE)

    def update(self, *words: object) -> tuple[int, str]:
        """`stint update`: its exit code, and what it says."""
        line = " ".join(str(word) for word in words)
        said = self.machine.shell(f"stint update {line} >/tmp/said 2>&1; echo code $?; cat /tmp/said")
        code, _, text = said.partition("code ")[2].partition("\n")
        return int(code), text

    def status(self) -> dict:
        """What `stint status` says."""
        return self.machine.status()

    def kept(self) -> str:
        """The version that has shown that it is good."""
        return self.status()["update"]["version"]

    def heard(self) -> str:
        """The version that the hub has heard last."""
        (found,) = self.client.describe_instance_information()["InstanceInformationList"]
        return found["AgentVersion"]

    def until_heard(self, version: str) -> None:
        """Waits until the hub has heard that version."""
        until(f"the hub hears version {version}", lambda: self.heard() == version, PATIENCE)

    def send_update(self) -> str:
        """Sends AWS-UpdateSSMAgent; the command's id."""
        sent = self.client.send_command(DocumentName="AWS-UpdateSSMAgent", InstanceIds=[self.node])
        return sent["Command"]["CommandId"]

    def end_of(self, command: str) -> dict:
        """What became of it."""
        return finished(self.client, command, self.node, PATIENCE)


@pytest.fixture
def board(machine, newer, hub, client, node):
    """A board that is off and will know the release key."""
    return Board(machine, hub, client, node)


class Elsewhere(Web):
    """Another server of what the hub serves, which can hold back half of the program."""

    def __init__(self, releases: Releases):
        super().__init__()
        self.port = self.url.rpartition(":")[2]
        self.source = f"http://{HOST}:{self.port}/manifest.json"
        self.half_sent, self.whole_sent = threading.Event(), threading.Event()
        for name in ("manifest.json", "manifest.json.sig"):
            self.serve(f"/{name}", (releases.folder / name).read_bytes())
        self.program = (releases.folder / NEXT / releases.file).read_bytes()
        self.path = f"/{NEXT}/{releases.file}"
        self.serve_program()

    def serve_program(self) -> None:
        """Serves all of it."""

        def page(request) -> None:
            request.answer(200, self.program)
            self.whole_sent.set()

        self.pages[self.path] = page

    def hold_back(self) -> None:
        """Sends half of it, and never the rest."""

        def page(request) -> None:
            request.answer(200, b"", Content_Length=str(len(self.program)))
            request.send(self.program[: len(self.program) // 2])
            self.half_sent.set()
            threading.Event().wait(PATIENCE)

        self.pages[self.path] = page


@pytest.fixture
def elsewhere(board, newer):
    """A server that isn't the hub."""
    board.releases.make(NEXT, newer)
    web = Elsewhere(board.releases)
    yield web
    web.close()


def test_a_board_becomes_the_new_version_by_a_command_and_is_it_after_a_reboot(board, newer):
    board.switch_on()
    old = board.heard()
    assert old != NEXT
    board.releases.publish(NEXT, newer)
    found = board.end_of(board.send_update())
    assert found["Status"] == "Success", found["StandardErrorContent"]
    assert f"stint {NEXT} runs in the place of {old}" in found["StandardOutputContent"]
    board.until_heard(NEXT)
    board.machine.type("reboot")
    board.machine.goes_off()
    board.boot()
    assert board.kept() == NEXT
    assert NEXT in board.machine.shell(
        "cat /proc/$(cat /run/stint.pid)/exe | grep -ao '99[.]0[.]0' | head -n 1"
    )
    wait_until_online(board.client, board.node)


def test_power_cuts_in_the_download_in_the_trial_and_as_it_is_kept_lead_to_the_new_version(board, elsewhere):
    board.switch_on(source=elsewhere.source)
    old = board.heard()
    elsewhere.hold_back()
    board.machine.shell("(stint update --apply >/dev/null 2>&1 &)")
    assert elsewhere.half_sent.wait(PATIENCE)
    slots = f"ls {STATE}/update/slots/a"
    until("half of it is on the disk", lambda: board.machine.shell(slots), PATIENCE)
    board.machine.unplug()

    # Half a program is none, and the next try isn't in its way.
    board.boot()
    assert board.kept() == old
    wait_until_online(board.client, board.node)
    elsewhere.serve_program()
    elsewhere.whole_sent.clear()
    board.hub.kill()
    board.machine.shell("(stint update --apply >/dev/null 2>&1 &)")
    until("it is on trial", lambda: board.status()["update"].get("trial") == NEXT, PATIENCE)
    until(
        "it was started",
        lambda: '"tries":1' in board.machine.shell(f"cat {STATE}/update/state.json"),
        PATIENCE,
    )
    assert elsewhere.whole_sent.is_set()
    board.machine.unplug()

    # The trial goes on after the cut, and the next cut is when the server has just heard it.
    board.hub.start()
    board.machine.switch_on()
    board.until_heard(NEXT)
    board.machine.unplug()
    board.boot()
    until("it is kept", lambda: board.kept() == NEXT and "trial" not in board.status()["update"], PATIENCE)
    wait_until_online(board.client, board.node)
    assert board.update("--check")[0] == 0


def test_wherever_the_power_is_cut_one_version_runs_and_the_next_try_ends_well(board, newer, capsys):
    board.switch_on()
    old = board.heard()
    board.releases.publish(NEXT, newer)
    found = []
    for tenths in (1, 4, 8, 14, 22, 40):
        board.machine.shell("(stint update --apply >/dev/null 2>&1 &)")
        # A cut at any moment is right, so it doesn't matter where this one hits.
        threading.Event().wait(tenths / 10)
        board.machine.unplug()
        board.boot()
        assert board.kept() in (old, NEXT)
        found.append((tenths / 10, board.status()["update"]))
        until(
            "an update ends well", lambda: board.update("--apply")[0] == 0 and board.kept() == NEXT, PATIENCE
        )
        # The factory's program again.
        board.machine.shell(f"/etc/init.d/S90stint stop; rm -rf {STATE}/update; /etc/init.d/S90stint start")
        until("it is the old one", lambda: board.status()["online"] and board.kept() == old, PATIENCE)
    with capsys.disabled():
        print(f"\nafter cuts: {', '.join(f'{at} s {update}' for at, update in found)}")


def test_a_new_version_that_crashes_or_reaches_no_server_is_taken_back(board, elsewhere):
    board.switch_on(source=elsewhere.source)
    old = board.heard()
    # It starts, and the server never hears it.
    board.hub.kill()
    code, said = board.update("--apply")
    assert code == 1 and f"version {NEXT} was taken back: it didn't reach the server in 1 minutes" in said, (
        said
    )
    board.hub.start()
    wait_until_online(board.client, board.node)
    assert board.kept() == old and board.status()["update"]["bad"] == [NEXT]

    # Another one is killed by a signal each time.
    crash = board.releases.script("99.1", "kill -SEGV $$")
    board.releases.make("99.1", crash)
    for name in ("manifest.json", "manifest.json.sig", f"99.1/{board.releases.file}"):
        elsewhere.serve(f"/{name}", (board.releases.folder / name).read_bytes())
    found = board.end_of(board.send_update())
    assert found["Status"] == "Failed"
    assert "started 3 times and the server didn't hear it" in found["StandardErrorContent"]
    assert board.kept() == old
    wait_until_online(board.client, board.node)


def test_what_is_not_signed_or_older_or_cut_short_or_has_no_room_is_refused_and_nothing_is_touched(
    board, newer, home
):
    board.switch_on()
    old = board.heard()

    def refused(why: str, *words: object) -> None:
        code, said = board.update("--apply", *words)
        assert code == 1 and why in said, said
        update = board.status()["update"]
        assert (update["version"], "trial" in update) == (old, False)
        assert (
            board.machine.shell(
                f"ls {STATE}/update/slots/a {STATE}/update/slots/b 2>/dev/null | grep -x stint"
            )
            == ""
        )

    board.releases.publish("0.0.5", newer)
    refused(f"version 0.0.5 is older than {old}", "--version", "0.0.5")
    board.releases.publish(NEXT, newer)
    served = board.hub.data / "updates" / NEXT / board.releases.file
    whole = served.read_bytes()
    served.write_bytes(whole[: len(whole) // 2])
    refused("has not the checksum it should have")
    served.write_bytes(whole)

    board.machine.shell(f"dd if=/dev/zero of={STATE}/fill bs=64k >/dev/null 2>&1; sync")
    refused("there is no room for the new version")
    board.machine.shell(f"rm {STATE}/fill; sync")

    manifest = board.hub.data / "updates" / "manifest.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good.replace(b"Active", b"active"))
    refused("isn't signed by a release key that this device knows")
    manifest.write_bytes(good)
    other = Releases(home, board.hub, "other")
    other.file = board.releases.file
    other.make(NEXT, newer)
    signature = other.folder / "manifest.json.sig"
    (board.hub.data / "updates" / "manifest.json.sig").write_bytes(signature.read_bytes())
    refused("isn't signed by a release key that this device knows")
    board.releases.mark(NEXT, "Active")
    code, said = board.update("--apply")
    assert code == 0 and board.kept() == NEXT, said
