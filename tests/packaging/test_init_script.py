"""The init script of sysvinit and BusyBox, in a root with BusyBox alone."""

import pytest

INSTALL = "sh /media/stint/install.sh --init busybox --no-start >/dev/null\n"
# until_true COMMAND: waits for it to succeed, for at most 30 s. count WORDS: of how many processes?
UNTIL = """
until_true() {
    tries=0
    until eval "$1"; do
        tries=$((tries + 1)); [ $tries -lt 300 ] || { echo "never: $1"; ps; exit 99; }; usleep 100000
    done
}
count() { ps -o args | grep -v grep | grep -c "$1"; }
"""
START = (
    INSTALL
    + UNTIL
    + "/etc/init.d/stint start; until_true '[ -s /run/stint.pid ] && pidof sleep >/dev/null'\n"
)


def test_a_started_agent_runs_in_the_background_with_its_pid_in_the_pid_file(device):
    device.must(START + 'tr "\\0" " " <"/proc/$(cat /run/stint.pid)/cmdline" >/tmp/seen')
    assert "stint run" in device.text("/tmp/seen")


def test_status_tells_running_stopped_and_dead_apart_by_the_standard_exit_codes(device):
    out = device.must(
        INSTALL
        + UNTIL
        + """
        code() { "$@" && echo "= 0" || echo "= $?"; }
        code /etc/init.d/stint status
        /etc/init.d/stint start
        until_true '/etc/init.d/stint status >/dev/null'
        code /etc/init.d/stint status
        kill -9 $(cat /run/stint-supervise.pid) $(cat /run/stint.pid)
        until_true '! kill -0 $(cat /run/stint.pid) 2>/dev/null'
        code /etc/init.d/stint status
        """
    )
    codes = [line for line in out.splitlines() if line.startswith("=")]
    assert codes == ["= 3", "= 0", "= 1"], out


def test_an_agent_that_is_killed_is_started_again(device):
    device.must(
        START
        + """
        first=$(cat /run/stint.pid)
        kill -9 "$first"
        until_true '[ "$(cat /run/stint.pid)" != "$first" ] && [ "$(grep -c started /tmp/starts)" = 2 ]'
        /etc/init.d/stint status
        """
    )


def test_a_stop_ends_agent_and_supervisor_and_leaves_the_workers(device):
    out = device.must(
        START
        + """
        until_true '[ "$(count "sleep 4321")" = 1 ]'
        /etc/init.d/stint stop
        [ "$(count "stint run")" = 0 ]
        [ "$(count "stint supervise")" = 0 ]
        count "sleep 4321"
        ls /run
        """
    )
    assert out.split() == ["1"], "one worker, no pid file"


def test_a_restart_gives_a_new_agent_and_leaves_the_workers(device):
    out = device.must(
        START
        + """
        first=$(cat /run/stint.pid)
        until_true '[ "$(count "sleep 4321")" = 1 ]'
        /etc/init.d/stint restart
        until_true '[ "$(count "sleep 4321")" = 2 ]'
        [ "$(cat /run/stint.pid)" != "$first" ]
        count "stint run"
        """
    )
    assert out.split() == ["1"]


def test_an_agent_that_outlived_its_supervisor_is_replaced_and_not_doubled(device):
    out = device.must(
        START
        + """
        supervisor=$(cat /run/stint-supervise.pid)
        kill -9 "$supervisor"
        until_true '! kill -0 "$supervisor" 2>/dev/null'
        orphan=$(cat /run/stint.pid)
        kill -0 "$orphan"
        /etc/init.d/stint start
        until_true '[ "$(cat /run/stint.pid 2>/dev/null || echo $orphan)" != "$orphan" ]'
        until_true '[ "$(grep -c started /tmp/starts)" = 2 ]'
        count "stint run"
        """
    )
    assert out.split()[-1] == "1"


def test_a_second_start_changes_nothing(device):
    out = device.must(START + "/etc/init.d/stint start; cat /tmp/starts")
    assert "already running" in out
    assert out.count("started") == 1


def test_a_pid_file_of_before_a_power_cut_that_names_a_stranger_is_no_running_agent(device):
    out = device.must(
        INSTALL
        + UNTIL
        + """
        sleep 1234 &
        echo $! >/run/stint.pid
        echo $! >/run/stint-supervise.pid
        /etc/init.d/stint stop
        kill -0 $!
        echo $! >/run/stint-supervise.pid
        /etc/init.d/stint start
        until_true '[ -s /run/stint.pid ] && [ "$(cat /run/stint.pid)" != $! ]'
        kill -0 $! && echo "the stranger lives"
        """
    )
    assert "the stranger lives" in out
    assert "already" not in out


