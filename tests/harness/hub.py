"""A hub of the test's own: a data directory, a free port, and the keys to it."""

import configparser
import re
import sqlite3
import ssl
import time
import urllib.request
from pathlib import Path

from .programs import HUB, Program, environment, run

_LISTENING = re.compile(r"stint-hub listening on (https?://\S+)")


class Hub:
    """`stint-hub serve` on loopback. It keeps its port over restarts, as nodes know only that."""

    def __init__(self, home: Path, options: list[object] = (), **more: str):
        self.home = home
        self.data = home / "hub"
        self.options = list(options)
        self.more = more
        self.listen = "127.0.0.1:0"
        self.endpoint = ""
        self.program: Program | None = None

    def start(self) -> "Hub":
        """Starts it and waits until it serves."""
        command = [HUB, "serve", "--data", self.data, "--listen", self.listen, *self.options]
        self.program = Program(command, self.home / "hub.log", environment(self.home, **self.more))
        match = _LISTENING.fullmatch(self.program.first_line())
        assert match, f"the hub's first line should say where it listens: {self.program.lines}"
        self.endpoint = match[1]
        self.listen = self.endpoint.partition("//")[2]
        return self

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self.program.stop()

    def kill(self) -> None:
        """kill -9."""
        self.program.kill()

    @property
    def region(self) -> str:
        """The region the tests speak of, unless they say otherwise."""
        return "eu-central-1"

    def credentials(self) -> tuple[str, str]:
        """The operator's access key id and secret, as an operator finds them."""
        return read_credentials((self.data / "operator-credentials").read_text())

    def ca(self) -> Path:
        """The CA of `--tls-self-signed`."""
        return self.data / "ca.pem"

    def get(self, path: str) -> tuple[int, str]:
        """A plain GET, as a load balancer or Prometheus does."""
        context = ssl.create_default_context(cafile=self.ca()) if self.endpoint.startswith("https") else None
        try:
            with urllib.request.urlopen(self.endpoint + path, timeout=20, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def access_key(self, *words: object) -> str:
        """`stint-hub access-key …` on this hub's data; what it printed."""
        done = run([HUB, "access-key", *words, "--data", self.data], self.home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def node(self, *words: object) -> str:
        """`stint-hub node …` on this hub's data; what it printed."""
        done = run([HUB, "node", *words, "--data", self.data], self.home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def session(self, *words: object) -> str:
        """`stint-hub session …` on this hub's data; what it printed."""
        done = run([HUB, "session", *words, "--data", self.data], self.home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def row(self, sql: str, *values: object) -> tuple | None:
        """The first row of a query of the store, past the hub."""
        with sqlite3.connect(self.data / "hub.db", timeout=20) as store:
            return store.execute(sql, values).fetchone()

    def pretend(self, sql: str, *values: object) -> int:
        """Changes the store behind the hub's back, to make the past that a test needs: a ping of
        an hour ago, an activation whose code was captured elsewhere. Returns the rows changed."""
        with sqlite3.connect(self.data / "hub.db", timeout=20) as store:
            return store.execute(sql, values).rowcount

    def last_ping_was(self, node: str, seconds_ago: float) -> None:
        """Makes the hub believe that the node has been silent for so long."""
        moment = int((time.time() - seconds_ago) * 1000)
        assert self.pretend("UPDATE node SET last_ping_at = ? WHERE id = ?", moment, node) == 1


def read_credentials(text: str) -> tuple[str, str]:
    """The access key id and the secret of an AWS credentials file."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read_string(text)
    return ini["default"]["aws_access_key_id"], ini["default"]["aws_secret_access_key"]
