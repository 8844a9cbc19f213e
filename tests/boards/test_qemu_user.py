"""Every cross-built agent registers, comes Online and runs a command, on an emulated processor."""

import pytest

from boards.emulated import EmulatedAgent, Emulator
from harness.clients import boto3_client, wait_until_online

EMULATORS = [
    Emulator("armv7-unknown-linux-musleabihf", "arm", "cortex-a7"),
    Emulator("aarch64-unknown-linux-musl", "aarch64"),
    Emulator("mipsel-unknown-linux-musl", "mipsel", "24Kc"),
    Emulator("armv5te-unknown-linux-musleabi", "arm", "arm926"),
    Emulator("arm-unknown-linux-musleabi", "arm", "arm1176"),
    Emulator("mips-unknown-linux-musl", "mips", "24Kc"),
    Emulator("riscv64gc-unknown-linux-musl", "riscv64"),
    Emulator("x86_64-unknown-linux-musl", None),
    Emulator("i686-unknown-linux-musl", None),
]


@pytest.fixture(params=EMULATORS, ids=lambda emulator: emulator.target)
def emulator(request) -> Emulator:
    """Each processor that can be emulated."""
    reason = request.param.missing()
    if reason:
        pytest.fail(f"{request.param.target}: {reason}")
    return request.param


@pytest.fixture
def emulated(emulator, home):
    """An agent of it."""
    agent = EmulatedAgent(home, emulator)
    yield agent
    agent.clean_up()


def test_an_agent_of_another_processor_registers_and_runs_a_command(emulated, hub, aws, client, activate):
    node = emulated.register(hub, activate(), "--key-type", "ed25519")
    emulated.start()
    wait_until_online(client, node)

    command = aws(
        "send-command",
        "--document-name=AWS-RunShellScript",
        f"--instance-ids={node}",
        "--parameters=commands=['echo from the other side']",
    )["Command"]["CommandId"]
    aws("wait command-executed", f"--command-id={command}", f"--instance-id={node}")

    seen = client.get_command_invocation(CommandId=command, InstanceId=node)
    assert (seen["Status"], seen["StandardOutputContent"]) == ("Success", "from the other side\n")
    assert emulated.stop() == 0


def test_a_release_agent_says_what_is_wrong_with_a_certificate_and_the_remedy(emulated, new_hub):
    """Release builds have no Debug texts (docs/decisions/0021), and rustls would speak in those."""
    hub = new_hub("--tls-self-signed")
    activation = boto3_client(hub, verify=str(hub.ca())).create_activation(IamRole="service-role/R")
    done = emulated.try_to_register(hub, activation)
    assert done.returncode != 0
    assert "an authority that isn't trusted here" in done.stderr
    assert "--ca-file" in done.stderr
