"""What the original does with a document, rule by rule, and what stint does: tests/conformance/*.json.

Each case is a job, run by `stint worker` as the agent runs it, and what is to be reported; those that need
a server are sent by a hub. Where stint differs on purpose, the case quotes the words of docs/PROTOCOL.md that
say so.
"""

import json
import re
from pathlib import Path

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.programs import AGENT, HUB, run
from harness.tap import Tap
from harness.wait import until

_HERE = Path(__file__).parent
PROTOCOL = (_HERE.parent / "docs" / "PROTOCOL.md").read_text()
TABLES = sorted((_HERE / "conformance").glob("*.json"))
KEYS = {"rule", "document", "text", "parameters", "status", "trace", "steps", "differs"}
# What of a case is there before its document: files of the case's own, whose folder is {home} in it; the
# operator's wish to cancel. And whether it goes on after a reboot.
KEYS |= {"files", "cancelled", "goes_on"}
STEP_KEYS = {"name", "status", "code", "stdout", "stderr", "stdout_bytes", "whole"}
# The paragraphs of the facts about documents; each needs its table.
PARAGRAPHS = [
    "1.1",
    "1.2",
    "1.3",
    "1.4",
    "1.5",
    "1.6",
    "1.6.1",
    "1.6.2",
    "1.6.3",
    "1.7",
    "1.8",
    "1.9",
    "1.10",
]


def cases(key: str = "cases", with_store: bool = False) -> list:
    """The cases of all tables, each with an id that says what is promised."""
    found = []
    for table in TABLES:
        content = json.loads(table.read_text())
        for case in content.get(key, []):
            if with_store != ("store" in content):
                continue
            if with_store:
                case = {**case, "store": content["store"]}
            label = f"{content['paragraph']} {case['rule']}"
            found.append(pytest.param(case, id=re.sub(r"\W+", "-", label)[:100]))
    return found


def outcome(home: Path, case: dict) -> dict:
    """Runs the case as a job, and returns what the worker leaves for the report."""
    folder = home / "job"
    folder.mkdir()
    for name, text in case.get("files", {}).items():
        (home / name).write_text(text)
    if case.get("cancelled"):
        (folder / "cancel").touch()
    document = case["text"] if "text" in case else json.dumps(case["document"])
    document = document.replace("{home}", str(home))
    parameters = case.get("parameters", {})
    job = {
        "id": "9f0cfd5e-5e0f-4b1c-9d0e-1d2c3b4a5f60",
        "receipt": "aws.ssm.9f0cfd5e-5e0f-4b1c-9d0e-1d2c3b4a5f60.mi-0123456789abcdef0",
        "created": "2026-01-01T00:00:00.000Z",
        "node": "mi-0123456789abcdef0",
        "region": "eu-central-1",
        "document_name": "Case",
        "document": document,
        "parameters": parameters if isinstance(parameters, str) else json.dumps(parameters),
    }
    (folder / "job.json").write_text(json.dumps(job))
    done = run([AGENT, "worker", folder], home)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "outcome.json").read_text())


@pytest.mark.parametrize("case", cases())
def test_a_document_does_what_its_rule_says(home, case):
    assert set(case) <= KEYS, "the table has a key that nobody reads"
    seen = outcome(home, case)
    assert seen["complete"] != case.get("goes_on", False)
    compare(seen, case)


def compare(seen: dict, case: dict) -> None:
    """Holds an outcome to its case."""
    if "differs" in case:
        assert case["differs"] in PROTOCOL, "docs/PROTOCOL.md must say where stint differs"
    assert seen["status"] == case["status"], seen
    if "trace" in case:
        assert case["trace"] in seen["trace"], seen["trace"]
    wanted = case.get("steps", [])
    assert [step["name"] for step in seen["steps"]] == [step["name"] for step in wanted], seen
    for step, want in zip(seen["steps"], wanted, strict=True):
        assert set(want) <= STEP_KEYS, "the table has a key that nobody reads"
        assert (step["status"], step["code"]) == (want["status"], want["code"]), step
        if "stdout" in want:
            assert step["stdout"] == want["stdout"], step
        if "stdout_bytes" in want:
            assert len(step["stdout"]) == want["stdout_bytes"]
            assert ("--output truncated--" not in step["stdout"]) == want["whole"]
        if "stderr" in want:
            # The reasons are in our own words; nothing must be really nothing.
            assert want["stderr"] in step["stderr"] and bool(want["stderr"]) == bool(step["stderr"]), step


@pytest.fixture
def tapped(hub, client, activate, new_agent):
    """An agent whose words are heard, and the tap that hears them."""
    tap = Tap(hub)
    agent = new_agent()
    agent.register(tap, activate())
    agent.start()
    wait_until_online(client, agent.node)
    yield agent, tap
    tap.close()


def put_in(message: dict, document: dict) -> None:
    """Makes a message send another document."""
    message["Payload"] = json.dumps({**json.loads(message["Payload"]), "DocumentContent": document})


def last_reply(tap: Tap) -> dict:
    """The payload of the last reply to a command, with the steps of all of them."""
    replies = [json.loads(request["Payload"]) for request in tap.requests("SendReply")]
    steps = [reply["runtimeStatus"] or {} for reply in replies]
    return {**replies[-1], "runtimeStatus": {name: each[name] for each in steps for name in each}}


