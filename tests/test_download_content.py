"""aws:downloadContent: a file is whole and in its place, or there is a reason and nothing."""

import hashlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from harness.faults import Fault, Faults
from harness.programs import AGENT, Program, environment, run
from harness.wait import until
from harness.web import Request, Web

BODY = bytes(range(256)) * 1200


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

    def call(
        kind: str,
        info: dict,
        destination: object = None,
        config: dict | None = None,
        path: str | None = None,
        **inputs: object,
    ) -> dict:
        file = home / "document.json"
        place = goal / "file" if destination is None else destination
        file.write_text(document(kind, info, place, **inputs))
        settings = home / "agent.json"
        settings.write_text(json.dumps(config or {}))
        words = ["--json", "--config", settings, "--state-dir", home / "nobody"]
        more = {"PATH": path} if path else {}
        done = run([AGENT, "run-document", file, *words], home, **more)
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


def test_a_file_larger_than_the_agent_takes_is_refused_at_once(web, fetch, goal):
    web.pages["/f"] = lambda request: request.answer(200, b"x", Content_Length=str(1 + (1 << 30)))
    step = fetch(web.url + "/f")
    assert step["status"] == "Failed" and "larger than the 1024 MiB" in step["stderr"], step
    assert len(web.seen) == 1 and names(goal) == []


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


def test_https_trusts_the_configured_authority_and_needs_no_leave(web, download, home, goal):
    secure = Web(home / "web.pem")
    url = secure.serve("/f", BODY)
    step = download("HTTP", {"url": url})
    assert step["status"] == "Failed" and "authority that isn't trusted" in step["stderr"], step
    assert names(goal) == []
    config = {"caFile": str(home / "web.pem")}
    assert download("HTTP", {"url": url}, None, config)["status"] == "Success"
    assert (goal / "file").read_bytes() == BODY
    # To plain HTTP a redirect leads only with leave; the other way it always does.
    secure.pages["/down"] = lambda request: request.answer(302, Location=web.serve("/f", b"plain"))
    step = download("HTTP", {"url": secure.url + "/down"}, None, config)
    assert step["status"] == "Failed" and "allowInsecureDownload" in step["stderr"], step
    web.pages["/up"] = lambda request: request.answer(301, Location=url)
    info = {"url": web.url + "/up", "allowInsecureDownload": True}
    assert download("HTTP", info, None, config)["status"] == "Success"
    secure.close()


def test_what_needs_no_network_reads_neither_configuration_nor_registration(home):
    step = {"action": "aws:runShellScript", "name": "s", "inputs": {"runCommand": ["echo fine"]}}
    (home / "document.json").write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": [step]}))
    (home / "broken.json").write_text("{")
    words = ["--config", home / "broken.json", "--state-dir", home / "nobody"]
    assert run([AGENT, "run-document", home / "document.json", *words], home).returncode == 0
    (home / "document.json").write_text(document("HTTP", {"url": "https://127.0.0.1:1/"}, home / "x"))
    done = run([AGENT, "run-document", home / "document.json", *words], home)
    assert done.returncode == 1 and "broken.json line 1" in done.stderr, done


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


def test_a_second_download_to_the_same_place_is_refused_and_the_first_is_whole(web, home, goal):
    go = threading.Event()

    def slow(request: Request) -> None:
        request.answer(200, BODY[:1000], Content_Length=str(len(BODY)))
        go.wait(30)
        request.send(BODY[1000:])

    web.pages["/f"] = slow
    web.serve("/other", b"other")
    commands = []
    for page in ("/f", "/other"):
        info = {"url": web.url + page, "allowInsecureDownload": True}
        file = home / f"document{len(commands)}.json"
        file.write_text(document("HTTP", info, goal / "file"))
        commands.append([AGENT, "run-document", file])
    first = Program(commands[0], home / "run.log", environment(home))
    until("the first download has begun", lambda: web.seen and names(goal))
    second = run(commands[1], home)
    assert second.returncode == 1, second
    assert "another job is downloading to this place" in second.stderr
    go.set()
    assert first.process.wait(10) == 0
    assert (goal / "file").read_bytes() == BODY and names(goal) == ["file"]
    assert run(commands[1], home).returncode == 0
    assert (goal / "file").read_bytes() == b"other"


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


