"""Files to and from a device that has no open port: by scp and sftp where it has an sshd, and by session
documents where it has none. The client is the real AWS CLI, with a plugin on its PATH."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import dropbear
from harness.mgs import launched
from harness.namespaces import may_mount
from harness.programs import AWS
from harness.wait import until

_OPERATIONS = Path(__file__).resolve().parents[1] / "docs" / "OPERATIONS.md"
_HAS_SFTP = any(os.path.exists(f"{folder}/sftp-server") for folder in ["/usr/lib", "/usr/lib/openssh"])


@pytest.fixture
def desk(hub, aws, client, agent, home) -> dict[str, str]:
    """An operator's environment: the CLI, its plugin, the key, the hub; a node that is connected."""
    until(
        "the node has a channel",
        lambda: client.get_connection_status(Target=agent.node)["Status"] == "connected",
    )
    path = f"{launched.install(home / 'bin')}:{AWS.parent}:{aws.env['PATH']}"
    return {**aws.env, "PATH": path, "AWS_ENDPOINT_URL_SSM": hub.endpoint}


def sum_of(path: Path) -> str:
    """Its SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made(path: Path, size: int) -> Path:
    """A file of so many bytes that are not like each other."""
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def typed(script: str, desk: dict[str, str], *words: object, patience: float = 120):
    """Runs what an operator types."""
    # The plugin's standard input stays open, as a terminal's does.
    argv = ["sh", "-c", script, "sh", *map(str, words)]
    ours, theirs = os.pipe()
    try:
        return subprocess.run(argv, env=desk, stdin=ours, capture_output=True, text=True, timeout=patience)
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_cli_runs_a_command_through_a_plugin_on_its_path(desk, agent):
    script = """aws ssm start-session --target "$1" --document-name AWS-StartNonInteractiveCommand \\
        --parameters command="echo from-the-device" """
    done = typed(script, desk, agent.node)
    assert done.returncode == 0 and "\nfrom-the-device\n" in done.stdout, done


# --- where there is an sshd ---------------------------------------------------------------------------


@pytest.fixture
def sshd(home):
    """An sshd on the device."""
    if not (may_mount() and dropbear.is_there()):
        pytest.skip("needs root, dropbear (dropbear-bin) and OpenSSH's client (openssh-client)")
    server = dropbear.Dropbear(home)
    yield server
    server.stop()


@pytest.fixture
def options(sshd, home) -> str:
    """Options of OpenSSH's client; the ProxyCommand is the one of docs/OPERATIONS.md."""
    proxy = "aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"
    assert proxy in _OPERATIONS.read_text()
    config = home / "ssh-config"
    config.write_text(
        f"Host mi-*\n  User root\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n  IdentitiesOnly yes\n"
        f"  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {home}/known-hosts\n  LogLevel ERROR\n"
        f"  ProxyCommand {proxy}\n"
    )
    return f"-F {config}"


def test_scp_copies_a_file_there_and_back(desk, agent, options, home):
    here, there, back = made(home / "here", 1_000_000), home / "root" / "there", home / "back"
    done = typed(f"scp -O {options} {here} {agent.node}:there", desk)
    assert done.returncode == 0, done
    assert sum_of(there) == sum_of(here)
    done = typed(f"scp -O {options} {agent.node}:there {back}", desk)
    assert done.returncode == 0, done
    assert sum_of(back) == sum_of(here)


def test_a_file_goes_through_ssh_alone(desk, agent, options, home):
    here, there = made(home / "here", 100_000), home / "root" / "there"
    done = typed(f"ssh {options} {agent.node} 'cat > there; exit 3' < {here}", desk)
    assert done.returncode == 3, done
    assert sum_of(there) == sum_of(here)


@pytest.mark.skipif(not _HAS_SFTP, reason="needs sftp-server (openssh-sftp-server)")
def test_sftp_copies_a_file_there_and_back(desk, agent, options, home):
    here, there, back = made(home / "here", 1_000_000), home / "root" / "there", home / "back"
    (home / "batch").write_text(f"put {here} there\nget there {back}\n")
    done = typed(f"sftp {options} -b {home}/batch {agent.node}", desk)
    assert done.returncode == 0, done
    assert sum_of(there) == sum_of(back) == sum_of(here)


# --- where there is none ------------------------------------------------------------------------------


def as_shown(name: str) -> str:
    """A function of the shell out of docs/OPERATIONS.md."""
    return re.search(rf"^{name}\(\) {{.*?^}}$", _OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)[0]


def test_a_file_is_put_and_got_as_the_documentation_shows(desk, agent, home):
    here, there, back = made(home / "here", 70_001), home / "there", home / "back"
    there.write_text("before")
    there.chmod(0o640)
    done = typed(as_shown("put_file") + '\nput_file "$@"', desk, agent.node, here, there)
    assert done.returncode == 0, done
    assert sum_of(there) == sum_of(here)
    assert there.stat().st_mode & 0o777 == 0o640, "it keeps its mode"
    assert not Path(f"{there}.part").exists()
    done = typed(as_shown("get_file") + '\nget_file "$@"', desk, agent.node, there, back)
    assert done.returncode == 0, done
    assert sum_of(back) == sum_of(here)
    assert typed(as_shown("get_file") + '\nget_file "$@"', desk, agent.node, home / "none", back).returncode


def test_a_file_takes_its_place_only_when_it_is_whole(client, agent, desk, home):
    there = home / "there"
    there.write_text("before")

    def put(offset: int, data: str, wanted: str) -> str:
        script = 'aws ssm start-session --target "$1" --document-name Stint-PutFile --parameters "$2"'
        words = f"path={there},offset={offset},data={data},sha256={wanted}"
        return typed(script, desk, agent.node, words).stdout

    wanted = hashlib.sha256(b"abcdef").hexdigest()
    assert "failed: " in put(3, "ZGVm", wanted), "there is no part to go on with"
    assert f"stored: {there} has 3 bytes" in put(0, "YWJj", wanted)
    assert "has 3 bytes" in put(2, "ZGVm", wanted)
    assert there.read_text() == "before"
    assert f"stored: {there} is whole" in put(3, "ZGVm", wanted)
    assert there.read_text() == "abcdef"
    strange = {"path": ["/tmp/x'y"], "offset": ["0"], "data": ["YWJj"], "sha256": [wanted]}
    with pytest.raises(client.exceptions.ClientError, match="path"):
        client.start_session(Target=agent.node, DocumentName="Stint-PutFile", Parameters=strange)


def test_the_documents_need_nothing_that_busybox_has_not(home):
    """As devices have it: BusyBox's shell and programs, and no others."""
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("needs busybox (busybox-static)")
    for name, arguments, seen in [
        ("Stint-PutFile", [home / "f", "0", "YWJj", hashlib.sha256(b"abc").hexdigest()], "is whole"),
        ("Stint-GetFile", [home / "f"], "\nYWJj\n-----END FILE-----\n"),
    ]:
        document = json.loads((_OPERATIONS.parents[1] / "hub" / "documents" / f"{name}.json").read_text())
        line = document["properties"]["linux"]["commands"]
        script = re.match(r"sh -c '([^']*)' sh ", line)[1]
        bin_folder = home / "busybox"
        if not bin_folder.exists():
            bin_folder.mkdir()
            subprocess.run([busybox, "--install", "-s", bin_folder], check=True, timeout=20)
        done = subprocess.run(
            [bin_folder / "sh", "-c", script, "sh", *map(str, arguments)],
            env={"PATH": str(bin_folder)}, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert done.returncode == 0 and seen in done.stdout, done
