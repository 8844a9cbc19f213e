"""The operator's two clients: the real AWS CLI, and boto3. Every answer is checked on its way."""

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import boto3
from botocore import xform_name
from botocore.config import Config

from . import shapes
from .hub import Hub
from .programs import AWS, environment
from .wait import until

_RAW_STATUS = re.compile(rb'"POST / HTTP/1\.1" (\d+) ')
_RAW_BODY = re.compile(rb"Response body:\n(b(?:'|\").*)")
_ERROR = re.compile(r"An error occurred \((\w+)\)")

# boto3 runs in this process: what the user has set up for the real AWS must not reach it.
for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

MODEL = shapes.service()
_BY_COMMAND = {xform_name(name, "-"): name for name in MODEL.operation_names}


class AwsError(Exception):
    """The AWS CLI ended with an error: its code, where it is a service's, and its words."""

    def __init__(self, stderr: str):
        super().__init__(stderr)
        match = _ERROR.search(stderr)
        self.code = match[1] if match else None


class Aws:
    """`aws ssm …` as an operator has it, with nothing but --endpoint-url and a key."""

    def __init__(self, hub: Hub, home: Path, region: str | None = None, ca: Path | None = None):
        self.hub = hub
        self.region = region or hub.region
        config = home / "aws-config"
        config.write_text("[default]\ncli_pager =\n")
        self.env = environment(
            home,
            AWS_CONFIG_FILE=str(config),
            AWS_SHARED_CREDENTIALS_FILE=str(hub.data / "operator-credentials"),
            AWS_EC2_METADATA_DISABLED="true",
            AWS_DEFAULT_REGION=self.region,
            AWS_DEFAULT_OUTPUT="json",
            AWS_MAX_ATTEMPTS="1",
        )
        if ca:
            self.env["AWS_CA_BUNDLE"] = str(ca)

    def __call__(self, command: str, *words: object, patience: float = 120) -> dict:
        """`aws ssm <command> <words>`; what it printed as JSON, `{}` if nothing.

        --debug makes the CLI log each raw answer, which is how they can be checked here.
        """
        argv = [AWS, "ssm", *command.split(), *words, "--endpoint-url", self.hub.endpoint, "--debug"]
        done = subprocess.run(
            [str(word) for word in argv], env=self.env, capture_output=True, timeout=patience
        )
        self._check(command, done.stderr)
        if done.returncode != 0:
            raise AwsError(_without_debug(done.stderr.decode(errors="replace")))
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def _check(self, command: str, debug: bytes) -> None:
        name = "GetCommandInvocation" if command.startswith("wait ") else _BY_COMMAND[command]
        operation = MODEL.operation_model(name)
        for status, body in zip(_RAW_STATUS.findall(debug), _RAW_BODY.findall(debug), strict=False):
            raw = ast.literal_eval(body.decode())
            found = shapes.answer_faults(operation, int(status), json.loads(raw or b"{}"))
            assert not found, found

    def fails(self, command: str, *words: object) -> AwsError:
        """Runs a command that should fail and returns how it did."""
        try:
            answer = self(command, *words)
        except AwsError as error:
            return error
        raise AssertionError(f"aws ssm {command} should have failed; it answered {answer}")


def _without_debug(stderr: str) -> str:
    """The CLI's own words, without the log lines and tracebacks that --debug puts around them."""
    noise = re.compile(r"\s|\d{4}-\d\d-\d\d |Traceback|b['\"]|(aws|boto)\w*\.|During handling|$")
    return "\n".join(line for line in stderr.splitlines()[-15:] if not noise.match(line))


def boto3_client(hub: Hub, region: str | None = None, key: tuple[str, str] | None = None, **more):
    """A boto3 client of the hub that raises when an answer does not fit the model."""
    access_key, secret = key or hub.credentials()
    session = boto3.session.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret, region_name=region or hub.region
    )
    limits = {"connect_timeout": 10, "read_timeout": 30, "max_pool_connections": 32}
    config = Config(retries={"total_max_attempts": 1}, **limits)
    client = session.client("ssm", endpoint_url=hub.endpoint, config=config, **more)
    client.meta.events.register("after-call.ssm", _check_answer)
    return client


def _check_answer(http_response, model, **_):
    body = json.loads(http_response.content or b"{}")
    found = shapes.answer_faults(model, http_response.status_code, body)
    assert not found, found


def error_code(call, **arguments) -> str:
    """The error code that a boto3 call is refused with."""
    from botocore.exceptions import ClientError

    try:
        answer = call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError(f"should have been refused; answered {answer}")


TERMINAL = {"Success", "Failed", "TimedOut", "Cancelled"}


def finished(client, command_id: str, node: str, patience: float = 60) -> dict:
    """Waits until an invocation has ended and returns it."""

    def probe() -> dict | None:
        try:
            answer = client.get_command_invocation(CommandId=command_id, InstanceId=node)
        except client.exceptions.InvocationDoesNotExist:
            return None
        return answer if answer["Status"] in TERMINAL else None

    return until(f"command {command_id} on {node} has ended", probe, patience)


def shell(client, nodes: list[str], *commands: str, **arguments) -> str:
    """Sends AWS-RunShellScript to nodes; the command id."""
    parameters = {"commands": list(commands), **arguments.pop("Parameters", {})}
    answer = client.send_command(
        DocumentName="AWS-RunShellScript", InstanceIds=nodes, Parameters=parameters, **arguments
    )
    return answer["Command"]["CommandId"]


def wait_until_online(client, node: str) -> None:
    """Waits until the hub lists the node as Online."""

    def probe() -> bool:
        filters = [{"Key": "InstanceIds", "Values": [node]}]
        found = client.describe_instance_information(Filters=filters)["InstanceInformationList"]
        return [n["PingStatus"] for n in found] == ["Online"]

    until(f"{node} is Online", probe)
