"""What an idle agent of the set `gateway` takes of a board's memory, its guardian included."""

import re

from boards.machine import PATIENCE
from harness.clients import finished, shell
from harness.wait import until

MB = 1_000_000
# Of both processes together.
PSS, ANONYMOUS = 2.2 * MB, 0.6 * MB


def test_guardian_and_daemon_keep_within_their_memory(machine, client, node, capsys):
    machine.configure(guardian={"enabled": True})
    machine.switch_on()
    name = node()
    # What it needed for a command is given back.
    assert finished(client, shell(client, [name], "echo ran"), name, 120)["Status"] == "Success"
    until("the worker has gone", lambda: len(machine.shell("pidof stint").split()) == 2, PATIENCE)
    machine.shell("sleep 75")
    rollups = machine.shell("for pid in $(pidof stint); do cat /proc/$pid/smaps_rollup; done")
    pss, anonymous = (
        sum(int(kb) for kb in re.findall(rf"^{name}: +(\d+) kB", rollups, re.MULTILINE)) * 1024
        for name in ("Pss", "Anonymous")
    )
    with capsys.disabled():
        board = machine.board.name
        print(f"\n{board}: guardian and daemon PSS {pss / MB:.2f} MB, anonymous {anonymous / MB:.2f} MB")
    assert rollups.count("\nPss:") == 2
    assert pss <= PSS and anonymous <= ANONYMOUS
