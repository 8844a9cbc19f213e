"""An EC2 instance's surroundings: its metadata service, and a Systems Manager that knows its role's keys."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROLE = "EdgeRole"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


class _Server:
    """A server on loopback whose requests are answered by `answer(handler, body)`."""

    def __init__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status, text = server.answer(self, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = do_POST = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str]:
        """The status and the text."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class Metadata(_Server):
    """The instance metadata service; version 1 is switched off, as it should be."""

    def __init__(self, instance: str = "i-0123456789abcdef0", region: str = "eu-central-1"):
        self.instance, self.region = instance, region
        self.lifetime = timedelta(hours=6)
        self.asked = 0
        self.keys: dict[str, dict] = {}
        super().__init__()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str]:
        """What the service would say."""
        path = request.path.removeprefix("/latest/")
        if path == "api/token":
            good = request.command == "PUT" and request.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            return (200, "session") if good else (400, "")
        if request.headers["X-aws-ec2-metadata-token"] != "session":
            return 401, ""
        pages = {
            "dynamic/instance-identity/document": self._document,
            "meta-data/iam/security-credentials/": lambda: ROLE,
            f"meta-data/iam/security-credentials/{ROLE}": self._credentials,
        }
        return (200, pages[path]()) if path in pages else (404, "")

    def _document(self) -> str:
        zone = f"{self.region}a"
        return json.dumps(
            {"instanceId": self.instance, "region": self.region, "availabilityZone": zone, "version": "2017"}
        )

    def _credentials(self) -> str:
        self.asked += 1
        key = {"AccessKeyId": f"ASIATEST{self.asked:08}", "SecretAccessKey": f"secret{self.asked}"}
        key |= {"Token": f"token{self.asked}=="}
        self.keys[key["AccessKeyId"]] = key
        expiration = (datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "Expiration": expiration, **key})


class Service(_Server):
    """`ssm` and `ec2messages` as far as a node needs them to be online. Signatures are checked with
    botocore's own signer."""

    def __init__(self, metadata: Metadata):
        self.metadata = metadata
        self.calls: list[tuple[str, dict, str]] = []
        self.wrong: list[str] = []
        super().__init__()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str]:
        """Empty, if the signature is the role's."""
        if request.path.startswith("/v1/"):
            # It has no channels; the node polls then.
            return 404, "{}"
        fault = self._fault(request, body)
        if fault:
            self.wrong.append(fault)
            return 400, json.dumps({"__type": "InvalidSignatureException", "message": fault})
        if request.path.startswith("/v1/control-channel/"):
            return 403, "<AccessDeniedException><Message>only polls</Message></AccessDeniedException>"
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        given = json.loads(body)
        key = _AUTHORIZATION.fullmatch(request.headers["Authorization"])[1]
        self.calls.append((operation, given, key))
        if operation != "GetMessages":
            return 200, "{}"
        request_id = given["MessagesRequestId"]
        node = given["Destination"]
        return 200, json.dumps({"Destination": node, "Messages": [], "MessagesRequestId": request_id})

    def _fault(self, request: BaseHTTPRequestHandler, body: bytes) -> str:
        match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if not match:
            return f"no signature: {request.headers.get('Authorization')}"
        key, region, service, signed, signature = match.groups()
        known = self.metadata.keys.get(key)
        if not known or request.headers["X-Amz-Security-Token"] != known["Token"]:
            return f"{key} is no key of the role"
        names = signed.split(";")
        needed = {"host", "x-amz-date", "x-amz-security-token"}
        if not needed | ({"x-amz-target"} if request.path == "/" else {"content-type"}) <= set(names):
            return f"not enough is signed: {signed}"
        headers = {name: request.headers[name] for name in names}
        again = AWSRequest(method="POST", url=f"{self.url}{request.path}", data=body, headers=headers)
        again.context["timestamp"] = request.headers["X-Amz-Date"]
        credentials = Credentials(key, known["SecretAccessKey"], known["Token"])
        signer = SigV4Auth(credentials, service, region)
        text = signer.string_to_sign(again, signer.canonical_request(again))
        wanted = signer.signature(text, again)
        return "" if wanted == signature and region == self.metadata.region else "the signature is wrong"
