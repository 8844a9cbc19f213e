"""The simulated amazon-ssm-agent signs as the captured one did, so that its tests mean something."""

import json
from datetime import UTC, datetime

import pytest

from harness import captures, signing
from harness.keys import rsa_signature_holds
from harness.original import MESSAGES

# The credentials that the captured agent was given (see the README beside the captures).
TOKEN = {
    "AccessKeyId": "ASIASTUBSTUBSTUBSTUB",
    "SecretAccessKey": "stubSecretKeystubSecretKeystubSecretKey1",
    "SessionToken": "stubSessionToken==",
}
REGION = "us-east-1"


def moment(captured: captures.Capture) -> datetime:
    """When a request was signed."""
    stamp = dict(captured.headers)["X-Amz-Date"]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def without_build(headers: signing.Headers) -> signing.Headers:
    """Without the User-Agent, which names the Go release that built the agent."""
    return [header for header in headers if header[0] != "User-Agent"]


SIGNED = [c for c in captures.session() if "Authorization" in dict(c.headers)]


@pytest.mark.parametrize("captured", SIGNED, ids=lambda c: c.name)
def test_requests_with_temporary_credentials_come_out_byte_for_byte(captured, monkeypatch):
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment(captured))
    host = dict(captured.headers)["Host"]
    service = "ec2messages" if captured.target.startswith(MESSAGES) else "ssm"
    made = signing.with_token(host, captured.target, captured.body, TOKEN, REGION, service)
    assert without_build(made) == without_build(captured.headers)


@pytest.mark.parametrize("name", ["request-role-token", "update-public-key"])
def test_key_signed_requests_have_the_captured_form(name):
    public = json.loads(captures.read("register").body)["PublicKey"]
    captured = captures.read(name)
    headers = dict(captured.headers)
    signature = headers["Authorization"].rpartition("Signature=")[2]

    class Replay:
        """Signs with the captured signature, having checked that it is one of this very message."""

        @staticmethod
        def sign(message: bytes) -> str:
            assert rsa_signature_holds(public, message, signature)
            return signature

    node = captures.NODE
    made = signing.with_key(
        headers["Host"], captured.target, captured.body, node, REGION, Replay, moment(captured)
    )
    assert without_build(made) == without_build(captured.headers)
