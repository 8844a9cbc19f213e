"""A device whose clock is wrong by decades comes online, and nobody can abuse that (docs/SECURITY.md)."""

import datetime
import email.utils
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.certificates import Authority, days
from harness.clients import boto3_client, finished, shell, wait_until_online
from harness.wait import until

_DAY = 24 * 3600


def _to_the_year(year: int) -> str:
    """The offset, seconds, that brings the clock into a year."""
    return str(int(datetime.datetime(year, 1, 2, tzinfo=datetime.UTC).timestamp() - time.time()))


_OUT_OF_DATE = (400, b'{"__type": "InvalidSignatureException", "message": "Signature expired"}')


class Server:
    """Dates its answers as it likes, and refuses every request, mostly its signature as out of date."""

    def __init__(self, date: float, certificate=None, refusal=_OUT_OF_DATE):
        self.date = date
        self.is_closed = False
        # Of each request the method and the time that it was signed for.
        self.seen: list[tuple[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def date_time_string(self, timestamp=None) -> str:
                return email.utils.formatdate(server.date, usegmt=True)

            def do_HEAD(self) -> None:
                self.answer(404, b"")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(*refusal)

            def answer(self, status: int, body: bytes) -> None:
                if server.is_closed:
                    # Connections outlive their listener.
                    self.close_connection = True
                    return
                server.seen.append((self.command, self.headers.get("X-Amz-Date", "")))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.is_closed = True
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server():
    """Makes servers that are ended with the test."""
    made = []

    def make(*words, **more) -> Server:
        made.append(Server(*words, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def authority(home) -> Authority:
    return Authority(home / "authority")


@pytest.fixture
def tls_hub(new_hub, authority):
    """Starts a hub with a certificate from one day to another."""

    def start(begins: float, ends: float):
        certificate, key = authority.issue(begins, ends)
        return new_hub("--tls-cert", certificate, "--tls-key", key)

    return start


def _wrong(agent, offset: str):
    agent.environment["STINT_TEST_CLOCK_OFFSET"] = offset
    return agent


def _works(client, agent) -> None:
    wait_until_online(client, agent.node)
    command = shell(client, [agent.node], "echo in time")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "in time\n"


# Valid for a month, or for half a minute: since after this agent was made.
@pytest.mark.parametrize("begins", [-30, -0.0003])
@pytest.mark.parametrize("year", [1970, 2037])
def test_a_device_decades_off_registers_and_works_over_tls(tls_hub, authority, new_agent, year, begins):
    hub = tls_hub(begins, 60)
    client = boto3_client(hub, verify=str(authority.ca))
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    agent = _wrong(new_agent(), _to_the_year(year))
    agent.register(hub, activation, "--ca-file", authority.ca)
    agent.start()
    _works(client, agent)
    # In 1970 the time of the agent's own sources may be near enough.
    assert year == 1970 or f"this device's clock, which says {year}" in agent.logs()
    # One server alone has said it so far. (In 1970 the sources' own time may agree.)
    assert year == 1970 or not (agent.state / "time").exists()
    assert agent.status()[1]["online"]


def test_the_time_is_kept_for_the_next_boot_when_the_servers_and_the_devices_clock_agree(
    tls_hub, authority, new_agent
):
    """Nobody has set the device's clock, but it is right."""
    hub = tls_hub(-30, 60)
    client = boto3_client(hub, verify=str(authority.ca))
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    agent = _wrong(new_agent(), "1")
    agent.register(hub, activation, "--ca-file", authority.ca)
    agent.start()
    _works(client, agent)
    # A little earlier than it is.
    kept = datetime.datetime.fromisoformat((agent.state / "time").read_text())
    assert days(-0.1) < kept < days(0)


def test_a_server_that_was_decades_ahead_for_a_while_does_not_take_the_device_with_it(
    tls_hub, authority, new_agent, server
):
    hub = tls_hub(-30, 60)
    client = boto3_client(hub, verify=str(authority.ca))
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    agent = _wrong(new_agent(), _to_the_year(1970))
    agent.register(hub, activation, "--ca-file", authority.ca)
    certificate = authority.issue(14 * 365, 19 * 365)
    ahead = server(days(15 * 365).timestamp(), certificate=certificate, refusal=(500, b"{}"))
    agent.config = agent.home / "agent.json"
    agent.config.write_text(json.dumps({"endpoint": [ahead.endpoint, hub.endpoint]}))
    agent.start()
    future = days(15 * 365).strftime("%Y")
    until("it signs for that time", lambda: any(date.startswith(future) for _, date in ahead.seen))
    assert not (agent.state / "time").exists()
    ahead.close()
    _works(client, agent)
    assert not (agent.state / "time").exists()


@pytest.mark.parametrize("year", [1970, 2037])
def test_a_device_decades_off_registers_and_works_without_tls(hub, client, activate, new_agent, year):
    agent = _wrong(new_agent(), _to_the_year(year))
    agent.register(hub, activate())
    agent.start()
    _works(client, agent)
    assert not (agent.state / "time").exists()


def test_a_clock_that_is_a_little_off_is_no_obstacle_either(tls_hub, authority, new_agent):
    """Beyond the certificate's end by the device's own clock."""
    hub = tls_hub(-30, 60)
    client = boto3_client(hub, verify=str(authority.ca))
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    agent = _wrong(new_agent(), str(90 * _DAY))
    agent.register(hub, activation, "--ca-file", authority.ca)
    agent.start()
    _works(client, agent)


def _try(agent, server, authority, offset: str):
    """Registers in vain; what was said."""
    activation = {"ActivationId": "11111111-2222-4333-8444-555555555555", "ActivationCode": "c" * 20}
    _wrong(agent, offset).state.mkdir(mode=0o700, exist_ok=True)
    server.region = "eu-central-1"
    done = agent.try_to_register(server, activation, "--ca-file", authority.ca)
    assert done.returncode != 0
    return done.stderr


def test_a_clock_that_somebody_has_set_is_believed(server, authority, new_agent):
    asked = server(time.time(), certificate=authority.issue(-30, 60))
    said = _try(new_agent(), asked, authority, f"{90 * _DAY},set")
    assert "expired at" in said
    assert asked.seen == []


def test_a_certificate_that_expired_before_the_last_certain_time_is_refused(server, authority, new_agent):
    """Whoever has stolen an old certificate's key can't bring a device back into its time."""
    agent = new_agent()
    agent.state.mkdir(mode=0o700)
    (agent.state / "time").write_text(days(-2).strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    stolen = server(days(-10).timestamp(), certificate=authority.issue(-100, -9))
    for offset in (_to_the_year(1970), _to_the_year(2037), str(-20 * _DAY), "1"):
        assert "expired at" in _try(agent, stolen, authority, offset)
    # Nobody heard anything, not even the question for the time.
    assert stolen.seen == []


def test_what_is_known_of_the_time_holds_for_a_diagnosis_and_a_deregistration(
    server, authority, hub, activate, new_agent
):
    agent = new_agent()
    agent.register(hub, activate())
    # After the agent was made, so that its own time says nothing.
    (agent.state / "time").write_text(days(30).strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    stolen = server(days(10).timestamp(), certificate=authority.issue(1, 20))
    config = agent.home / "agent.json"
    config.write_text(json.dumps({"endpoint": stolen.endpoint, "caFile": str(authority.ca)}))
    _wrong(agent, _to_the_year(1970))
    for words in (["diagnose"], ["deregister", "-y"]):
        done = agent.command(*words, "--config", config, "--state-dir", agent.state, **agent.environment)
        assert done.returncode == 1 and "expired at" in done.stdout + done.stderr
    assert stolen.seen == []


def test_a_time_outside_the_certificates_own_is_not_taken(server, authority, new_agent):
    """And over the connection that asks for the time nothing else is said."""
    for date in (days(20 * 365), days(-40), days(61)):
        liar = server(date.timestamp(), certificate=authority.issue(-30, 60))
        assert "certificate" in _try(new_agent(), liar, authority, _to_the_year(2037))
        assert {method for method, _ in liar.seen} == {"HEAD"}


def test_a_certificate_for_another_host_or_of_a_stranger_is_not_asked_for_the_time(
    server, authority, new_agent, home
):
    other_name = server(time.time(), certificate=authority.issue(-30, 60, "hub.example"))
    stranger = server(time.time(), certificate=Authority(home / "stranger").issue(-30, 60))
    for asked in (other_name, stranger):
        assert "certificate" in _try(new_agent(), asked, authority, _to_the_year(1970))
        assert asked.seen == []


@pytest.mark.parametrize("year", [1970, 2001])
def test_nobody_brings_a_device_back_before_its_agent_was_made(hub, activate, new_agent, server, year):
    """Without TLS anybody may date an answer."""
    liar = server(datetime.datetime(year, 1, 2, tzinfo=datetime.UTC).timestamp())
    agent = new_agent()
    agent.register(hub, activate())
    agent.config = agent.home / "agent.json"
    agent.config.write_text(json.dumps({"endpoint": liar.endpoint}))
    agent.start()
    until("both of its tasks have asked", lambda: len(liar.seen) >= 2)
    assert all(date[:4] >= "2025" for _, date in liar.seen), liar.seen


def test_the_servers_time_is_good_for_its_own_link_alone(hub, activate, new_agent, server):
    """A date without TLS moves signatures there, and is not kept."""
    liar = server(days(5 * 365).timestamp())
    agent = new_agent()
    agent.register(hub, activate())
    agent.config = agent.home / "agent.json"
    agent.config.write_text(json.dumps({"endpoint": liar.endpoint}))
    agent.start()
    future = days(5 * 365 - 1).strftime("%Y")
    until("it signs for that time", lambda: any(date.startswith(future) for _, date in liar.seen))
    assert not (agent.state / "time").exists()
