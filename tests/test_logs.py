"""Where the log goes: the system's log, a file that is turned over, standard error; and how much of it."""

import socket

from harness.clients import finished, shell, wait_until_online
from harness.wait import until


class Syslog:
    """A system's log that keeps what it gets."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.lines: list[str] = []

    def seen(self, what: str) -> list[str]:
        """The lines so far in which that is."""
        try:
            while True:
                self.lines.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return [line for line in self.lines if what in line]

    def fill(self) -> None:
        """Others send more than the kernel keeps, each as much as it may."""
        sent = 1
        while sent:
            sent, other = 0, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            other.setblocking(False)
            try:
                while True:
                    other.sendto(b"<13>other: x", str(self.path))
                    sent += 1
            except BlockingIOError:
                other.close()

    def close(self) -> None:
        """It ends, as when the system's log is started anew."""
        self.socket.close()
        self.path.unlink()


def registered(hub, activate, new_agent, **logs):
    """An agent whose log goes there."""
    agent = new_agent().configure(logs=logs)
    agent.register(hub, activate())
    return agent


def run_one(client, agent) -> None:
    """A command, which is told in the log."""
    assert finished(client, shell(client, [agent.node], "true"), agent.node)["Status"] == "Success"


def test_lines_go_to_the_systems_log_and_to_standard_error_while_there_is_none(
    hub, client, activate, new_agent, home
):
    path = home / "log.socket"
    agent = registered(hub, activate, new_agent, to="syslog", socket=str(path))
    agent.start()
    wait_until_online(client, agent.node)
    until("it is on standard error", lambda: "this node is online" in agent.logs())
    syslog = Syslog(path)
    run_one(client, agent)
    (line,) = until("the system's log has it", lambda: syslog.seen(" ended: Success"))
    assert line.startswith(f"<30>stint[{agent.daemon()}]: job ")
    assert "ended" not in agent.logs()
    # One that is started anew is found again; in between nothing is lost.
    syslog.close()
    run_one(client, agent)
    until("it is on standard error again", lambda: " ended: Success" in agent.logs())
    syslog = Syslog(path)
    run_one(client, agent)
    until("the new one has it", lambda: syslog.seen(" ended: Success"))


def test_a_log_that_nobody_empties_stops_nobody(hub, client, activate, new_agent, home):
    path = home / "log.socket"
    syslog = Syslog(path)
    agent = registered(hub, activate, new_agent, to="syslog", socket=str(path))
    agent.start()
    wait_until_online(client, agent.node)
    syslog.fill()
    run_one(client, agent)
    syslog.seen("")
    run_one(client, agent)
    until("it says what is missing", lambda: syslog.seen("lines are missing here"))


def test_a_log_file_is_turned_over_and_bounded_for_guardian_and_daemon(
    hub, client, activate, new_agent, home
):
    path = home / "own" / "stint.log"
    path.parent.mkdir()
    agent = registered(hub, activate, new_agent, to="file", file=str(path), maxKiB=4, files=2)
    agent.guarded = True
    for _ in range(25):
        agent.start()
        until("it runs", lambda: agent.status()[1]["running"])
        until("it is online", lambda: agent.status()[1]["online"])
        assert agent.stop() == 0
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["stint.log", "stint.log.1"]
    assert all(file.stat().st_size <= 4096 for file in files)
    text = "".join(file.read_text() for file in reversed(files))
    assert text.endswith("\n")
    # Guardian and daemon say it each, and no line is torn.
    lines = text.splitlines()
    assert len({line.split()[2] for line in lines[-8:] if "stopping on signal 15" in line}) >= 2
    assert all(line.split()[1] in {"INFO", "WARN", "ERROR"} for line in lines)
    assert agent.logs() == ""


def test_the_level_is_changed_in_the_running_agent_and_forgotten_by_the_next(
    hub, client, activate, new_agent
):
    agent = registered(hub, activate, new_agent, to="stderr")
    tell = lambda word: agent.command("log-level", word, "--state-dir", agent.state)  # noqa: E731
    done = tell("warn")
    assert done.returncode == 1 and "no agent is running" in done.stderr
    agent.start()
    wait_until_online(client, agent.node)
    run_one(client, agent)
    until("it is told", lambda: agent.logs().count(" ended: Success") == 1)
    assert tell("warn").returncode == 0
    until("it is heard", lambda: "the log level is warn from now on" in agent.logs())
    run_one(client, agent)
    run_one(client, agent)
    assert agent.logs().count(" ended: Success") == 1
    assert tell("info").returncode == 0
    until("it is heard", lambda: "the log level is info from now on" in agent.logs())
    run_one(client, agent)
    until("it is told again", lambda: agent.logs().count(" ended: Success") == 2)
    wrong = tell("loud")
    assert wrong.returncode == 2 and "off, error, warn, info, debug" in wrong.stderr
    tell("off")
    agent.stop()
    assert tell("warn").returncode == 1
    agent.start()
    until("it is as loud as ever", lambda: agent.logs().count("stint 0.1.0 runs as") == 2)
