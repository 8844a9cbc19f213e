"""How nodes sign, written independently of the code under test: SigV4 by botocore, key signatures by hand."""

import hashlib
from datetime import UTC, datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

JSON = "application/x-amz-json-1.1"
USER_AGENT = "aws-sdk-go/1.51.20 (go1.27.3; linux; amd64) amazon-ssm-agent/3.3.0.0"

# The headers that a key-signed request signs.
KEY_SIGNED = "content-type;host;x-amz-date;x-amz-target"

Headers = list[tuple[str, str]]


def now() -> datetime:
    """The time that signatures carry."""
    return datetime.now(UTC)


def anonymous(host: str, target: str, body: bytes) -> Headers:
    """The headers of RegisterManagedInstance: no signature at all."""
    return [
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("Content-Length", str(len(body))),
        ("Content-Type", JSON),
        ("X-Amz-Target", target),
        ("Accept-Encoding", "gzip"),
    ]


def string_to_sign(host: str, target: str, body: bytes, region: str, stamp: str) -> bytes:
    """What a node's key signs: SigV4 in form, down to the name of the algorithm."""
    canonical = (
        f"POST\n/\n\ncontent-type:{JSON}\nhost:{host}\nx-amz-date:{stamp}\nx-amz-target:{target}\n"
        f"\n{KEY_SIGNED}\n{hashlib.sha256(body).hexdigest()}"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f"AWS4-HMAC-SHA256\n{stamp}\n{scope(region, stamp)}\n{digest}".encode()


def scope(region: str, stamp: str) -> str:
    """The credential scope of a key-signed request."""
    return f"{stamp[:8]}/{region}/ssm/aws4_request"


def with_key(host: str, target: str, body: bytes, node: str, region: str, key, moment: datetime) -> Headers:
    """The headers of a request signed with the node's own key.

    The body is chunked and its hash is sent unsigned, both accidents of the original that servers
    must take.
    """
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    signature = key.sign(string_to_sign(host, target, body, region, stamp))
    return [
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("Transfer-Encoding", "chunked"),
        (
            "Authorization",
            f"AWS4-HMAC-SHA256 Credential={node}/{scope(region, stamp)}, "
            f"SignedHeaders={KEY_SIGNED}, Signature={signature}",
        ),
        ("Content-Type", JSON),
        ("X-Amz-Content-Sha256", hashlib.sha256(body).hexdigest()),
        ("X-Amz-Date", stamp),
        ("X-Amz-Target", target),
        ("Accept-Encoding", "gzip"),
    ]


def with_token(
    host: str, target: str, body: bytes, token: dict, region: str, service: str, scheme: str = "http"
) -> Headers:
    """The headers of a request signed with temporary credentials, or with an operator's key, which
    has no session token."""
    request = AWSRequest(
        method="POST",
        url=f"{scheme}://{host}/",
        data=body,
        headers={"Content-Length": str(len(body)), "Content-Type": JSON, "X-Amz-Target": target},
    )
    session = token.get("SessionToken")
    credentials = Credentials(token["AccessKeyId"], token["SecretAccessKey"], session)
    SigV4Auth(credentials, service, region).add_auth(request)
    signed = request.headers
    return [
        ("Host", host),
        ("User-Agent", USER_AGENT),
        ("Content-Length", str(len(body))),
        ("Authorization", signed["Authorization"]),
        ("Content-Type", JSON),
        ("X-Amz-Date", signed["X-Amz-Date"]),
        *([("X-Amz-Security-Token", session)] if session else []),
        ("X-Amz-Target", target),
        ("Accept-Encoding", "gzip"),
    ]
