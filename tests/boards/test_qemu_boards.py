"""Whole boards, booted in QEMU with the image of `make image`: what a person with a serial cable sees."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from boards.machine import GUEST, HOST, PATIENCE
from harness.clients import finished, shell
from harness.wait import until

# The serial report's promise: it fits a terminal.
COLUMNS = 120
# The last second of a clock of 32 bits.
LAST_SECOND = 2**31 - 1
# What `make bench` promises natively is a megabyte or two; this is a 32-bit or 64-bit guest's.
MEMORY_AT_MOST_KB = 4096


# uname -m, and what Rust calls that.
PROCESSORS = {"qemu-virt-armv7": ("armv7l", "arm"), "qemu-virt-aarch64": ("aarch64", "aarch64")}


def test_a_board_registers_at_first_boot_and_says_so_on_its_serial_console(machine, aws, client, node):
    machine.switch_on()
    name = node()
    start = machine.words("start")
    assert re.fullmatch(r"\d+\.\d+\.\d+", start.pop("version"))
    assert start == {"board": machine.board.name, "node": "not registered"}
    assert machine.words("system") == {
        "kernel": machine.shell("uname -r"),
        "arch": PROCESSORS[machine.board.name][1],
        "host": machine.board.name,
        "os": "stint test image 1",
    }
    boot = machine.words("boot")
    assert boot["id"] == machine.shell("cat /proc/sys/kernel/random/boot_id")
    assert boot["reason"] == "unknown", "the board's file names no watchdog that could know"
    assert 0 < int(boot["uptime"]) < PATIENCE
    clock = machine.words("clock")
    # A clock with a battery has set it, and no time server.
    assert clock["state"] == "unset"
    assert abs(datetime.fromisoformat(clock["time"]) - datetime.now(UTC)) < timedelta(seconds=PATIENCE)
    assert machine.words("address") == {"interface": "eth0", "ip": GUEST}
    assert machine.words("online")["link"]
    assert all(len(line) <= COLUMNS for line in machine.report())

    command = aws(
        "send-command",
        "--document-name=AWS-RunShellScript",
        f"--instance-ids={name}",
        "--parameters=commands=['uname -m; hostname']",
    )["Command"]["CommandId"]
    result = finished(client, command, name, 120)
    assert result["Status"] == "Success"
    assert result["StandardOutputContent"] == f"{PROCESSORS[machine.board.name][0]}\n{machine.board.name}\n"


def test_a_killed_agent_is_back_and_takes_commands(machine, client, node):
    machine.switch_on()
    name = node()
    before = machine.agent()
    assert before
    machine.shell(f"kill -9 {before}")
    until("another agent runs", lambda: machine.agent() not in (0, before), 120)
    assert (
        finished(client, shell(client, [name], "echo back"), name, 120)["StandardOutputContent"] == "back\n"
    )


def test_a_power_cut_in_the_middle_of_a_document_is_reported_after_the_reboot(machine, client, node):
    machine.switch_on()
    name = node()
    for ran, cut in [("poweroff", machine.power_off_at_once), ("power", machine.unplug)]:
        file = f"/var/lib/stint/{ran}"
        command = shell(client, [name], f"echo once >>{file}; sync; sleep 300")
        until("the document runs", lambda file=file: machine.shell(f"cat {file}") == "once", 120)
        cut()

        machine.switch_on()
        assert machine.words("start")["node"] == name
        result = finished(client, command, name, 240)
        assert result["Status"] == "Failed"
        assert "interrupted" in (result["StandardErrorContent"] + result["StandardOutputContent"]).lower()
        assert machine.shell(f"cat {file}") == "once"
    # The same node: the second boot found the registration and needed no activation.
    assert [n["InstanceId"] for n in client.describe_instance_information()["InstanceInformationList"]] == [
        name
    ]
    assert finished(client, shell(client, [name], "echo on"), name, 120)["Status"] == "Success"


def test_a_document_that_asks_for_a_reboot_gets_a_real_one_and_goes_on(machine, client, node):
    machine.switch_on()
    name = node()
    ran = "/var/lib/stint/ran"
    script = [
        f"cat /proc/sys/kernel/random/boot_id >>{ran}",
        f"[ $(wc -l <{ran}) -gt 1 ] || exit 194",
        f"cat {ran}",
    ]
    command = shell(client, [name], *script)
    machine.goes_off()

    machine.switch_on()
    result = finished(client, command, name, 240)
    assert result["Status"] == "Success"
    first, second = result["StandardOutputContent"].split()
    assert first != second


@pytest.mark.parametrize("year", ["1970", "2037"])
def test_a_board_whose_clock_is_decades_off_registers_and_takes_commands(machine, client, node, year):
    machine.switch_on(clock=f"{year}-01-02")
    name = node()
    clock = machine.words("clock")
    assert clock["state"] == "unset"
    assert clock["time"].startswith(f"{year}-01-02T")
    result = finished(client, shell(client, [name], "date +%Y"), name, 120)
    assert result["Status"] == "Success"
    # The agent corrects its own idea of the time, not the board's clock.
    assert result["StandardOutputContent"] == f"{year}\n"


@pytest.mark.long
def test_a_board_whose_clock_starts_in_2040_registers_and_takes_commands(machine, client, node):
    machine.switch_on(clock="2040-01-02")
    name = node()
    # A kernel of 32 bits takes no such time from a clock with a battery, and begins in 1970.
    assert machine.words("clock")["time"][:4] == ("2040" if machine.board.name.endswith("64") else "1970")
    assert finished(client, shell(client, [name], "echo in time"), name, 120)["Status"] == "Success"


@pytest.mark.long
def test_a_board_lives_on_when_its_clock_passes_the_last_second_of_32_bits(machine, client, node):
    # A minute before it. The year in which a board's clock is wrong may be any.
    machine.switch_on(clock="2038-01-19T03:13:00")
    name = node()
    before = machine.agent()
    battery = "cat /sys/class/rtc/rtc0/since_epoch"
    until("that second has passed", lambda: int(machine.shell(battery)) > LAST_SECOND, PATIENCE)
    assert finished(client, shell(client, [name], "echo on"), name, 120)["StandardOutputContent"] == "on\n"
    assert machine.agent() == before
    # One that starts then is heard, too. The board's own shell is of no help there: its C library counts
    # seconds in 32 bits, and finds no program that was used since.
    machine.shell(f"kill -9 {before}")
    until("another agent runs", lambda: machine.agent() not in (0, before), 120)
    again = finished(client, shell(client, [name], "echo again"), name, 120)
    assert again["StandardOutputContent"] == "again\n"


def test_64_megabytes_are_enough(machine, client, node, capsys):
    machine.switch_on(memory_mb=64)
    name = node()
    assert finished(client, shell(client, [name], "echo small"), name, 120)["Status"] == "Success"
    pid = machine.agent()
    status = machine.shell(f"grep -E '^(VmRSS|VmHWM|RssAnon|Threads)' /proc/{pid}/status")
    free = machine.shell("grep -E '^Mem(Total|Available)' /proc/meminfo")
    with capsys.disabled():
        print(f"\n{machine.board.name} with 64 MB: {' '.join(f'{free} {status}'.split())}")
    memory = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
    assert memory <= MEMORY_AT_MOST_KB


def test_a_server_that_is_away_is_named_on_the_console_and_found_when_it_is_back(machine, hub, node):
    machine.switch_on()
    node()
    hub.kill()
    assert HOST in machine.says("stint: backoff ")
    hub.start()
    node()
