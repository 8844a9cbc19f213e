"""A server of Amazon S3 and CloudWatch Logs of the test's own: moto's.

It is no part of stint and speaks the services' own protocols. From the moment when it is handed over it
checks the signature of every request, with botocore's signer, against the one access key that it knows.
"""

import re
import signal
import urllib.request
from functools import partial
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .programs import AWS, Program, environment
from .wait import until

_MOTO = AWS.parent / "moto_server"
_LISTENING = re.compile(r"Running on (http://\S+)")
_ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


class Cloud:
    """`moto_server` on loopback, with one user who may do everything."""

    def __init__(self, home: Path, region: str = "eu-central-1"):
        self.home = home
        self.region = region
        self.endpoint = ""
        self.access_key = self.secret = "none"
        self.program: Program | None = None

    def start(self) -> "Cloud":
        """Starts it, makes the user, and has signatures checked from then on."""
        log = self.home / "cloud.log"
        command = [_MOTO, "--host", "127.0.0.1", "--port", "0"]
        self.program = Program(command, log, environment(self.home))
        match = until("moto_server listens", lambda: _LISTENING.search(self.program.logs()))
        self.endpoint = match[1]
        iam = self._client("iam")
        iam.create_user(UserName="device")
        iam.put_user_policy(UserName="device", PolicyName="all", PolicyDocument=_ALLOW_ALL)
        key = iam.create_access_key(UserName="device")["AccessKey"]
        self.access_key, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        # How many more requests need no signature: none. As a form it would be read as nothing.
        switch = urllib.request.Request(
            f"{self.endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(switch, timeout=20).close()
        self._refuses_a_wrong_secret()
        return self

    def _refuses_a_wrong_secret(self) -> None:
        stranger = self._client("s3", secret="wrong")
        try:
            stranger.list_buckets()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "SignatureDoesNotMatch", error
            return
        raise AssertionError("the server should check signatures")

    def _client(self, service: str, secret: str | None = None):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=secret or self.secret,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    @property
    def s3(self):
        """A boto3 client of S3."""
        return self._client("s3")

    @property
    def logs(self):
        """A boto3 client of CloudWatch Logs."""
        return self._client("logs")

    def make_bucket(self, name: str) -> str:
        """Makes an empty bucket."""
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.region})
        return name

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Everything in a bucket, by key."""
        get = partial(self.s3.get_object, Bucket=bucket)
        found = self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {item["Key"]: get(Key=item["Key"])["Body"].read() for item in found}

    def credentials_file(self) -> Path:
        """The user's access key, in the form of AWS's programs."""
        path = self.home / "cloud-credentials"
        path.write_text(
            f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {self.secret}\n"
        )
        path.chmod(0o600)
        return path

    def pause(self) -> None:
        """Lets it answer nobody until it goes on."""
        self.program.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self.program.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it."""
        if self.program and self.program.alive():
            self.program.kill()
