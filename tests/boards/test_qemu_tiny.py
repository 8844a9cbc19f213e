"""The set tiny on an ARMv7 board: the memory of an agent with one idle child, and how often it wakes.

The agents are those of the boards tiny-armv7 and tiny-tls-armv7, brought to the virtual board on its disk;
the agent of the image is stopped before.
"""

import json
import re
import shutil
from urllib.parse import urlsplit

import pytest

from boards.emulated import OUT
from boards.machine import HOST, PATIENCE
from harness.bootserver import STATUS
from harness.certificates import Authority
from harness.signingserver import SigningServer
from harness.wait import until

PLACE = "/var/lib/stint/tiny"
MB = 1_000_000


@pytest.fixture
def server(request, home):
    """A server of the protocol, with the TLS that the parameter wants; the CA's file, if it has."""
    authority = Authority(home / "authority") if request.getfixturevalue("tls") else None
    certificate = None
    if authority:
        public, private = authority.issue(-1, 30, HOST)
        certificate = home / "server.pem"
        certificate.write_bytes(private.read_bytes() + public.read_bytes())
    server = SigningServer(certificate=certificate)
    server.ca = authority and authority.ca
    yield server
    server.close()


@pytest.mark.only_on("qemu-virt-armv7")
@pytest.mark.parametrize(
    ("program", "tls", "aim"), [("tiny-armv7", False, 0.7), ("tiny-tls-armv7", True, 1.2)]
)
def test_the_set_tiny_with_an_idle_child_keeps_within_its_memory(program, tls, aim, machine, server, capsys):
    binary = OUT / "boards" / program / "stint"
    assert binary.exists(), f"make build BOARD={program}"
    folder = machine.files / "tiny"
    (folder / "children.d").mkdir(parents=True)
    shutil.copy(binary, folder / "stint")
    child = {"name": "idle", "exec": "/bin/sleep", "args": ["1000000"], "autostart": True}
    (folder / "children.d" / "idle.json").write_text(json.dumps(child))
    port = urlsplit(server.url).port
    scheme = "https" if tls else "http"
    config = {
        "bootagent": {"servers": f"{scheme}://{HOST}:{port}", "step": 60},
        "childrenDir": f"{PLACE}/children.d",
        "allowPlainHttp": not tls,
    }
    if tls:
        shutil.copy(server.ca, folder / "ca.pem")
        config["caFile"] = f"{PLACE}/ca.pem"
    (folder / "agent.json").write_text(json.dumps(config))
    machine.switch_on()
    machine.shell("dmesg -n 1; /etc/init.d/S90stint stop >/dev/null 2>&1")
    words = f"{PLACE}/stint run --config {PLACE}/agent.json --state-dir {PLACE}/state"
    pid = machine.shell(f"{words} >/tmp/tiny.log 2>&1 & echo $!")
    until("a report with the child", lambda: server.heard(STATUS), PATIENCE)
    machine.shell("sleep 15")
    switches = f"sed -n 's/.*ctxt_switches:[^0-9]*//p' /proc/{pid}/task/*/status; cat /proc/uptime"
    before, after = (_switches(machine.shell(f"sleep {wait}; {switches}")) for wait in (0, 60))
    rollup = machine.shell(f"cat /proc/{pid}/smaps_rollup")
    assert "Pss:" in rollup, machine.shell("cat /tmp/tiny.log")
    pss, anonymous = (
        int(re.search(rf"{name}: +(\d+) kB", rollup)[1]) * 1024 for name in ("Pss", "Anonymous")
    )
    rate = (after[0] - before[0]) / (after[1] - before[1])
    with capsys.disabled():
        print(f"\n{program}: PSS {pss / MB:.2f} MB, anonymous {anonymous / MB:.2f} MB, {rate:.2f} switches/s")
    assert pss <= aim * MB
    assert rate <= 1.0


def _switches(said: str) -> tuple[int, float]:
    """Context switches of all threads so far, and the time since boot."""
    *counts, uptime = said.split("\n")
    return sum(int(count) for count in counts if count.strip()), float(uptime.split()[0])