def test_a_failing_agent_is_started_less_and_less_often_and_still_stops_at_once(device):
    device.must(
        INSTALL
        + UNTIL
        + """
        syslogd -O /tmp/syslog
        touch /tmp/fail
        /etc/init.d/stint start
        until_true 'grep -q "again in 4 s" /tmp/syslog'
        /etc/init.d/stint stop
        [ "$(count "stint supervise")" = 0 ]
        """
    )
    log = device.text("/tmp/syslog")
    assert log.index("again in 1 s") < log.index("again in 2 s") < log.index("again in 4 s")
    assert "ended with code 1" in log


def test_the_agents_log_goes_to_syslog(device):
    device.must(
        "syslogd -O /tmp/syslog\n" + START + "until_true 'grep -q \"stint: agent speaks\" /tmp/syslog'"
    )


@pytest.mark.parametrize("target", ["/tmp/agent.log"])
def test_the_owner_chooses_another_place_for_the_log_and_more_arguments(device, target):
    device.must(
        INSTALL
        + UNTIL
        + f"""
        echo 'LOG={target}' >/etc/default/stint
        echo 'DAEMON_ARGS="--state-dir /data"' >>/etc/default/stint
        /etc/init.d/stint start
        until_true 'grep -q "agent speaks" {target} 2>/dev/null'
        """
    )
    assert device.text("/tmp/arguments").strip() == "--state-dir /data"


def test_without_the_program_it_says_what_to_do(device):
    done = device.sh(INSTALL + "rm /usr/sbin/stint; /etc/init.d/stint start")
    assert done.returncode == 5, "LSB: not installed"
    assert "there is no /usr/sbin/stint" in done.stderr


def test_a_word_it_does_not_know_is_answered_with_those_it_knows(device):
    done = device.sh(INSTALL + "/etc/init.d/stint dance")
    assert done.returncode == 2
    assert "start|stop|restart|force-reload|status" in done.stderr


def test_busyboxs_own_init_keeps_the_agent_running_by_the_line_of_its_inittab(device):
    lines = "::sysinit:/etc/init.d/rcS\n::once:/tmp/test >/tmp/out 2>&1\n"
    # rcS would start a second one, had the installer left what the first installation told it.
    device.must(INSTALL + f"printf '{lines}' >/etc/inittab")
    device.must("sh /media/stint/install.sh --init inittab --no-start")
    assert boot(
        device,
        """
        until_true '[ -s /run/stint.pid ] && grep -q started /tmp/starts'
        first=$(cat /run/stint.pid)
        kill -9 "$first"
        until_true '[ "$(cat /run/stint.pid)" != "$first" ]'
        supervisor=$(cat /run/stint-supervise.pid)
        /etc/init.d/stint stop
        until_true '[ "$(cat /run/stint-supervise.pid 2>/dev/null || echo $supervisor)" != "$supervisor" ]'
        until_true '[ "$(grep -c started /tmp/starts)" -ge 3 ]'
        count "stint run"
        """,
    ) == ["1"]


def test_another_init_takes_over_from_the_one_that_ran_the_agent_and_one_agent_is_left(device):
    device.must(
        INSTALL + "printf '::sysinit:/etc/init.d/rcS\n::once:/tmp/test >/tmp/out 2>&1\n' >/etc/inittab"
    )
    seen = boot(
        device,
        """
        look() {
            until_true '[ "$(count "stint supervise")$(count "stint run")" = 11 ] && [ -s /run/stint.pid ]'
            kill -9 "$(cat /run/stint.pid)"
            starts=$1
            until_true '[ "$(grep -c started /tmp/starts)" -ge $starts ]'
            until_true '/etc/init.d/stint status >/dev/null'
            echo "$(count "stint supervise") $(count "stint run")"
            echo "$(ls /etc/init.d | grep -c S90) $(grep -c supervise /etc/inittab)"
        }
        look 2
        sh /media/stint/install.sh --init inittab >/dev/null
        look 4
        sh /media/stint/install.sh >/dev/null
        look 6
        sh /media/stint/install.sh --init busybox >/dev/null
        look 8
        """,
    )
    by_rcs, by_inittab = ["1", "1", "1", "0"], ["1", "1", "0", "1"]
    assert seen == by_rcs + by_inittab + by_inittab + by_rcs


def boot(device, script: str) -> list[str]:
    """The words that a script prints which BusyBox's init starts, by the line for /tmp/test."""
    (device.root / "tmp/test").write_text(f"#!/bin/sh\nset -e\n{UNTIL}{script}\ntouch /tmp/through\n")
    (device.root / "tmp/test").chmod(0o755)
    device.boot("/tmp/through")
    return device.text("/tmp/out").split()
