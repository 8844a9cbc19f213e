"""`stint status` tells in one word what keeps a device from its server."""

import http.server
import json
import socket
import ssl
import threading

import pytest

from harness.certificates import Authority
from harness.wait import until


class _Portal(http.server.BaseHTTPRequestHandler):
    """Wants everybody to see its page first."""

    def do_POST(self) -> None:
        page = b"<!DOCTYPE html><title>Welcome to the hotel</title>"
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "http://hotel.example/")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def portal():
    """Starts a captive portal, in TLS if it has a certificate; its URL."""
    started = []

    def start(status: int = 200, certificate=None) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Portal)
        server.daemon_threads, server.status = True, status
        started.append(server)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def kind(hub, activate, new_agent, home):
    """What kind of error a registered agent has with an endpoint, and its words."""

    def look(endpoint: str, **config) -> tuple[str, str]:
        agent = new_agent()
        agent.register(hub, activate())
        agent.config = home / "agent.json"
        agent.config.write_text(json.dumps({"endpoint": endpoint, **config}))
        agent.start()
        link = until("it has tried", lambda: [x for x in agent.status()[1]["links"] if x["lastError"]])[0]
        text = agent.command("status", "--state-dir", agent.state).stdout
        assert f"last error   ({link['errorKind']}) " in text
        assert not link["online"]
        return link["errorKind"], link["lastError"]

    return look


def test_a_name_that_nobody_knows(kind):
    seen = kind("http://hub.invalid:7400", allowPlainHttp=True)
    assert seen[0] == "dns", seen
    assert "hub.invalid" in seen[1]


def test_a_port_on_which_nobody_listens(kind):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert kind(f"http://127.0.0.1:{port}")[0] == "refused"


def test_a_server_that_never_answers(kind):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert kind(f"http://127.0.0.1:{mute.getsockname()[1]}")[0] == "timeout"


@pytest.mark.parametrize("status", [200, 302, 403])
def test_a_captive_portal(kind, portal, status):
    seen = kind(portal(status))
    assert seen[0] == "portal", seen
    assert "captive portal" in seen[1]


def test_a_captive_portal_with_a_certificate_of_its_own(kind, portal, home):
    authority = Authority(home / "authority")
    url = portal(certificate=authority.issue(-1, 60, "hotel.example"))
    seen = kind(url, caFile=str(authority.ca))
    assert seen[0] == "certificate", seen
    assert "is not for the name" in seen[1]


def test_a_port_that_speaks_no_tls(kind, portal):
    seen = kind(portal().replace("http:", "https:"))
    assert seen[0] == "tls", seen
    assert "doesn't speak TLS" in seen[1]
