"""What each plugin does on a device, without any server: documents run by the shipped agent."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.programs import AGENT, Program, environment, run
from harness.wait import until

# Records how it was called, an argument a line, and answers like the real one.
STUB = """#!/bin/sh
for word in "$@"; do echo "$word"; done >> {record}
echo "ran $1 in $(pwd)"
exit {code}
"""


def step(plugin: str, name: str = "step", **inputs: object) -> dict:
    """One step."""
    return {"action": plugin, "name": name, "inputs": inputs}


def shell(*commands: str, name: str = "step", **inputs: object) -> dict:
    """A step of shell."""
    return step("aws:runShellScript", name, runCommand=list(commands), **inputs)


def document(*steps: dict, schema: str = "2.2", parameters: dict | None = None) -> dict:
    """A document of these steps."""
    return {"schemaVersion": schema, "parameters": parameters or {}, "mainSteps": list(steps)}


@pytest.fixture
def outcome(home):
    """Runs a document with `stint run-document` and returns its steps' results."""

    def call(wanted: dict, *words: str, **more: str) -> list[dict]:
        file = home / "document.json"
        file.write_text(json.dumps(wanted))
        done = run([AGENT, "run-document", file, "--json", *words], home, **more)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)["steps"]

    return call


@pytest.fixture
def stub(home):
    """Puts a command on a PATH of the test's own; what it was called with is in the record."""
    folder = home / "bin"
    folder.mkdir()

    def put(name: str, code: int = 0) -> Path:
        record = home / f"{name}-was-called"
        (folder / name).write_text(STUB.format(record=record, code=code))
        (folder / name).chmod(0o755)
        return record

    put.path = str(folder)
    return put


def result(steps: list[dict]) -> tuple[str, int]:
    """Status and code of the only step."""
    assert len(steps) == 1
    return steps[0]["status"], steps[0]["code"]


