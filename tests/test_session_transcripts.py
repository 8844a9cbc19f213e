"""What a session printed goes where the preferences say: whole, also of a session that was killed, and again
until it is there."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import processes
from harness.hub import read_credentials
from harness.mgs.plugin import Plugin
from harness.mgs.ways import ThroughHub
from harness.programs import HUB, run
from harness.wait import until


def through(client, agent) -> ThroughHub:
    """The way to an agent that is connected."""
    connected = lambda: client.get_connection_status(Target=agent.node)["Status"] == "connected"  # noqa: E731
    until("the node has a channel", connected)
    return ThroughHub(client, agent)


@pytest.fixture
def way(client, agent) -> ThroughHub:
    """The real hub, on which the agent is connected."""
    return through(client, agent)


def column(hub, session: str) -> str:
    """What `stint-hub session list` says of a transcript."""
    lines = [line.split("\t") for line in hub.session("list").splitlines()]
    (last,) = [line[-1] for line in lines if line[0] == session]
    return last


def has_come(hub, session: str) -> None:
    """Waits until the hub has the whole."""
    until("the transcript is on the hub", lambda: column(hub, session).isdigit())


def url(client, session: str) -> str | None:
    """Where it is, as DescribeSessions says."""
    filters = [{"key": "SessionId", "value": session}]
    (found,) = client.describe_sessions(State="History", Filters=filters)["Sessions"]
    return found["OutputUrl"].get("S3OutputUrl")


def refused(hub, session: str) -> str:
    """Why there is no transcript to be printed."""
    done = run([HUB, "session", "transcript", session, "--data", hub.data], hub.home)
    assert done.returncode == 1 and not done.stdout
    return done.stderr


def left(agent) -> list[str]:
    """The transcripts that the device still has."""
    folder = agent.state / "transcripts"
    return sorted(path.name for path in folder.glob("*.log")) if folder.is_dir() else []


def test_the_hub_keeps_what_a_session_printed(hub, client, way):
    way.prefer(client, hubTranscriptEnabled=True)
    # Several pieces, in bytes that are no text.
    session = way.interactive("printf '\\303\\251\\377\\n'; seq 1 6000")
    assert session.ended(60) == ""
    has_come(hub, session.session)
    printed = bytes(session.output)
    assert printed.startswith(b"\xc3\xa9\xff\r\n1\r\n") and printed.endswith(b"\r\n6000\r\n")
    assert column(hub, session.session) == str(len(printed))
    link = url(client, session.session)
    assert link.startswith(f"{hub.endpoint}/transcripts/{session.session}?token=")
    with urllib.request.urlopen(link, timeout=20) as answer:
        assert answer.read() == printed
    words = [str(word) for word in [HUB, "session", "transcript", session.session, "--data", hub.data]]
    assert subprocess.run(words, capture_output=True, timeout=20, check=True).stdout == printed
    until("the device has none left", lambda: not left(way.agent))


def test_a_link_to_a_transcript_is_that_one_s_alone(hub, client, way):
    way.prefer(client, hubTranscriptEnabled="true")
    sessions = [way.interactive(f"echo number-{n}") for n in range(2)]
    for session in sessions:
        session.ended()
        has_come(hub, session.session)
    one, other = (url(client, session.session) for session in sessions)
    mixed = other.partition("?")[0] + "?" + one.partition("?")[2]
    for link in [mixed, one.partition("?")[0], one[:-4]]:
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(link, timeout=20)
        assert refusal.value.code == 403
    # Who may not open such sessions may not read them.
    other, _ = read_credentials(hub.access_key("create"))
    hub.session("allow", other, "--documents", "*")
    assert url(client, sessions[0].session) is None


def test_nothing_is_kept_unless_the_preferences_say_so(hub, client, way):
    session = way.interactive("echo secret")
    session.ended()
    until("it is over", lambda: client.describe_sessions(State="History")["Sessions"])
    assert (column(hub, session.session), url(client, session.session)) == ("-", None)
    assert "hubTranscriptEnabled" in refused(hub, session.session)
    assert not left(way.agent)
    assert "no such session" in refused(hub, "never-was")


def test_of_a_session_that_the_device_refused_no_transcript_is_waited_for(hub, client, way):
    # It has no transcript, as nobody says as whom it is to be opened.
    way.prefer(client, hubTranscriptEnabled=True, runAsEnabled=True)
    session = client.start_session(Target=way.agent.node)["SessionId"]
    until("it is over", lambda: client.describe_sessions(State="History")["Sessions"])
    assert column(hub, session) == "none"
    assert "the session never began" in refused(hub, session)


def test_a_session_that_is_killed_leaves_its_transcript(hub, client, way):
    way.prefer(client, hubTranscriptEnabled=True)
    shell = way.shell()
    shell.type_in("echo be''fore; (sleep 1000)\n")
    shell.until("before")
    assert "nothing has come" in refused(hub, shell.session)
    (process,) = [p for p in processes.mentioning(f"{way.agent.state}") if "session" in p.argv[1:2]]
    os.kill(process.pid, signal.SIGKILL)
    has_come(hub, shell.session)
    assert "before" in hub.session("transcript", shell.session)
    assert not left(way.agent)


def with_s3(agent, cloud):
    """An agent for which S3 is the cloud in the cellar."""
    keys = str(cloud.credentials_file())
    return agent.configure(endpoints={"s3": cloud.endpoint}, s3CredentialsFile=keys)


def test_a_transcript_goes_to_s3_and_the_hub_as_the_preferences_say(hub, client, activate, new_agent, cloud):
    bucket = cloud.make_bucket("transcripts")
    agent = with_s3(new_agent(), cloud)
    agent.register(hub, activate())
    way = through(client, agent.start())
    way.prefer(client, hubTranscriptEnabled=True, s3BucketName=bucket, s3KeyPrefix="fleet/night")
    session = way.interactive("echo all is well")
    session.ended()
    until("it is in S3", lambda: cloud.objects(bucket))
    key = f"fleet/night/{session.session}.log"
    assert cloud.objects(bucket) == {key: b"all is well\r\n"}
    assert url(client, session.session) == f"https://s3.{hub.region}.amazonaws.com/{bucket}/{key}"
    has_come(hub, session.session)
    assert hub.session("transcript", session.session) == "all is well\n"


def test_a_transcript_that_nobody_took_is_sent_again(hub, client, activate, new_agent, cloud):
    agent = with_s3(new_agent(), cloud)
    agent.register(hub, activate())
    way = through(client, agent.start())
    way.prefer(client, hubTranscriptEnabled=True, s3BucketName="not-yet-there")
    session = way.interactive("echo patience")
    session.ended()
    has_come(hub, session.session)
    assert left(agent) == [f"{session.session}.log"]
    told = f"the transcript {agent.state}/transcripts/{session.session}.to can't be sent"
    until("the agent's log says so", lambda: told in agent.logs())
    cloud.make_bucket("not-yet-there")
    agent.kill()
    agent.start()
    until("it is in S3", lambda: cloud.objects("not-yet-there"))
    until("the device has none left", lambda: not left(agent))


def test_who_opened_what_when_and_why_is_on_record_on_both_sides(hub, client, way):
    way.prefer(client, hubTranscriptEnabled=True)
    parameters = {"command": ["echo done"]}
    answer = client.start_session(
        Target=way.agent.node,
        DocumentName="AWS-StartInteractiveCommand",
        Parameters=parameters,
        Reason="ticket 7",
    )
    session = answer["SessionId"]
    Plugin({name: answer[name] for name in ("SessionId", "TokenValue", "StreamUrl")}).ended()

    def records() -> list[dict]:
        done = way.agent.command("audit", "--json", "--state-dir", way.agent.state)
        seen = [json.loads(line) for line in done.stdout.splitlines()]
        return [record for record in seen if record["event"].startswith("session.")]

    until("the device has its end on record", lambda: len(records()) == 2)
    started, ended = records()
    key = hub.credentials()[0]
    assert started["event"] == "session.started" and started["who"].endswith(f":user/{key}")
    assert started["what"] == f"id={session} document=AWS-StartInteractiveCommand"
    assert (ended["event"], ended["what"]) == ("session.ended", f"id={session} status=Success")
    has_come(hub, session)
    of_it = [line for line in hub.program.logs().splitlines() if session in line and way.agent.node in line]
    told = {what: [line for line in of_it if what in line] for what in
            ("session started", "session ended", "session transcript kept")}  # fmt: skip
    assert all(len(lines) == 1 for lines in told.values()), of_it
    assert "ticket 7" in told["session ended"][0] and key in told["session ended"][0]
