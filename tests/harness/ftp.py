"""A small FTP server of anonymous files, which breaks off and refuses as a test wants it."""

import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Ftp:
    """A server on loopback. It answers one command after the other and knows no other transfer than RETR."""

    files: dict[str, bytes] = field(default_factory=dict)
    # After so many bytes of a transfer both connections break.
    cut: int | None = None
    # Commands that it doesn't know.
    refuses: tuple[str, ...] = ()
    # What it says behind 227 instead of its own address.
    passive_address: str = "127,0,0,1"
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        return f"ftp://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        """Takes no more connections."""
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        start, listener = 0, None

        def say(line: str) -> None:
            connection.sendall(line.encode() + b"\r\n")

        with connection, connection.makefile("r", newline="\r\n") as lines:
            say("220-a test's server\r\n 220 says much\r\n220 ready")
            for line in lines:
                command, _, argument = line.strip().partition(" ")
                self.seen.append(line.strip())
                body = self.files.get(argument)
                if command in self.refuses:
                    say("502 not here")
                elif command == "USER":
                    say("331 any password")
                elif command == "PASS":
                    say("230-welcome\r\n230 in")
                elif command == "TYPE":
                    say("200 binary")
                elif command in ("SIZE", "MDTM") and body is not None:
                    say(f"213 {len(body)}" if command == "SIZE" else "213 20260102030405")
                elif command == "REST":
                    start = int(argument)
                    say("350 from there")
                elif command in ("EPSV", "PASV"):
                    listener = socket.create_server(("127.0.0.1", 0))
                    port = listener.getsockname()[1]
                    high, low = divmod(port, 256)
                    passive = f"227 passive ({self.passive_address},{high},{low})"
                    say(f"229 passive (|||{port}|)" if command == "EPSV" else passive)
                elif command == "RETR" and body is not None and listener:
                    say("150 here it comes")
                    data, _ = listener.accept()
                    listener.close()
                    rest = body[start:]
                    with data:
                        data.sendall(rest if self.cut is None else rest[: self.cut])
                    if self.cut is not None and len(rest) > self.cut:
                        return
                    start = 0
                    say("226 that was all")
                else:
                    say("550 there is no such file")