def shell_only_path(home: Path) -> str:
    """A PATH on which there is a shell and nothing else."""
    folder = home / "shell-only"
    folder.mkdir(exist_ok=True)
    for name in ("sh", "cat"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(f"/bin/{name}")
    return str(folder)


# --- aws:runShellScript ---


def test_a_script_is_run_by_the_interpreter_that_it_names(outcome):
    python = "#!/usr/bin/env python3\nimport sys; print(sys.version_info.major)"
    assert outcome(document(shell(python)))[0]["stdout"] == "3\n"


def test_a_script_runs_in_the_folder_that_it_names(outcome, home):
    assert outcome(document(shell("pwd", workingDirectory=str(home))))[0]["stdout"] == f"{home}\n"
    steps = outcome(document(shell("pwd", workingDirectory="/not/there")))
    assert result(steps) == ("Failed", 1)
    assert steps[0]["stderr"] == "workingDirectory /not/there does not exist or is no folder"


def test_a_script_has_the_environment_that_is_documented_and_nothing_else(outcome):
    steps = outcome(
        document(shell("env", environment={"own": "value", "SSM_COMMAND_ID": "forged"})),
        TZ="UTC",
        AWS_SECRET_ACCESS_KEY="secret",
        http_proxy="http://user:password@proxy",
    )
    found = dict(line.split("=", 1) for line in steps[0]["stdout"].splitlines())
    documented = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"}
    aws = {f"AWS_SSM_{name}" for name in ("INSTANCE_ID", "REGION_NAME", "PLATFORM_NAME", "PLATFORM_VERSION")}
    # A shell sets the last four by itself.
    assert set(found) <= documented | aws | {"SSM_COMMAND_ID", "own", "PWD", "OLDPWD", "SHLVL", "_"}
    assert aws <= set(found)
    assert (found["own"], found["TZ"]) == ("value", "UTC")
    assert found["SSM_COMMAND_ID"] != "forged"


def test_scripts_run_from_a_file_system_that_allows_no_execution(home):
    scratch = home / "noexec"
    scratch.mkdir()
    file = home / "document.json"
    wanted = shell("#!/bin/sh", 'cp /bin/true "$TMPDIR/true"; "$TMPDIR/true" || echo "forbidden; $0"')
    file.write_text(json.dumps(document(wanted)))
    # In a mount namespace of its own: the machine sees nothing of it.
    mount = f"mount -t tmpfs -o noexec,size=1m none {scratch}"
    if run(["unshare", "-rm", "sh", "-c", mount], home).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system in a namespace of its own")
    words = f"{mount} && exec {AGENT} run-document {file} --json"
    done = run(["unshare", "-rm", "sh", "-c", words], home, TMPDIR=str(scratch))
    (found,) = json.loads(done.stdout)["steps"]
    assert (found["status"], found["code"]) == ("Success", 0)
    assert found["stdout"].startswith(f"forbidden; {scratch}/")


# --- aws:runPowerShellScript ---


def test_power_shell_is_run_where_it_is_and_missed_where_it_is_not(outcome, stub):
    wanted = document(step("aws:runPowerShellScript", runCommand=["Write-Output hi"]))
    if any(Path(f"/usr/bin/{name}").exists() for name in ("powershell", "pwsh")):
        assert outcome(wanted)[0]["stdout"] == "hi\n"
        return
    steps = outcome(wanted)
    assert result(steps) == ("Failed", 1)
    assert "there is no PowerShell on this device" in steps[0]["stderr"]
    record = stub("pwsh")
    steps = outcome(wanted, PATH=f"{stub.path}:{os.environ['PATH']}")
    assert result(steps) == ("Success", 0)
    flag, script = record.read_text().splitlines()
    assert flag == "-f" and script.endswith(".ps1") and not Path(script).exists()


# --- aws:runDockerAction, aws:configureDocker ---


def test_a_docker_action_is_one_call_without_a_shell(outcome, stub, home):
    record = stub("docker")
    run_image = step(
        "aws:runDockerAction",
        action="Run",
        image="registry.example/app:1",
        container="app",
        volume=["/a:/a", "/b:/b"],
        env="GREETING=$(id) `id`",
        cmd="sh -c x",
        workingDirectory=str(home),
    )
    steps = outcome(document(run_image), PATH=f"{stub.path}:{os.environ['PATH']}")
    assert result(steps) == ("Success", 0)
    assert steps[0]["stdout"] == f"ran run in {home}\n"
    assert record.read_text().splitlines() == [
        "run", "-d", "--volume", "/a:/a", "--volume", "/b:/b", "--name", "app",
        "--env", "GREETING=$(id) `id`", "registry.example/app:1", "sh -c x",
    ]  # fmt: skip


def test_podman_stands_in_for_docker_and_its_failure_is_the_steps(outcome, stub, home):
    record = stub("podman", code=125)
    path = f"{stub.path}:{shell_only_path(home)}"
    steps = outcome(document(step("aws:runDockerAction", action="Ps")), PATH=path)
    assert result(steps) == ("Failed", 125)
    assert steps[0]["stderr"] == "failed to run commands: exit status 125"
    assert record.read_text().splitlines() == ["ps", "--all"]


def test_without_a_container_engine_the_steps_fail_and_say_so(outcome, home):
    path = shell_only_path(home)
    steps = outcome(document(step("aws:runDockerAction", action="Ps")), PATH=path)
    assert result(steps) == ("Failed", 1)
    assert "there is no container engine on this device" in steps[0]["stderr"]
    steps = outcome(document(step("aws:configureDocker", action="Install")), PATH=path)
    assert result(steps) == ("Failed", 1)
    assert "stint installs none" in steps[0]["stderr"]
    assert result(outcome(document(step("aws:configureDocker", action="Uninstall")), PATH=path)) == (
        "Success",
        0,
    )


def test_an_action_that_does_not_fit_calls_nothing(outcome, stub):
    record = stub("docker")
    wanted = document(step("aws:runDockerAction", action="Rm", container="--force x"))
    steps = outcome(wanted, PATH=f"{stub.path}:{os.environ['PATH']}")
    assert result(steps) == ("Failed", 1)
    assert steps[0]["stderr"].startswith("container must be letters")
    assert not record.exists()


def test_the_machines_own_engine_runs_a_container(outcome, home):
    engine = next((e for e in ("docker", "podman") if _engine_works(e)), None)
    if engine is None:
        pytest.skip("no docker or podman here whose engine answers")
    images = outcome(document(step("aws:runDockerAction", action="Images")))
    assert result(images) == ("Success", 0)
    listed = outcome(document(step("aws:runDockerAction", action="Ps")))
    assert result(listed) == ("Success", 0)
    assert "CONTAINER ID" in listed[0]["stdout"]


def _engine_works(name: str) -> bool:
    try:
        done = subprocess.run([name, "info"], capture_output=True, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


# --- aws:runDocument ---


def run_local(path: Path, name: str = "outer", **inputs: object) -> dict:
    """A step that runs the document of that file."""
    return step("aws:runDocument", name, documentType="LocalPath", documentPath=str(path), **inputs)


def test_a_document_runs_another_with_parameters_checked_and_outputs_in_order(outcome, home):
    inner = home / "inner.json"
    declared = {"who": {"type": "String", "allowedValues": ["you", "me"], "maxChars": 3}}
    inner.write_text(
        json.dumps(
            document(
                shell("echo z: {{ who }}", name="z"),
                {
                    **shell("echo ran all the same", name="windows"),
                    "precondition": {"StringEquals": ["platformType", "Windows"]},
                },
                shell("echo a >&2; exit 4", name="a"),
                shell("echo m; pwd", name="m"),
                parameters=declared,
            )
        )
    )
    for given in ({"who": "you", "nothing": None}, '{"who": "you"}'):
        steps = outcome(document(run_local(inner, documentParameters=given)))
        assert result(steps) == ("Failed", 1)
        lines = steps[0]["stdout"].split()
        assert [line for line in lines if line in ("z:", "m", str(home))] == ["z:", "m", str(home)]
        assert "same" not in lines and "skipped" in lines
        assert steps[0]["stderr"] == "a\nfailed to run commands: exit status 4"
    steps = outcome(document(run_local(inner, documentParameters={"who": "they"})))
    assert result(steps) == ("Failed", 1)
    assert str(inner) in steps[0]["stderr"] and "parameter who" in steps[0]["stderr"]
    assert steps[0]["stdout"] == ""


def test_documents_run_one_another_three_deep(outcome, home):
    path = home / "self.json"
    path.write_text(json.dumps(document(shell("echo here", name="a"), run_local(path))))
    steps = outcome(document(run_local(path)))
    assert result(steps) == ("Failed", 1)
    assert steps[0]["stdout"].split() == ["here"] * 3
    assert "3 deep" in steps[0]["stderr"]


def test_a_yaml_file_is_refused_with_the_way_out(outcome, home):
    path = home / "inner.yaml"
    path.write_text("schemaVersion: '2.2'\nmainSteps: []\n")
    steps = outcome(document(run_local(path)))
    assert result(steps) == ("Failed", 1)
    assert "YAML is read by the hub alone" in steps[0]["stderr"]


def test_cancelling_reaches_the_inner_document(home):
    marker = home / "inner-runs"
    inner = home / "inner.json"
    inner.write_text(
        json.dumps(document(shell(f"touch {marker}; sleep 60", name="a"), shell("echo never", name="b")))
    )
    file = home / "document.json"
    file.write_text(json.dumps(document(run_local(inner), shell("echo never", name="after"))))
    program = Program([AGENT, "run-document", file, "--json"], home / "run-document.log", environment(home))
    until("the inner script runs", marker.exists)
    program.process.send_signal(signal.SIGINT)
    until("the document has ended", lambda: not program.alive(), 15)
    until("its outcome is printed", lambda: program.lines)
    steps = json.loads(program.lines[0])["steps"]
    assert [s["status"] for s in steps] == ["Cancelled", "Cancelled"]
    assert "Step b was cancelled before it was started" in steps[0]["stderr"]
    assert "never" not in steps[0]["stdout"]


def test_cancelling_starts_no_other_part_of_a_step(home):
    marker, later = home / "runs", home / "later"
    parts = [{"runCommand": [f"touch {marker}; sleep 60"]}, {"runCommand": [f"touch {later}"]}]
    file = home / "document.json"
    step = {"aws:runShellScript": {"properties": parts}}
    file.write_text(json.dumps({"schemaVersion": "1.2", "runtimeConfig": step}))
    program = Program([AGENT, "run-document", file, "--json"], home / "run-document.log", environment(home))
    until("the first part runs", marker.exists)
    program.process.send_signal(signal.SIGINT)
    until("the document has ended", lambda: not program.alive(), 15)
    until("its outcome is printed", lambda: program.lines)
    (step,) = json.loads(program.lines[0])["steps"]
    assert (step["status"], step["code"]) == ("Cancelled", 137)
    assert not later.exists()


# --- plugins without a place here ---

WINDOWS = {"StringEquals": ["platformType", "Windows"]}
# Plugin: what becomes of it in schema 2.2, in schema 2.0, and a part of what is said.
WITHOUT_A_PLACE = {
    "aws:applications": ("Skipped", "Failed", "does not exist on this platform"),
    "aws:psModule": ("Skipped", "Failed", "does not exist on this platform"),
    "aws:configureDaemon": ("Skipped", "Failed", "does not exist on this platform"),
    "aws:updateAgent": ("Skipped", "Failed", "does not exist on this platform"),
    "aws:domainJoin": ("Failed", "Failed", "makes no sense on this device"),
    "aws:cloudWatch": ("Failed", "Failed", "makes no sense on this device"),
    "aws:softwareInventory": ("Failed", "Failed", "is not part of this version of stint"),
    "aws:configurePackage": ("Failed", "Failed", "is not part of this version of stint"),
    "aws:refreshAssociation": ("Failed", "Failed", "is not part of this version of stint"),
    "aws:noSuchPlugin": ("Failed", "Failed", "is not known to this agent"),
}


@pytest.mark.parametrize("plugin", WITHOUT_A_PLACE)
def test_a_plugin_without_a_place_here_is_skipped_or_failed_with_the_reason(outcome, plugin):
    new, old, reason = WITHOUT_A_PLACE[plugin]
    for schema, status in (("2.2", new), ("2.0", old)):
        (found,) = outcome(document(step(plugin), schema=schema))
        assert found["status"] == status
        assert found["code"] == (0 if status == "Skipped" else 1)
        assert reason in found["stdout"] + found["stderr"]
    (found,) = outcome(document({**step(plugin), "precondition": WINDOWS}))
    assert (found["status"], found["code"]) == ("Skipped", 0)
    assert "precondition" in found["stdout"]
