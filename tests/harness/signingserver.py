"""A BootAgent server that signs, made with somebody else's Ed25519 than ours."""

import base64
import hashlib
import json
import time
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .bootserver import REGISTER, STATUS, BootServer, Exchange


class Key:
    """One of a server's keys."""

    def __init__(self):
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes_raw()
        self.text = "ed25519:" + base64.b64encode(raw).decode()
        self.id = hashlib.sha256(raw).hexdigest()[:16]

    def sign(self, text: str) -> str:
        """The base64 signature of a text."""
        return base64.b64encode(self._key.sign(text.encode())).decode()


class SigningServer(BootServer):
    """Signs every answer, and believes only what the agent's key has signed."""

    def __init__(self, port: int = 0, certificate: Path | None = None):
        self.keys = [Key()]
        # The server's clock is so far off the machine's, seconds.
        self.ahead = 0
        self.agents: dict[str, bytes] = {}
        self.nonces: set[str] = set()
        # Called with an exchange and its text to sign; what it returns is signed instead.
        self.forge = None
        super().__init__(port, certificate)

    def serve(self, exchange: Exchange) -> None:
        """The plain answer, if the request is to be believed, and a signature."""
        headers = exchange.headers
        if exchange.path == REGISTER:
            raw = base64.b64decode(exchange.body["key"].removeprefix("ed25519:"))
            self.agents[headers["stint-agent"]] = raw
        refusal = self._refusal(exchange)
        if refusal:
            exchange.status, refused = 401, {"errcode": refusal, "date": self._now()}
            exchange.answer = json.dumps(refused)
            self.exchanges.append(exchange)
        else:
            super().serve(exchange)
        self._sign(exchange)

    def _now(self) -> int:
        return int(time.time()) + self.ahead

    def _refusal(self, exchange: Exchange) -> int:
        headers = exchange.headers
        body = hashlib.sha256(exchange.text.encode()).hexdigest()
        names = ("agent", "date", "nonce", "pins")
        lines = ["STINT1-REQUEST", "POST", exchange.path, *(headers[f"stint-{n}"] for n in names), body]
        try:
            key = Ed25519PublicKey.from_public_bytes(self.agents[headers["stint-agent"]])
            key.verify(base64.b64decode(headers["stint-signature"]), "\n".join(lines).encode())
        except KeyError:
            return 3
        except InvalidSignature:
            return 5
        if abs(int(headers["stint-date"]) - self._now()) > 300:
            return 4
        if headers["stint-nonce"] in self.nonces or len(headers["stint-nonce"]) != 32:
            return 5
        self.nonces.add(headers["stint-nonce"])
        return 0

    def _sign(self, exchange: Exchange) -> None:
        pins = [pin for pin in exchange.headers["stint-pins"].split(",") if pin]
        answer = json.loads(exchange.answer) if exchange.answer.startswith("{") else None
        differ = pins != [key.id for key in self.keys]
        if answer is not None and exchange.path in (REGISTER, STATUS) and differ and exchange.status == 200:
            answer["serverkeys"] = [key.text for key in self.keys]
            exchange.answer = json.dumps(answer)
        key = next((key for key in self.keys if key.id in pins), self.keys[0])
        exchange.more.update(self.signature(exchange, key))
        if self.forge:
            self.forge(exchange)

    def signature(self, exchange: Exchange, key: Key) -> dict[str, str]:
        """The headers by which `key` signs the answer of an exchange as it stands."""
        headers = exchange.headers
        body = hashlib.sha256(exchange.answer.encode()).hexdigest()
        lines = ["STINT1-ANSWER", str(exchange.status), exchange.path]
        lines += [headers["stint-agent"], headers["stint-nonce"], body]
        return {"Stint-Key": key.id, "Stint-Signature": key.sign("\n".join(lines))}
