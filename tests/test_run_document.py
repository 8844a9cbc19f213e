"""`stint run-document` and `stint check-document`: documents on a device, without any server."""

import json
import signal

import pytest

from harness.programs import AGENT, Program, environment, run
from harness.wait import until

DOCUMENT = {
    "schemaVersion": "2.2",
    "parameters": {
        "who": {"type": "String", "default": "world", "allowedPattern": "^[a-z]+$"},
        "words": {"type": "StringList", "default": []},
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "hello",
            "inputs": {"runCommand": ["echo hello {{ who }}", "set -- {{ words }}; echo $#"]},
        }
    ],
}


@pytest.fixture
def stint(home):
    """Runs one `stint` command on a document; the words after its file follow."""

    def call(verb: str, document: object, *words: str):
        file = home / "document.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        return run([AGENT, verb, file, *words], home)

    return call


def shell(*commands: str, name: str = "step", **inputs: object) -> dict:
    """A document of one script."""
    step = {"action": "aws:runShellScript", "name": name, "inputs": {"runCommand": commands, **inputs}}
    return {"schemaVersion": "2.2", "mainSteps": [step]}


def test_a_document_runs_without_a_server_and_each_step_is_told(stint):
    done = stint("run-document", DOCUMENT, "--parameters", "who=you")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "hello you"
    assert "step hello (aws:runShellScript): Success, exit code 0" in done.stdout
    assert done.stdout.endswith("document: Success\n")


def test_parameters_are_taken_as_the_aws_cli_takes_them(stint):
    for words in [
        ["--parameters", "who=you", "words=a,b"],
        ["--parameters", '{"who":"you","words":["a","b"]}'],
    ]:
        outcome = json.loads(stint("run-document", DOCUMENT, "--json", *words).stdout)
        assert outcome["steps"][0]["stdout"].splitlines()[0] == "hello you"


def test_a_failed_step_is_a_failed_command(stint):
    done = stint("run-document", shell("echo oops >&2", "exit 3"), "--json")
    assert done.returncode == 1
    outcome = json.loads(done.stdout)
    assert (outcome["status"], outcome["steps"][0]["code"]) == ("Failed", 3)
    assert outcome["steps"][0]["stderr"].startswith("oops\n")


def test_a_value_out_of_its_limits_runs_nothing_and_says_why(stint, home):
    done = stint("run-document", DOCUMENT, "--parameters", "who=You")
    assert done.returncode == 1
    assert "parameter who must match the pattern ^[a-z]+$" in done.stderr
    assert "hello" not in done.stdout
    done = stint("run-document", DOCUMENT, "--parameters", "whom=you")
    assert done.stderr == "stint: the document has no parameter whom; it has who, words\n"


def test_nothing_is_left_behind(stint, home):
    scratch = home / "tmp"
    scratch.mkdir()
    file = home / "document.json"
    file.write_text(json.dumps(shell("pwd")))
    assert run([AGENT, "run-document", file], home, TMPDIR=str(scratch)).returncode == 0
    assert list(scratch.iterdir()) == []


def test_ctrl_c_ends_the_script_and_its_children(home):
    file = home / "document.json"
    marker = home / "child"
    file.write_text(json.dumps(shell(f"sleep 600 & echo $! >{marker}", "wait")))
    program = Program([AGENT, "run-document", file], home / "log", environment(home))
    child = until("the script's child", lambda: marker.exists() and marker.read_text().strip())
    program.process.send_signal(signal.SIGINT)
    assert program.process.wait(30) == 1
    assert "Cancelled" in "\n".join(program.lines)
    until("the child to be gone", lambda: not alive(child))


def alive(pid: str) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_problem_of_a_document_is_told_with_its_place(stint, home):
    text = """{"schemaVersion": "2.2",
      "parameters": {"p": {"type": "Sting"}},
      "mainSteps": [
        {"action": "aws:runShellScript", "name": "a", "inputs": {"runCommand": ["{{ q }}"]}},
        {"action": "aws:runShellScript", "name": "a", "inputs": {}}
      ]}"""
    done = stint("check-document", text)
    assert done.returncode == 1
    file = home / "document.json"
    assert [line.removeprefix(f"{file}:") for line in done.stdout.splitlines()] == [
        "2: the type of parameter p must be one of String, StringList, StringMap, Integer, Boolean, MapList",
        "4: {{ q }} is no declared parameter and stays as it is",
        "5: two steps have the name a",
        "5: step a: there is no runCommand",
    ]
    assert stint("check-document", DOCUMENT).returncode == 0


def test_a_document_that_is_no_json_says_so(stint, home):
    yaml = "schemaVersion: '2.2'\nmainSteps: []\n"
    assert ":1: no JSON" in stint("check-document", yaml).stdout
    assert "line 1" in stint("run-document", yaml).stderr
    gone = run([AGENT, "run-document", home / "nothing"], home)
    assert gone.returncode == 1 and "can't read" in gone.stderr