def test_a_full_disk_is_told_and_leaves_nothing(web, home, goal):
    """The destination is a file system of 1 MiB, and the file has two."""
    goal.mkdir()
    info = {"url": web.serve("/f", bytes(2 << 20)), "allowInsecureDownload": True}
    (home / "document.json").write_text(document("HTTP", info, goal / "file"))
    script = 'mount -t tmpfs -o size=1m none "$0" && { "$@"; echo "left: $(ls -A "$0")"; }'
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, goal]
    done = run([*inside, AGENT, "run-document", home / "document.json"], home)
    assert "needs 2048 KiB and the disk has" in done.stderr, done
    assert done.stdout.endswith("left: \n"), done


def test_a_disk_that_fails_at_any_moment_leaves_no_half_file(web, home, goal):
    """Every write, fsync and rename of the download fails once."""
    url = web.serve("/f", BODY)
    (home / "document.json").write_text(
        document("HTTP", {"url": url, "allowInsecureDownload": True}, goal / "file")
    )
    goal.mkdir()
    command = [AGENT, "run-document", home / "document.json"]
    counted = Faults(home / "count")
    assert run(command, home, **counted.environment()).returncode == 0
    places = [place for place in counted.places() if "goal" in place.name]
    assert {place.name.split()[0] for place in places} >= {"create", "write", "chmod", "fsync", "rename"}
    # A file that arrives in many pieces is written in as many; one in the middle stands for them.
    writes = [place for place in places if place.name.startswith("write")]
    chosen = [place for place in places if place not in writes] + writes[len(writes) // 2 :][:1]
    for number, place in enumerate(chosen):
        (goal / "file").write_bytes(b"old")
        faults = Faults(home / f"fault-{number}", Fault(place, "ENOSPC"))
        done = run(command, home, **faults.environment())
        assert faults.struck() and done.returncode == 1, place
        assert names(goal) == ["file"]
        # Once it has been renamed, only the folder's fsync can fail, and the file is whole.
        assert (goal / "file").read_bytes() in (b"old", BODY), place


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


# --- S3: moto's server, which checks every signature (tests/harness/s3.py) ----------------------


@pytest.fixture
def s3(cloud, download):
    """Downloads from the bucket `files`."""
    cloud.make_bucket("files")
    config = {"region": cloud.region, "endpoints": {"s3": cloud.endpoint}}
    config["s3CredentialsFile"] = str(cloud.credentials_file())

    def call(path: str, destination: object = None, bucket: str = "files", **info: object) -> dict:
        return download("S3", {"path": f"{cloud.endpoint}/{bucket}/{path}", **info}, destination, config)

    return call


def test_an_object_is_downloaded_with_a_signature(cloud, s3, goal):
    cloud.s3.put_object(Bucket="files", Key="a/tool & co.sh", Body=BODY)
    step = s3("a/tool%20%26%20co.sh", f"{goal}/", sha256=hashlib.sha256(BODY).hexdigest())
    assert step["status"] == "Success", step
    assert (goal / "tool & co.sh").read_bytes() == BODY


def test_a_prefix_is_downloaded_with_its_folders_however_many_files(cloud, s3, goal):
    client = cloud.s3
    wanted = {"a b+c/$ü.txt": b"1", "deep/er/&<>'\"": b"2", **{f"many/{n}": b"" for n in range(1000)}}
    for key, body in wanted.items():
        client.put_object(Bucket="files", Key=f"site/{key}", Body=body)
    # What a console makes to show a folder, and a neighbour that only begins alike.
    client.put_object(Bucket="files", Key="site/deep/", Body=b"")
    client.put_object(Bucket="files", Key="site-2/x", Body=b"")
    step = s3("site", f"{goal}/")
    assert step["status"] == "Success", step
    found = {str(p.relative_to(goal)): p.read_bytes() for p in goal.rglob("*") if p.is_file()}
    assert found == wanted


def test_a_key_that_leads_out_of_the_folder_is_refused(cloud, s3, goal, home):
    cloud.s3.put_object(Bucket="files", Key="site/../../escaped", Body=b"x")
    step = s3("site/", f"{goal}/in/")
    assert step["status"] == "Failed" and "can't be the name of a file" in step["stderr"], step
    assert not list(home.rglob("escaped"))


def test_what_s3_refuses_is_told_in_its_words(cloud, s3, goal):
    assert "NoSuchKey" in s3("none")["stderr"]
    assert "NoSuchBucket" in s3("x", bucket="nobodys")["stderr"]
    cloud.secret = "wrong"
    cloud.credentials_file()
    assert "SignatureDoesNotMatch" in s3("none/")["stderr"]
    assert names(goal) == []


def test_a_url_of_nobodys_s3_gets_no_signature(web, download):
    step = download("S3", {"path": web.url + "/files/x"})
    assert step["status"] == "Failed" and "endpoints.s3" in step["stderr"]
    assert web.seen == []


# --- GitHub: a server that speaks the JSON of its interface for contents ------------------------


class GitHub:
    """One repository, `acme/tools`, in two revisions."""

    files: ClassVar = {"README": b"read me", "bin/run": b"#!/bin/sh\n", "bin/lib/a b.sh": BODY}

    def __init__(self, web: Web, token: str | None = None):
        self.web, self.token = web, token
        for path in ["", "bin", "bin/lib", *self.files]:
            page = "/api/repos/acme/tools/contents" + (f"/{path}" if path else "")
            web.pages[page.replace(" ", "%20")] = lambda request, path=path: self._answer(request, path)

    def _answer(self, request: Request, path: str) -> None:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return request.answer(404, b'{"message":"Not Found"}')
        if "ref=" in request.path and not request.path.endswith("ref=v1"):
            return request.answer(404, b'{"message":"No commit found for the ref"}')
        if request.headers["Accept"] == "application/vnd.github.raw+json":
            return request.answer(200, self.files[path])
        if path in self.files:
            return request.answer(200, json.dumps({"type": "file", "path": path}).encode())
        depth = path + "/" if path else ""
        inside = {name.removeprefix(depth).split("/")[0] for name in self.files if name.startswith(depth)}
        entries = [
            {"type": "file" if depth + name in self.files else "dir", "path": depth + name} for name in inside
        ]
        return request.answer(200, json.dumps(entries).encode())


def github(web: Web) -> dict:
    """The configuration that leads there."""
    return {"endpoints": {"github": web.url + "/api"}}


def test_a_folder_of_a_github_repository_is_downloaded(web, download, goal):
    GitHub(web)
    info = {"owner": "acme", "repository": "tools", "path": "bin", "getOptions": "branch:v1"}
    step = download("GitHub", info, f"{goal}/", github(web))
    assert step["status"] == "Success", step
    assert (goal / "run").read_bytes() == b"#!/bin/sh\n" and (goal / "lib" / "a b.sh").read_bytes() == BODY
    assert names(goal) == ["lib", "lib/a b.sh", "run"]
    assert all("ref=v1" in request.path for request in web.seen)


def test_a_single_file_of_github_and_a_revision_that_is_not_there(web, download, goal):
    GitHub(web)
    info = {"owner": "acme", "repository": "tools", "path": "README"}
    assert download("GitHub", info, None, github(web))["status"] == "Success"
    assert (goal / "file").read_bytes() == b"read me"
    step = download("GitHub", {**info, "getOptions": "commitID:0123abcd"}, None, github(web))
    assert step["status"] == "Failed" and "HTTP status 404" in step["stderr"]


def test_a_token_must_come_from_parameter_store(web, download):
    GitHub(web, token="t")
    info = {"owner": "acme", "repository": "tools", "path": "", "tokenInfo": "t"}
    step = download("GitHub", info, None, github(web))
    assert step["status"] == "Failed" and "ssm-secure" in step["stderr"]
    assert web.seen == []


def test_a_github_answer_that_leads_out_of_the_folder_is_refused(web, download, goal, home):
    entries = json.dumps([{"type": "file", "path": "../../escaped"}]).encode()
    web.serve("/api/repos/acme/tools/contents", entries)
    step = download("GitHub", {"owner": "acme", "repository": "tools"}, f"{goal}/", github(web))
    assert step["status"] == "Failed" and "can't be the name of a file" in step["stderr"]
    assert not list(home.rglob("escaped"))


def test_a_github_folder_whose_listing_may_be_cut_is_refused(web, download, goal):
    GitHub(web)
    entries = [{"type": "file", "path": f"bin/{number}"} for number in range(1000)]
    web.serve("/api/repos/acme/tools/contents/bin", json.dumps(entries).encode())
    info = {"owner": "acme", "repository": "tools", "path": "bin"}
    step = download("GitHub", info, f"{goal}/", github(web))
    assert step["status"] == "Failed" and "too many files in one folder" in step["stderr"], step
    assert len(web.seen) == 1 and names(goal) == []


# --- Git: the device's command, and a git daemon on loopback ------------------------------------


@pytest.fixture
def repository(home):
    """A repository behind `git daemon`: its URL and the ids of its two commits."""
    # The program itself: `git daemon` would be its parent, and leave it behind when it is killed.
    program = Path(run(["git", "--exec-path"], home).stdout.strip()) / "git-daemon"
    if not program.exists():
        pytest.skip("this machine has no git daemon")
    work = home / "repositories" / "tools"
    work.mkdir(parents=True)

    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = run(["git", "-C", work, *identity, *words], home)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch", "main")
    commits = []
    for text in ("one", "two"):
        (work / "file").write_text(text)
        git("add", "file")
        git("commit", "--quiet", "-m", text)
        commits.append(git("rev-parse", "HEAD"))
    git("branch", "old", commits[0])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--listen=127.0.0.1", f"--port={port}", "--export-all"]
    command += [f"--base-path={work.parent}", "--reuseaddr", str(work.parent)]
    daemon = Program(command, home / "git.log", environment(home))
    until("git daemon listens", lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
    yield f"git://127.0.0.1:{port}/tools", commits
    daemon.kill()


def test_a_repository_is_cloned_at_a_branch_and_at_a_commit(repository, download, home):
    url, (first, _) = repository
    for options, text in [("", "two"), ("branch:old", "one"), (f"commitID:{first}", "one")]:
        goal = home / f"clone-{options.replace(':', '-')}"
        step = download("Git", {"repository": url, "getOptions": options}, f"{goal}/")
        assert step["status"] == "Success", step
        assert (goal / "file").read_text() == text
        assert sorted(path.name for path in goal.iterdir()) == [".git", "file"]


def test_a_repository_that_is_not_there_fails_in_gits_words_and_leaves_nothing(repository, download, goal):
    url, _ = repository
    step = download("Git", {"repository": url + "-none"}, f"{goal}/")
    assert step["status"] == "Failed" and "fatal:" in step["stderr"], step
    assert names(goal) == []


def test_git_is_not_let_near_what_starts_programs(download, home):
    for url in [f"ext::sh -c touch% {home}/ran", "--upload-pack=x", f"file://{home}", str(home)]:
        step = download("Git", {"repository": url}, f"{home}/clone/")
        assert step["status"] == "Failed" and "repository must be" in step["stderr"], step
    assert not (home / "ran").exists()


def test_git_takes_a_password_to_its_host_and_not_to_where_that_redirects(web, download, home, goal):
    if not shutil.which("git"):
        pytest.skip("this machine has no git")
    secure = Web(home / "web.pem")
    (home / ".gitconfig").write_text(f"[http]\n\tsslCAInfo = {home}/web.pem\n")
    away = web.url + "/elsewhere/info/refs?service=git-upload-pack"
    secure.pages["/tools/info/refs"] = lambda request: request.answer(302, Location=away)
    info = {"repository": secure.url + "/tools", "username": "me", "password": "pass"}
    step = download("Git", info, f"{goal}/")
    secure.close()
    assert step["status"] == "Failed", step
    assert {request.user() for request in secure.seen} == {"me:pass"}
    assert web.seen == [] and names(goal) == []


def test_a_git_too_old_for_passwords_is_not_asked_to_clone(download, home, goal):
    tools = home / "tools"
    tools.mkdir()
    stub = f'#!/bin/sh\necho "$@" >>{home}/argv\necho git version 2.30.2\n'
    (tools / "git").write_text(stub)
    (tools / "git").chmod(0o755)
    info = {"repository": "https://127.0.0.1:1/tools", "username": "me", "password": "pass"}
    step = download("Git", info, f"{goal}/", path=f"{tools}:{os.environ['PATH']}")
    assert step["status"] == "Failed" and "need git 2.31" in step["stderr"], step
    assert (home / "argv").read_text() == "--version\n"


def test_a_token_in_a_repositorys_url_is_refused_and_not_shown(web, download, goal):
    for url in ["https://TOKEN@127.0.0.1:1/a", web.url.replace("://", "://me:TOKEN@") + "/a"]:
        step = download("Git", {"repository": url}, f"{goal}/")
        assert step["status"] == "Failed" and "can't stand in the URL" in step["stderr"], step
        assert "TOKEN" not in json.dumps(step)
    assert web.seen == [] and names(goal) == []


def test_a_clone_into_a_folder_that_has_one_of_its_names_moves_nothing(repository, download, goal):
    url, (first, _) = repository
    assert download("Git", {"repository": url}, f"{goal}/")["status"] == "Success"
    before = names(goal)
    again = {"repository": url, "getOptions": f"commitID:{first}"}
    step = download("Git", again, f"{goal}/")
    assert step["status"] == "Failed" and "destinationPath" in step["stderr"], step
    assert names(goal) == before and (goal / "file").read_text() == "two"
    # Without .git it is only seen when the clone is there.
    shutil.rmtree(goal / ".git")
    step = download("Git", again, f"{goal}/")
    assert step["status"] == "Failed" and f"{goal}/file is there already" in step["stderr"], step
    assert names(goal) == ["file"] and (goal / "file").read_text() == "two"


def test_an_ssh_key_reaches_ssh_by_a_file_that_is_on_no_disk(download, home):
    if not shutil.which("git"):
        pytest.skip("this machine has no git")
    tools = home / "tools"
    tools.mkdir()
    # In the place of the device's ssh: notes how it is called, and what is in its key file.
    look = f"case $a in /proc/*) cat $a >{home}/key;; esac"
    stub = f'#!/bin/sh\necho "$@" >{home}/argv\nfor a; do {look}; done\nexit 1\n'
    (tools / "ssh").write_text(stub)
    (tools / "ssh").chmod(0o755)
    info = {"repository": "git@host.example:acme/tools", "privateSSHKey": "KEY", "skipHostKeyChecking": True}
    step = download("Git", info, f"{home}/clone/", path=f"{tools}:{os.environ['PATH']}")
    assert step["status"] == "Failed"
    assert (home / "key").read_text() == "KEY"
    argv = (home / "argv").read_text()
    assert "KEY" not in argv and "BatchMode=yes" in argv and "StrictHostKeyChecking=no" in argv


def test_without_git_a_repository_at_github_is_fetched_all_the_same(web, download, goal):
    GitHub(web)
    empty = goal.parent / "no-programs"
    empty.mkdir()
    info = {"repository": "https://github.com/acme/tools.git", "getOptions": "branch:v1"}
    step = download("Git", info, f"{goal}/", github(web), path=str(empty))
    assert step["status"] == "Success", step
    assert (goal / "bin" / "lib" / "a b.sh").read_bytes() == BODY
    step = download("Git", {"repository": "https://git.example/a/b"}, f"{goal}/", path=str(empty))
    assert step["status"] == "Failed" and "there is no git command" in step["stderr"]