def as_outcome(reply: dict, order: list[str]) -> dict:
    """A reply in the words of the table."""
    steps = reply["runtimeStatus"] or {}
    known = [{**steps[name], "name": name} for name in order if name in steps]
    for step in known:
        step.update(stdout=step["standardOutput"], stderr=step["standardError"])
    return {"status": reply["documentStatus"], "trace": reply["documentTraceOutput"], "steps": known}


@pytest.mark.parametrize("case", cases(with_store=True))
def test_references_to_parameter_store_do_what_their_rule_says(hub, client, tapped, case):
    agent, tap = tapped
    role = [HUB, "role", "put", "EdgeRole", "--read-parameters", "*", "--data", hub.data]
    assert run(role, hub.home).returncode == 0
    for name, (kind, value) in case["store"].items():
        client.put_parameter(Name=name, Type=kind, Value=value)
    tap.change = lambda message: put_in(message, case["document"])
    finished(client, shell(client, [agent.node], "unused"), agent.node)
    compare(as_outcome(last_reply(tap), [step["name"] for step in case["steps"]]), case)


@pytest.mark.parametrize("case", cases("messages"))
def test_a_message_does_what_its_rule_says(client, tapped, case):
    agent, tap = tapped
    tap.change = lambda message: message.update(Payload=case["payload"])
    command = shell(client, [agent.node], "echo unused")
    assert finished(client, command, agent.node)["Status"] == case["status"]
    reply = last_reply(tap)
    assert reply["documentStatus"] == case["status"]
    assert case.get("trace", "") in reply["documentTraceOutput"]
    assert tap.requests("SendReply")[-1]["MessageId"] == f"aws.ssm.{command}.{agent.node}"


def test_a_message_of_an_unknown_topic_is_refused(client, tapped):
    agent, tap = tapped
    tap.change = lambda message: message.update(Topic="aws.ssm.somethingElse")
    shell(client, [agent.node], "echo unused")
    until("it is refused", lambda: tap.requests("FailMessage"))
    assert tap.requests("SendReply") == []


def test_a_reply_has_the_keys_and_the_form_of_the_originals(client, tapped):
    agent, tap = tapped
    command = shell(client, [agent.node], "echo out", "echo err >&2", "exit 3")
    finished(client, command, agent.node)
    (request,) = tap.requests("SendReply")
    reply = json.loads(request["Payload"])
    assert set(request) == {"MessageId", "Payload", "ReplyId"}
    keys = {"additionalInfo", "documentStatus", "documentTraceOutput", "runtimeStatus"}
    assert set(reply) == keys
    info = reply["additionalInfo"]
    assert info["agent"].keys() == {"lang", "name", "os", "osver", "ver"}
    assert (info["agent"]["lang"], info["agent"]["os"], info["agent"]["osver"]) == ("en-US", "linux", "1")
    assert info["runtimeStatusCounts"] == {"Failed": 1}
    ((name, step),) = reply["runtimeStatus"].items()
    assert (name, step["name"], step["status"], step["code"]) == (*["aws:runShellScript"] * 2, "Failed", 3)
    assert set(step) == {
        *("status", "code", "name", "output", "startDateTime", "endDateTime", "stepName"),
        *("outputS3BucketName", "outputS3KeyPrefix", "standardOutput", "standardError"),
    }
    said = "failed to run commands: exit status 3"
    assert step["output"] == f"out\n\n----------ERROR-------\nerr\n{said}"
    for moment in (step["startDateTime"], step["endDateTime"], info["dateTime"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)


def test_a_replys_output_is_both_streams_in_2500_bytes(client, tapped):
    agent, tap = tapped
    long = "head -c 30000 /dev/zero | tr '\\0'"
    finished(client, shell(client, [agent.node], f"{long} o; {long} e >&2"), agent.node)
    (step,) = last_reply(tap)["runtimeStatus"].values()
    assert (len(step["standardOutput"]), len(step["standardError"])) == (24_000, 24_000)
    out, _, err = step["output"].partition("\n----------ERROR-------\n")
    assert 2400 < len(step["output"]) <= 2500
    # Each has its half, and neither is lost.
    assert abs(len(out) - len(err)) < 50
    for part, letter in ((out, "o"), (err, "e")):
        assert set(part.replace("\n---Output truncated---\n", "")) == {letter}


def test_a_document_of_several_steps_is_reported_step_by_step(client, tapped):
    agent, tap = tapped
    lines = {"inputs": {"runCommand": ["sleep 0.5; echo said"]}, "action": "aws:runShellScript"}
    document = {"schemaVersion": "2.2", "mainSteps": [{**lines, "name": name} for name in ("a", "b")]}
    tap.change = lambda message: put_in(message, document)
    finished(client, shell(client, [agent.node], "unused"), agent.node)
    replies = [json.loads(request["Payload"]) for request in tap.requests("SendReply")]
    assert [reply["documentStatus"] for reply in replies] == ["InProgress", "Success"]
    assert [sorted(reply["runtimeStatus"]) for reply in replies] == [["a"], ["b"]]
    # The original's last reply of several steps is empty.
    assert "carries those that no earlier reply brought" in PROTOCOL


def test_every_paragraph_has_its_table():
    tables = [json.loads(table.read_text()) for table in TABLES]
    assert sorted(table["paragraph"] for table in tables) == sorted(PARAGRAPHS)
    assert all(table["cases"] for table in tables)
