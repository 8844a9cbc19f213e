"""aws:downloadContent: a file is whole and in its place, or there is a reason and nothing."""

import hashlib
import json
import signal
import time
from pathlib import Path

import pytest

from harness.programs import AGENT, Program, environment, run
from harness.wait import until
from harness.web import Request, Web

BODY = bytes(range(256)) * 1200


@pytest.fixture
def web():
    """A web server of the test's own."""
    server = Web()
    yield server
    server.close()


@pytest.fixture
def goal(home) -> Path:
    """The folder that downloads go to."""
    return home / "goal"


def document(kind: str, info: dict, destination: object, **inputs: object) -> str:
    """A document of one download."""
    inputs = {"sourceType": kind, "sourceInfo": json.dumps(info), **inputs}
    inputs["destinationPath"] = str(destination)
    step = {"action": "aws:downloadContent", "name": "get", "inputs": inputs}
    return json.dumps({"schemaVersion": "2.2", "mainSteps": [step]})


@pytest.fixture
def download(home, goal):
    """Runs one download with `stint run-document` and returns the step."""

    def call(kind: str, info: dict, destination: object = None, config: dict | None = None, **inputs) -> dict:
        file = home / "document.json"
        place = goal / "file" if destination is None else destination
        file.write_text(document(kind, info, place, **inputs))
        settings = home / "agent.json"
        settings.write_text(json.dumps(config or {}))
        words = ["--json", "--config", settings, "--state-dir", home / "nobody"]
        done = run([AGENT, "run-document", file, *words], home)
        return json.loads(done.stdout)["steps"][0]

    return call


@pytest.fixture
def fetch(download):
    """Downloads a URL by plain HTTP."""
    return lambda url, destination=None, **info: download(
        "HTTP", {"url": url, "allowInsecureDownload": True, **info}, destination
    )


