"""A web server that behaves as badly as a test wants: it cuts connections, redirects, wants passwords."""

import base64
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class Request:
    """What a client asked, and the means to answer as no library would."""

    def __init__(self, handler: BaseHTTPRequestHandler):
        self._handler = handler
        self.path = handler.path
        self.headers = handler.headers

    def answer(self, status: int, body: bytes = b"", *, cut: int | None = None, **headers: str) -> None:
        """Answers; with `cut`, the connection breaks after that many bytes of the body."""
        self._handler.send_response(status)
        headers = {"Content_Length": str(len(body)), **headers}
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        self._handler.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self._handler.close_connection = True

    def send(self, piece: bytes) -> None:
        """Sends raw bytes."""
        self._handler.wfile.write(piece)
        self._handler.wfile.flush()

    def range_start(self) -> int:
        """The first byte that is wanted."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])

    def user(self) -> str:
        """`name:password` of Basic authentication, or nothing."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(value).decode() if scheme == "Basic" else ""


class Web:
    """A server on loopback. `pages` maps a path, without its query, to what answers it."""

    def __init__(self, certificate: Path | None = None) -> None:
        """With `certificate`, a file that is made, it speaks TLS and is trusted by whoever trusts that."""
        self.pages: dict[str, Callable[[Request], None]] = {}
        self.seen: list[Request] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = Request(self)
                web.seen.append(request)
                page = web.pages.get(self.path.split("?")[0])
                if page:
                    page(request)
                else:
                    request.answer(404)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate:
            make_certificate(certificate)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def other_url(self) -> str:
        """The same server under another name, which makes it another host."""
        return f"{self._scheme}://localhost:{self._server.server_port}"

    def serve(self, path: str, body: bytes, **headers: str) -> str:
        """Serves `body`, and returns its URL."""
        self.pages[path] = lambda request: request.answer(200, body, **headers)
        return self.url + path

    def serve_cut(self, path: str, body: bytes, cut: int, *, resumable: bool = True) -> str:
        """Serves `body` in pieces of `cut` bytes, after each of which the connection breaks."""

        etag = '"v1"'

        def page(request: Request) -> None:
            start = request.range_start()
            if start and resumable and request.headers.get("If-Range") == etag:
                rest = body[start:]
                span = f"bytes {start}-{len(body) - 1}/{len(body)}"
                short = cut if len(rest) > cut else None
                request.answer(206, rest, cut=short, ETag=etag, Content_Range=span)
            else:
                request.answer(200, body, cut=cut, ETag=etag)

        self.pages[path] = page
        return self.url + path

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


def make_certificate(path: Path) -> None:
    """A key and a certificate for 127.0.0.1 that it has signed itself, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's web server")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).add_extension(here, critical=False)
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(text + certificate.public_bytes(Encoding.PEM))
