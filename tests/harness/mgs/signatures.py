"""SigV4, checked by hand: what an agent signs for the message gateway, and what it doesn't."""

import hashlib
import hmac
from urllib.parse import quote

_SERVICE = "ssmmessages"


def check(
    method: str,
    target: str,
    fields: dict[str, str],
    body: bytes,
    keys: dict[str, tuple[str, str]],
    region: str,
) -> None:
    """Checks a request's signature; `fields` have names in small letters, `keys` are secret and session token
    by access key.

    :raises AssertionError: it isn't right, and in what.
    """
    algorithm, _, rest = fields["authorization"].partition(" ")
    assert algorithm == "AWS4-HMAC-SHA256", fields["authorization"]
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key, day, where, service, end = parts["Credential"].split("/")
    assert (where, service, end) == (region, _SERVICE, "aws4_request"), parts
    secret, token = keys[key]
    assert fields["x-amz-security-token"] == token, "another session's token"
    names = parts["SignedHeaders"].split(";")
    content = ["content-type"] if method == "POST" else []
    assert names == [*content, "host", "x-amz-date", "x-amz-security-token"], names
    path, _, query = target.partition("?")
    canonical = "\n".join(
        [
            method,
            # Encoded once more, as for every service but S3.
            quote(path, safe="/-_.~"),
            "&".join(sorted(query.split("&"))),
            *(f"{name}:{fields[name].strip()}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    stamp = fields["x-amz-date"]
    scope = f"{day}/{region}/{_SERVICE}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{algorithm}\n{stamp}\n{scope}\n{digest}"
    signing = f"AWS4{secret}".encode()
    for word in (day, region, _SERVICE, "aws4_request"):
        signing = hmac.digest(signing, word.encode(), "sha256")
    signature = hmac.digest(signing, text.encode(), "sha256").hex()
    assert parts["Signature"] == signature, f"the signature is of something else than\n{canonical}"