def names(folder: Path) -> list[str]:
    """What is in a folder and below."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def test_a_file_is_downloaded_with_the_mode_and_the_words_of_the_original(web, fetch, goal):
    step = fetch(web.serve("/a/tool.sh", BODY))
    assert step["status"] == "Success", step
    assert step["stdout"] == f"Content downloaded to {goal}/file\n"
    assert (goal / "file").read_bytes() == BODY
    assert (goal / "file").stat().st_mode & 0o777 == 0o700
    assert names(goal) == ["file"]


def test_into_a_folder_a_file_comes_under_its_own_name(web, fetch, goal):
    assert fetch(web.serve("/a/tool.sh", b"x"), f"{goal}/new/")["status"] == "Success"
    assert names(goal) == ["new", "new/tool.sh"]


def test_plain_http_needs_leave(web, download, goal):
    step = download("HTTP", {"url": web.serve("/f", b"x")})
    assert step["status"] == "Failed" and "allowInsecureDownload" in step["stderr"]
    assert names(goal) == [] and web.seen == []


def test_a_broken_connection_is_taken_up_where_it_broke(web, fetch, goal):
    step = fetch(web.serve_cut("/f", BODY, 100_000), sha256=hashlib.sha256(BODY).hexdigest())
    assert step["status"] == "Success", step
    assert (goal / "file").read_bytes() == BODY
    assert [request.range_start() for request in web.seen] == [0, 100_000, 200_000, 300_000]


def test_a_file_that_changed_meanwhile_is_fetched_anew(web, fetch, goal):
    new = BODY[::-1]

    def page(request: Request) -> None:
        if len(web.seen) == 1:
            request.answer(200, BODY, cut=5000, ETag='"old"')
        else:
            assert request.headers["If-Range"] == '"old"'
            request.answer(200, new, ETag='"new"')

    web.pages["/f"] = page
    assert fetch(web.url + "/f")["status"] == "Success"
    assert (goal / "file").read_bytes() == new


def test_a_server_that_never_finishes_is_given_up_and_leaves_nothing(web, fetch, goal):
    step = fetch(web.serve_cut("/f", BODY, 1000, resumable=False))
    assert step["status"] == "Failed" and "can't get" in step["stderr"], step
    assert names(goal) == []


def test_a_server_in_trouble_is_asked_again(web, fetch):
    web.pages["/f"] = lambda request: request.answer(200 if len(web.seen) > 2 else 503)
    assert fetch(web.url + "/f")["status"] == "Success"


def test_a_wrong_checksum_keeps_what_was_there(web, fetch, goal):
    goal.mkdir()
    (goal / "file").write_text("old")
    step = fetch(web.serve("/f", BODY), sha256="0" * 64)
    assert step["status"] == "Failed"
    assert hashlib.sha256(BODY).hexdigest() in step["stderr"]
    assert names(goal) == ["file"] and (goal / "file").read_text() == "old"


def test_an_error_page_is_no_download(web, fetch, goal):
    web.pages["/f"] = lambda request: request.answer(403, b"<html>no</html>")
    step = fetch(web.url + "/f?token=secret")
    assert step["status"] == "Failed" and "HTTP status 403" in step["stderr"]
    assert "secret" not in step["stderr"]
    assert names(goal) == []


def test_redirects_are_followed_and_take_no_password_to_another_host(web, fetch, goal):
    def guarded(request: Request) -> None:
        if request.user() == "me:pass":
            request.answer(302, Location="/inside")
        else:
            request.answer(401)

    web.pages["/f"] = guarded
    web.pages["/inside"] = lambda request: request.answer(307, Location=f"{web.other_url}/outside?sig=1")
    web.serve("/outside", BODY)
    step = fetch(web.url + "/f", authMethod="Basic", username="me", password="pass")
    assert step["status"] == "Success", step
    assert (goal / "file").read_bytes() == BODY
    assert [request.user() for request in web.seen] == ["me:pass", "me:pass", ""]


def test_a_circle_of_redirects_is_left(web, fetch):
    web.pages["/f"] = lambda request: request.answer(302, Location="/f")
    step = fetch(web.url + "/f")
    assert step["status"] == "Failed" and "redirects more than" in step["stderr"]


def test_a_cancelled_download_ends_at_once_and_leaves_nothing(web, home, goal):
    def stuck(request: Request) -> None:
        request.answer(200, BODY[:1000], Content_Length="5000", ETag='"v"')
        time.sleep(30)

    web.pages["/f"] = stuck
    info = {"url": web.url + "/f", "allowInsecureDownload": True}
    (home / "document.json").write_text(document("HTTP", info, goal / "file"))
    program = Program([AGENT, "run-document", home / "document.json"], home / "run.log", environment(home))
    until("the download has begun", lambda: web.seen and names(goal))
    begun = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    program.process.wait(10)
    assert time.monotonic() - begun < 3
    assert names(goal) == []


def test_a_download_that_trickles_ends_with_its_time(web, fetch, download, goal):
    def trickle(request: Request) -> None:
        request.answer(200, b"x", Content_Length="100000")
        try:
            for _ in range(200):
                request.send(b"x")
                time.sleep(0.1)
        except OSError:
            pass

    web.pages["/f"] = trickle
    begun = time.monotonic()
    info = {"url": web.url + "/f", "allowInsecureDownload": True}
    step = download("HTTP", info, timeoutSeconds="5")
    assert step["status"] == "TimedOut", step
    assert time.monotonic() - begun < 9
    assert names(goal) == []


def test_a_later_step_finds_what_an_earlier_one_has_downloaded(web, home):
    text = web.serve("/d/hello.sh", b"#!/bin/sh\necho hello from $(pwd)\n")
    info = {"url": text, "allowInsecureDownload": True}
    parsed = json.loads(document("HTTP", info, "tools/"))
    script = {"runCommand": ["./hello.sh"], "workingDirectory": "tools"}
    parsed["mainSteps"].append({"action": "aws:runShellScript", "name": "use", "inputs": script})
    (home / "document.json").write_text(json.dumps(parsed))
    done = run([AGENT, "run-document", home / "document.json"], home)
    assert done.returncode == 0, done.stderr
    assert "hello from /" in done.stdout and done.stdout.count("downloads/tools") == 2
