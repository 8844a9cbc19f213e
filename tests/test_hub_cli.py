"""The hub's command line, the files it makes, and the pages that machines read."""

import os
import re
import socket
import subprocess

import pytest

from harness.clients import boto3_client, error_code
from harness.hub import read_credentials
from harness.programs import HUB, environment, run

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? -?[0-9.eE+-]+|.*NaN|.*\+Inf")


def serve(home, *options: object, **more: str):
    """`stint-hub serve` that should end by itself."""
    words = [HUB, "serve", "--data", home / "data", *options]
    return run(words, home, patience=30, **more)


def one_clear_line(done, *words: str) -> None:
    """It failed with one line that has these words, and without a backtrace."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], lines[0]


# --- starting and stopping ---------------------------------------------------------------------


def test_a_taken_port_is_said_in_one_line(hub, home):
    one_clear_line(serve(home, "--listen", hub.listen), hub.listen)


def test_a_data_directory_that_is_a_file_is_said_in_one_line(home):
    (home / "data").write_text("in the way")
    one_clear_line(serve(home, "--listen", "127.0.0.1:0"), str(home / "data"))


def test_a_data_directory_that_another_hub_uses_is_said_in_one_line(hub, home):
    done = run([HUB, "serve", "--data", hub.data, "--listen", "127.0.0.1:0"], home, patience=30)
    one_clear_line(done, str(hub.data))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_data_directory_that_cannot_be_written_is_said_in_one_line(home):
    """Root can write anywhere, so the hub runs as nobody, from a copy that nobody can read."""
    for folder in [home, *home.parents]:
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(folder.stat().st_mode | 0o055)
    binary = home / "stint-hub"
    binary.write_bytes(HUB.read_bytes())
    binary.chmod(0o755)
    (home / "data").mkdir(mode=0o755)
    done = subprocess.run(
        [binary, "serve", "--data", home / "data", "--listen", "127.0.0.1:0"],
        env=environment(home), user="nobody", capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    one_clear_line(done, str(home / "data"))


def test_plain_http_beyond_loopback_is_refused_unless_it_is_asked_for(home):
    """0.0.0.0 includes loopback, but not only; nothing is served before the refusal."""
    one_clear_line(serve(home, "--listen", "0.0.0.0:0"), "--insecure-http")


def test_a_bad_account_id_is_refused(home):
    done = serve(home, "--listen", "127.0.0.1:0", "--account-id", "12")
    assert done.returncode != 0
    assert "12" in done.stderr


def test_sigterm_stops_the_hub_with_exit_code_0(hub):
    assert hub.stop() == 0


def test_sigterm_stops_the_hub_even_while_nodes_are_polling(hub, agent):
    assert hub.stop() == 0


def test_it_says_in_its_first_line_where_it_listens(hub):
    assert re.fullmatch(r"stint-hub listening on http://127\.0\.0\.1:\d+", hub.program.first_line())


def test_nothing_but_serve_makes_a_hub(home):
    typo = home / "typo"
    rest = ["--data", typo]
    for words in [
        ["node", "list"],
        ["node", "reidentify", "mi-1"],
        ["access-key", "create"],
        ["role", "put", "R", "--read-parameters", "/a"],
        ["session", "transcript", "s-1"],
        ["session", "allow", "AKIA1", "--documents", "*"],
        ["attachment", "put", "--folder", "f", "file"],
        ["package", "put", "file", "--name", "n", "--version", "1"],
        ["release", "list"],
        ["release", "add", "--key", "ed25519:" + "A" * 43 + "=", "releases"],
        ["server-key", "add"],
        ["audit"],
    ]:
        one_clear_line(run([HUB, *words, *rest], home), f"there is no hub in {typo}", "--data")
        assert not typo.exists(), words
    assert "created if" not in run([HUB, "node", "list", "--help"], home).stdout


def test_the_version_is_told_however_it_is_asked_for(home):
    told = {run([HUB, word], home).stdout for word in ["version", "--version", "-V"]}
    assert len(told) == 1 and re.fullmatch(r"stint-hub \d+\.\d+\.\d+\S*\n", told.pop())


# --- files and keys ----------------------------------------------------------------------------


def test_secrets_are_readable_by_their_owner_only(hub):
    assert (hub.data / "operator-credentials").stat().st_mode & 0o777 == 0o600
    assert (hub.data / "master-key").stat().st_mode & 0o777 == 0o600
    assert (hub.data / "hub.db").stat().st_mode & 0o077 == 0


def test_no_secret_is_in_the_clear_in_the_store_or_the_log(hub, activate, new_agent):
    activation = activate()
    new_agent().register(hub, activation)
    secrets = [hub.credentials()[1].encode(), activation["ActivationCode"].encode()]
    hub.stop()
    for path in [*hub.data.glob("hub.db*"), hub.home / "hub.log"]:
        for secret in secrets:
            assert secret not in path.read_bytes(), path


def test_the_first_operators_key_can_be_given_in_the_environment(new_hub):
    key = ("AKIAEXAMPLEEXAMPLE00", "an-example-secret-of-forty-characters-00")
    hub = new_hub(STINT_HUB_ACCESS_KEY_ID=key[0], STINT_HUB_SECRET_ACCESS_KEY=key[1])
    assert boto3_client(hub, key=key).describe_activations()["ActivationList"] == []
    assert not (hub.data / "operator-credentials").exists()


def test_a_created_key_works_and_a_deleted_one_does_not(hub, client):
    key_id, secret = read_credentials(hub.access_key("create", "--description", "for the night shift"))
    mine = boto3_client(hub, key=(key_id, secret))
    assert mine.describe_activations()["ActivationList"] == []
    listed = hub.access_key("list")
    assert key_id in listed and "for the night shift" in listed and secret not in listed

    hub.access_key("delete", key_id)
    assert error_code(mine.describe_activations) == "UnrecognizedClientException"
    assert client.describe_activations()["ActivationList"] == []


def test_a_rule_for_sessions_of_a_key_that_does_not_exist_is_refused(hub):
    words = [HUB, "session", "allow", "AKIANOPE", "--documents", "*", "--data", hub.data]
    one_clear_line(run(words, hub.home), "no access key AKIANOPE", "access-key list")
    assert hub.session("rules") == ""
    hub.session("allow", "*", "--documents", "*")
    hub.session("allow", hub.credentials()[0], "--documents", "*")
    assert len(hub.session("rules").splitlines()) == 2


def test_a_wrong_secret_is_refused_as_an_invalid_signature(hub):
    key_id, _ = hub.credentials()
    wrong = boto3_client(hub, key=(key_id, "x" * 40))
    assert error_code(wrong.describe_activations) == "InvalidSignatureException"
    stranger = boto3_client(hub, key=("AKIAXXXXXXXXXXXXXXXX", "x" * 40))
    assert error_code(stranger.describe_activations) == "UnrecognizedClientException"


# --- pages for machines ------------------------------------------------------------------------


def test_the_health_page_needs_no_key(hub):
    status, text = hub.get("/healthz")
    assert (status, text.strip()) == (200, "ok")


def test_the_metrics_are_in_prometheus_text_format(hub, client, agent):
    client.describe_activations()
    status, text = hub.get("/metrics")
    assert status == 200
    lines = text.splitlines()
    assert [line for line in lines if not line.startswith("#") and not _METRIC.fullmatch(line)] == []
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert names and all(name.startswith("stint_hub_") for name in names)
    assert any("DescribeActivations" in line for line in lines)


def test_anything_else_is_not_found(hub):
    assert hub.get("/nothing-here")[0] == 404


def test_who_opens_the_hub_in_a_browser_is_told_of_the_console(hub):
    status, text = hub.get("/")
    assert status == 404 and "/console" in text


def test_an_unsigned_request_gets_no_further_than_the_door(hub):
    host, port = hub.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = "POST / HTTP/1.1\r\nHost: hub\r\nX-Amz-Target: AmazonSSM.DescribeActivations\r\n"
        connection.sendall(
            f"{head}Content-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        )
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 400")
    assert "MissingAuthenticationTokenException" in answer
