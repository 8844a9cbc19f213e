"""A thousand nodes that poll at the same time, simulated in one process."""

import asyncio
import json
import os
import resource
import time
import uuid

from harness import signing
from harness.hub import Hub
from harness.keys import Ed25519Key

from . import footprint
from .table import Row

NODES = int(os.environ.get("BENCH_NODES", "1000"))
# Two rounds of long polls: everything that grows with use has grown.
SETTLE_SECONDS = 35
# Registering all at once would measure this process, not the hub.
AT_ONCE = 20


class Node:
    """One node: a key, credentials and one kept connection."""

    def __init__(self, hub: Hub, activation: dict):
        self.host, self.region, self.activation = hub.listen, hub.region, activation
        self.key = Ed25519Key()
        self.polls = 0

    async def call(self, target: str, body: dict, sign) -> dict:
        """One request and its answer."""
        raw = json.dumps(body).encode()
        lines = [f"{name}: {value}" for name, value in sign(target, raw)]
        chunked = any(line.startswith("Transfer-Encoding") for line in lines)
        content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw) if chunked else raw
        self.writer.write(("\r\n".join(["POST / HTTP/1.1", *lines, "", ""])).encode() + content)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        answer = await self.reader.readexactly(length)
        if " 200 " not in head.split("\r\n")[0]:
            raise RuntimeError(f"{target}: {answer.decode()}")
        return json.loads(answer)

    async def come_online(self) -> None:
        """Registers, gets credentials, and pings."""
        self.reader, self.writer = await asyncio.open_connection(*self.host.rsplit(":", 1))
        registration = {
            "ActivationId": self.activation["ActivationId"],
            "ActivationCode": self.activation["ActivationCode"],
            "Fingerprint": str(uuid.uuid4()),
            "PublicKey": self.key.public,
            "PublicKeyType": self.key.type,
        }

        def anonymous(target, raw):
            return signing.anonymous(self.host, target, raw)

        def by_key(target, raw):
            return signing.with_key(self.host, target, raw, self.node, self.region, self.key, signing.now())

        answer = await self.call("AmazonSSM.RegisterManagedInstance", registration, anonymous)
        self.node = answer["InstanceId"]
        fingerprint = {"Fingerprint": registration["Fingerprint"]}
        self.token = await self.call("AmazonSSM.RequestManagedInstanceRoleToken", fingerprint, by_key)
        ping = {"AgentName": "amazon-ssm-agent", "AgentVersion": "3.3.0.0", "InstanceId": self.node}
        await self.call("AmazonSSM.UpdateInstanceInformation", ping, self.by_token("ssm"))

    def by_token(self, service: str):
        """Signs with the temporary credentials."""
        return lambda target, raw: signing.with_token(
            self.host, target, raw, self.token, self.region, service
        )

    async def poll_for_ever(self) -> None:
        """Long polls, one after the other."""
        while True:
            body = {
                "Destination": self.node,
                "MessagesRequestId": str(uuid.uuid4()),
                "VisibilityTimeoutInSeconds": 10,
            }
            target = "EC2WindowsMessageDeliveryService.GetMessages"
            await self.call(target, body, self.by_token("ec2messages"))
            self.polls += 1


async def _polling(hub: Hub, activation: dict) -> tuple[footprint.Memory, float]:
    gate = asyncio.Semaphore(AT_ONCE)
    nodes = [Node(hub, activation) for _ in range(NODES)]

    async def join(node: Node) -> None:
        async with gate:
            await node.come_online()

    begun = time.monotonic()
    await asyncio.gather(*(join(node) for node in nodes))
    joined = NODES / (time.monotonic() - begun)
    polls = [asyncio.create_task(node.poll_for_ever()) for node in nodes]
    await asyncio.sleep(SETTLE_SECONDS)
    broken = [task for task in polls if task.done()]
    if broken:
        raise RuntimeError(f"{len(broken)} nodes lost their hub: {broken[0].exception()}")
    if min(node.polls for node in nodes) == 0:
        raise RuntimeError("a node got no answer to its poll")
    measured = footprint.memory([hub.program.pid])
    for task in polls:
        task.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
    for node in nodes:
        node.writer.close()
    return measured, joined


def allow_many_connections() -> None:
    """Each node is a connection here and one in the hub, which inherits the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def hub(hub: Hub, client) -> list[Row]:
    """The hub's memory, empty and with all nodes polling."""
    empty = footprint.memory([hub.program.pid])
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=min(NODES, 1000))
    full, joined = asyncio.run(_polling(hub, activation))
    return [
        Row.megabytes("hub: PSS, no nodes", empty.pss),
        Row.megabytes(f"hub: PSS, {NODES:,} nodes polling", full.pss),
        Row.bytes("hub: memory per polling node", (full.pss - empty.pss) / NODES),
        Row.rate("hub: nodes joining per second", joined),
    ]
