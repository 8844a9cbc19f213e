"""What a BootAgent request that nobody signed can't do to the hub, and can't put into a job."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from harness.bootclient import BootNode, exchange
from harness.programs import HUB, run


def test_links_have_the_operators_name_and_not_the_requests(new_hub, client_of, tmp_path):
    hub = new_hub("--public-url", "https://packages.example/hub/")
    client = client_of(hub)
    file = tmp_path / "sensor.tar.gz"
    file.write_bytes(b"content")
    put = [HUB, "package", "put", file, "--name", "sensor", "--version", "1.0", "--data", hub.data]
    assert run(put, hub.home).returncode == 0
    node = BootNode(hub).register(client.create_activation(IamRole="EdgeRole", RegistrationLimit=1))
    client.send_command(
        DocumentName="Stint-ConfigureAgent",
        InstanceIds=[node.node],
        Parameters={"Action": ["install"], "Package": ["sensor"]},
    )
    (job,) = node.report()
    assert job["url"].startswith("https://packages.example/hub/attachments/")


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/agent/register", 16 * 1024), ("/agent/status", 512 * 1024), ("/agent/job/result", 512 * 1024)],
)
def test_a_large_body_is_refused_before_it_is_read(hub, path, limit):
    reply = exchange(hub, path, " " * (limit + 1))
    assert reply.status == 413 and f"larger than {limit} bytes" in reply.text
    # In honest sizes it is the missing signature that counts, not what the body is.
    reply = exchange(hub, path, "[" * 1024)
    assert reply.status == 403 and "--accept-unsigned-bootagents" in reply.text


def test_an_old_client_without_a_host_hears_why(new_hub):
    hub = new_hub("--accept-unsigned-bootagents")
    place = urlsplit(hub.endpoint)
    body = json.dumps({"hostname": "old"})
    with socket.create_connection((place.hostname, place.port), timeout=20) as line:
        line.sendall(f"POST /agent/status HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    assert answer.split(" ")[1] == "400" and "Host" in answer and "--public-url" in answer
