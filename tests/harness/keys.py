"""The key pairs that nodes sign with."""

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


def _spki(public_key) -> str:
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


class RsaKey:
    """RSA-2048 with RSASSA-PSS, SHA-256, salt of 32 bytes: what amazon-ssm-agent uses."""

    type = "Rsa"

    def __init__(self, bits: int = 2048):
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        self.public = _spki(self._key.public_key())

    def sign(self, message: bytes) -> str:
        """The signature of a string to sign, in base64. PSS is random: never twice the same."""
        return base64.b64encode(self._key.sign(message, _PSS, hashes.SHA256())).decode()


def rsa_signature_holds(public: str, message: bytes, signature: str) -> bool:
    """Was this signed by the owner of that public key, the way RsaKey does it?"""
    key = load_der_public_key(base64.b64decode(public))
    try:
        key.verify(base64.b64decode(signature), message, _PSS, hashes.SHA256())
    except InvalidSignature:
        return False
    return True


class Ed25519Key:
    """Ed25519: what stint uses with a hub."""

    type = "Ed25519"

    def __init__(self):
        self._key = ed25519.Ed25519PrivateKey.generate()
        self.public = _spki(self._key.public_key())

    def sign(self, message: bytes) -> str:
        """The signature of a string to sign, in base64."""
        return base64.b64encode(self._key.sign(message)).decode()
