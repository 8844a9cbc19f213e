"""amazon-ssm-agent registers, proves who it is, and is answered what it asks.

The captured requests of the real agent are replayed with their bodies byte for byte; only the ids
are put in, and the signatures are made anew because the captured ones have a date.
"""

import hashlib
import json
from datetime import timedelta

import pytest

from harness import captures
from harness.clients import shell
from harness.original import OriginalAgent, change_a_letter
from harness.signing import now

# --- the captures ------------------------------------------------------------------------------


def test_the_captured_registration_is_answered(hub, client, activate):
    captured = captures.read("register")
    body = json.loads(captured.body)
    # The captured id and code take the place of an activation's own.
    made = activate()["ActivationId"]
    code_hash = hashlib.sha256(body["ActivationCode"].encode()).hexdigest()
    changed = hub.pretend(
        "UPDATE activation SET id = ?, code_hash = ? WHERE id = ?", body["ActivationId"], code_hash, made
    )
    assert changed == 1
    answer = OriginalAgent(hub.endpoint).send(captured.headers, captured.body)
    assert answer.status == 200, answer.raw
    assert answer.body["InstanceId"].startswith("mi-")


def test_the_captured_signature_of_another_day_is_refused(hub):
    captured = captures.read("request-role-token")
    answer = OriginalAgent(hub.endpoint).send(captured.headers, captured.body)
    assert answer.status == 400
    assert answer.code in ("InvalidSignatureException", "AccessDeniedException")


def test_every_request_of_the_captured_session_is_answered(hub, client, node):
    """One command that succeeds, one that is cancelled, one document whose step fails."""
    ids: dict[str, str] = {}
    statuses = []
    for captured in captures.session():
        namespace, _, operation = captured.target.partition(".")
        if operation == "RegisterManagedInstance":
            continue
        body = captured.body.replace(captures.NODE.encode(), node.node.encode())
        if b'"MessageId"' in body:
            old = json.loads(body)["MessageId"].split(".")[2]
            if old not in ids:
                ids[old] = _fetch_a_command(client, node)
            body = body.replace(old.encode(), ids[old].encode())
        answer = node.by_token(operation, body, namespace)
        statuses.append((captured.name, answer.status))
    assert [s for s in statuses if s[1] != 200] == []


def _fetch_a_command(client, node: OriginalAgent) -> str:
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    assert message["MessageId"] == f"aws.ssm.{command}.{node.node}"
    return command


# --- registration and the token ----------------------------------------------------------------


def test_a_lost_answer_to_a_registration_can_be_asked_for_again(hub, client, activate):
    node = OriginalAgent(hub.endpoint, hub.region)
    activation = activate(limit=1)
    first = node.register(activation)
    assert node.register(activation) == first
    assert client.describe_activations()["ActivationList"][0]["RegistrationsCount"] == 1


@pytest.mark.parametrize("what", ["exhausted", "expired", "deleted", "unknown"])
def test_an_activation_that_does_not_hold_is_refused_as_invalid_activation(hub, client, activate, what):
    activation = activate()
    if what == "exhausted":
        OriginalAgent(hub.endpoint, hub.region).register(activation)
    elif what == "expired":
        hub.pretend("UPDATE activation SET expires_at = 1000")
    elif what == "deleted":
        client.delete_activation(ActivationId=activation["ActivationId"])
    else:
        activation = {**activation, "ActivationId": "00000000-0000-0000-0000-000000000000"}
    answer = OriginalAgent(hub.endpoint, hub.region).try_to_register(activation)
    assert (answer.status, answer.code) == (400, "InvalidActivation")


def test_a_key_that_is_none_is_refused_at_registration(hub, activate):
    node = OriginalAgent(hub.endpoint, hub.region)
    node.key.public = "AAAA" * 98
    assert node.try_to_register(activate()).status == 400


def test_a_token_request_may_be_repeated_with_the_same_signature(hub, activate):
    """The original's retries carry the first attempt's date and signature."""
    node = OriginalAgent(hub.endpoint, hub.region)
    node.register(activate())
    sent = []
    send = node.send
    node.send = lambda headers, body: sent.append((headers, body)) or send(headers, body)
    node.refresh()
    for _ in range(3):
        assert send(*sent[0]).status == 200


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("another key", {"key": "another"}),
        ("a changed body", {"tamper": change_a_letter}),
        ("a date of an hour ago", {"moment": -timedelta(hours=1)}),
        ("a date of tomorrow", {"moment": timedelta(days=1)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_token_request_that_does_not_verify_is_refused(hub, activate, fault, how):
    node = OriginalAgent(hub.endpoint, hub.region)
    node.register(activate())
    if "key" in how:
        how = {"key": OriginalAgent(hub.endpoint).key}
    if "moment" in how:
        how = {"moment": now() + how["moment"]}
    answer = node.request_token(**how)
    assert (answer.status, answer.code) == (400, "InvalidSignatureException"), fault
    assert node.request_token().status == 200


def test_an_unknown_or_deregistered_node_gets_access_denied(hub, client, node):
    """The code that makes the original wait half an hour instead of asking again in seconds."""
    client.deregister_managed_instance(InstanceId=node.node)
    assert node.request_token().code == "AccessDeniedException"
    node.node = "mi-00000000000000000"
    assert node.request_token().code == "AccessDeniedException"


def test_a_changed_fingerprint_does_not_lock_a_node_out(node):
    node.fingerprint = "00000000-0000-4000-8000-000000000000"
    assert node.request_token().status == 200


def test_a_key_can_be_rotated_and_the_old_one_ends_with_the_first_use_of_the_new(node):
    old = node.key
    node.rotate()
    # The answer may have been lost: the old key holds until the new one has been used.
    assert node.request_token(key=old).status == 200
    node.refresh()
    assert node.request_token(key=old).code == "InvalidSignatureException"
    # Credentials that were got with the old key stay in use.
    assert node.ping().status == 200


def test_wrong_temporary_credentials_are_refused(node):
    right = dict(node.credentials)
    node.credentials = {**right, "SecretAccessKey": "x" * 40}
    assert node.ping().code == "InvalidSignatureException"
    node.credentials = {**right, "SessionToken": "x" * 40}
    assert node.ping().code in ("UnrecognizedClientException", "InvalidSignatureException")
    node.credentials = {**right, "AccessKeyId": "ASIAXXXXXXXXXXXXXXXX"}
    assert node.ping().code == "UnrecognizedClientException"
