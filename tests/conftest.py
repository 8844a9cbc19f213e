"""What each test gets: a hub of its own, clients that check every answer, and agents that are cleaned up."""

import os
from pathlib import Path

import pytest

from harness.agent import Agent
from harness.bootserver import BootServer
from harness.children import Children
from harness.clients import Aws, boto3_client, wait_until_online
from harness.hub import Hub
from harness.mgs.server import Server as Gateway
from harness.original import OriginalAgent
from harness.s3 import Cloud
from harness.web import Web

# Enough of a log to see why, not so much that the failure drowns in it.
_LOG_LINES_SHOWN = 40


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The test's own folder; also $HOME of what it starts."""
    return tmp_path


@pytest.fixture
def new_hub(home):
    """Starts hubs with options, and ends them with the test."""
    hubs = []

    def start(*options: object, **more: str) -> Hub:
        hub = Hub(home, list(options), **more)
        hubs.append(hub)
        return hub.start()

    yield start
    for hub in hubs:
        if hub.program and hub.program.alive():
            hub.kill()


@pytest.fixture
def hub(new_hub) -> Hub:
    """A hub on loopback with plain HTTP, as `make demo` starts it."""
    return new_hub()


@pytest.fixture
def aws(hub, home) -> Aws:
    """The real AWS CLI."""
    return Aws(hub, home)


@pytest.fixture
def client(hub):
    """A boto3 client."""
    return boto3_client(hub)


@pytest.fixture
def client_of():
    """Makes boto3 clients of hubs that a test starts itself."""
    return boto3_client


@pytest.fixture
def activate(client):
    """Makes activations."""

    def make(limit: int = 1, **more) -> dict:
        return client.create_activation(IamRole="EdgeRole", RegistrationLimit=limit, **more)

    return make


@pytest.fixture
def new_agent(home):
    """Makes agents, and ends them and everything they started with the test."""
    agents = []

    def make(name: str = "agent") -> Agent:
        agents.append(Agent(home, name))
        return agents[-1]

    yield make
    for agent in agents:
        agent.clean_up()


@pytest.fixture
def children(hub, activate, new_agent):
    """Children of an agent that is registered and not started yet."""
    made = []

    def make(**supervise) -> Children:
        agent = new_agent()
        agent.register(hub, activate())
        made.append(Children(agent, **supervise))
        return made[-1]

    yield make
    for children in made:
        children.clean_up()


@pytest.fixture
def web():
    """A web server of the test's own, for packages and downloads."""
    web = Web()
    yield web
    web.close()


@pytest.fixture
def server():
    """A BootAgent server written from the founding page alone."""
    server = BootServer()
    yield server
    server.close()


@pytest.fixture
def gateway():
    """A server of another make that has nothing but one node and its channels."""
    gateway = Gateway()
    yield gateway
    gateway.close()


@pytest.fixture
def cloud(home):
    """S3 and CloudWatch Logs, by a server that checks signatures."""
    cloud = Cloud(home)
    yield cloud.start()
    cloud.stop()


@pytest.fixture
def online(hub, client, activate, new_agent):
    """Makes agents that are registered, running and Online."""

    def make(name: str = "agent", **activation) -> Agent:
        agent = new_agent(name)
        agent.register(hub, activate(**activation))
        agent.start()
        wait_until_online(client, agent.node)
        return agent

    return make


@pytest.fixture
def agent(online) -> Agent:
    """One agent that is Online."""
    return online()


@pytest.fixture
def node(hub, activate) -> OriginalAgent:
    """A simulated amazon-ssm-agent that is online."""
    return OriginalAgent(hub.endpoint, hub.region).come_online(activate())


# Half a minute and more each.
SLOW = (
    "test_chaos",
    "test_child_install_faults",
    "test_control_channel.py",
    "test_full_disk",
    "test_identity_clone",
    "test_identity_rotation",
    "test_inventory_children",
    "test_links",
    "test_update.py",
    "test_update_faults",
)


def pytest_collection_modifyitems(items: list) -> None:
    """Spreads slow tests over the first half of what each worker begins with: an equal part of the list."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if any(name in item.nodeid for name in SLOW)]
    quick = [item for item in items if item not in slow]
    items.clear()
    for worker in range(workers):
        part = quick[len(quick) * worker // workers : len(quick) * (worker + 1) // workers]
        mine = slow[worker::workers]
        for turn, item in reversed(list(enumerate(mine))):
            part.insert(turn * len(part) // (2 * len(mine)), item)
        items += part


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of what it started."""
    report = yield
    if report.failed and "home" in item.fixturenames:
        folder = item.funcargs.get("home")
        for log in sorted(folder.glob("*.log")) if folder else []:
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
            report.sections.append((log.name, "\n".join(lines)))
    return report
