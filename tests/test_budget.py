"""A byte budget for metered links: what is counted, what waits when the day runs short, what never does."""

import json

from harness.clients import finished, shell, wait_until_online
from harness.programs import AGENT, run
from harness.wait import until

SAVING = ["audit", "inventory", "update"]
TIGHT = [*SAVING, "uploads", "downloads"]
SPENT = [*TIGHT, "progress", "health", "poll"]

# Of stint's debug builds: the clock is so many seconds off; `,set` says that somebody set it so.
CLOCK = "STINT_TEST_CLOCK_OFFSET"


def metered(hub, activate, new_agent, limit: int, **more):
    """An agent that is registered, with a budget."""
    agent = new_agent().configure(network={"bytesPerDay": limit}, **more)
    agent.register(hub, activate())
    return agent


def budget(agent, **environment: str) -> dict:
    """What `stint status` says of it."""
    done = agent.command("status", "--json", "--state-dir", agent.state, **environment)
    return json.loads(done.stdout)["network"]


def seconds_between_reports(agent) -> int:
    """As the agent has told its server last."""
    return sum(link["pingSeconds"] for link in agent.status()[1]["links"])


def download(agent, web, size: int, name: str = "file") -> dict:
    """Downloads so many bytes with `stint run-document` on the agent's device; the step's outcome."""
    web.pages[f"/{name}"] = lambda request: request.answer(200, bytes(size))
    info = json.dumps({"url": f"{web.url}/{name}", "allowInsecureDownload": True})
    inputs = {"sourceType": "HTTP", "sourceInfo": info, "destinationPath": str(agent.home / name)}
    step = {"action": "aws:downloadContent", "name": "get", "inputs": inputs}
    file = agent.home / "document.json"
    file.write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": [step]}))
    words = ["--json", "--config", agent.config, "--state-dir", agent.state]
    return json.loads(run([AGENT, "run-document", file, *words], agent.home).stdout)["steps"][0]


def test_what_passed_is_known_after_a_kill_and_a_stop(hub, client, activate, new_agent):
    agent = metered(hub, activate, new_agent, 50_000_000)
    registered = budget(agent)
    assert registered["bytesPerDay"] == 50_000_000 and registered["usedBytes"] > 1000
    agent.start()
    wait_until_online(client, agent.node)
    finished(client, shell(client, [agent.node], "head -c 20000 /dev/zero | tr '\\0' x"), agent.node)
    before = budget(agent)
    assert before["usedBytes"] > registered["usedBytes"] + 20_000
    assert (before["level"], before["heldBack"]) == ("free", [])
    agent.kill()
    assert budget(agent) == before
    # A device without a clock boots in 1970; that begins no day.
    agent.environment = {CLOCK: "-1500000000"}
    agent.start()
    until("it counts on", lambda: budget(agent)["usedBytes"] > before["usedBytes"])
    agent.stop()
    # The rest of the piece is given back.
    assert before["usedBytes"] < budget(agent)["usedBytes"] < before["usedBytes"] + 100_000
    assert "budget       " in agent.command("status", "--state-dir", agent.state).stdout


def test_a_device_without_a_budget_counts_nothing(agent):
    assert budget(agent) is None
    assert not (agent.state / "traffic").exists()


def test_downloads_end_when_three_quarters_are_used_and_commands_go_on(hub, client, activate, new_agent, web):
    agent = metered(hub, activate, new_agent, 1_000_000)
    agent.start()
    wait_until_online(client, agent.node)
    assert download(agent, web, 600_000)["status"] == "Success"
    assert budget(agent)["heldBack"] == SAVING
    # One that can't be had whole isn't begun.
    seen = budget(agent)["usedBytes"]
    refused = download(agent, web, 600_000, "large")
    assert refused["status"] == "Failed" and "network.bytesPerDay" in refused["stderr"]
    assert budget(agent)["usedBytes"] < seen + 100_000
    # One that would leave too little for commands is broken off.
    refused = download(agent, web, 250_000, "medium")
    assert refused["status"] == "Failed" and "kept for commands" in refused["stderr"]
    assert budget(agent)["heldBack"] == TIGHT
    command = shell(client, [agent.node], "echo still here")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "still here\n"
    # The daemon says so when it next has something to hold back, which may be in minutes; at its start it is
    # at once.
    agent.stop()
    agent.start()
    held = "until tomorrow wait: audit, inventory, update, uploads"
    until("it is in the log", lambda: held in agent.logs())


def test_output_is_not_uploaded_when_the_day_runs_short(hub, client, activate, new_agent, web, cloud):
    bucket = cloud.make_bucket("output")
    agent = metered(
        hub, activate, new_agent, 1_000_000,
        endpoints={"s3": cloud.endpoint}, s3CredentialsFile=str(cloud.credentials_file()),
    )  # fmt: skip
    agent.start()
    wait_until_online(client, agent.node)
    download(agent, web, 740_000)
    download(agent, web, 100_000, "more")
    assert budget(agent)["level"] == "tight"
    command = shell(client, [agent.node], "echo well", OutputS3BucketName=bucket)
    result = finished(client, command, agent.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "well\n")
    assert "the output was not uploaded" in result["StandardErrorContent"]
    assert "network.bytesPerDay" in result["StandardErrorContent"]
    assert cloud.objects(bucket) == {}


def test_with_nothing_left_signs_of_life_are_rare_and_a_command_is_still_done(
    hub, client, activate, new_agent
):
    agent = metered(hub, activate, new_agent, 100_000)
    agent.start()
    wait_until_online(client, agent.node)
    for _ in range(8):
        if budget(agent)["level"] == "spent":
            break
        command = shell(client, [agent.node], "head -c 23000 /dev/zero | tr '\\0' x")
        assert finished(client, command, agent.node)["Status"] == "Success"
    assert budget(agent)["heldBack"] == SPENT
    # The start asks for work at once; after that it is minutes.
    agent.stop()
    command = shell(client, [agent.node], "echo last; exit 4")
    agent.start()
    result = finished(client, command, agent.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Failed", "last\n")
    until("its reports are rarer", lambda: seconds_between_reports(agent) == 1200)
    assert agent.logs().count("until tomorrow wait") <= 4
    agent.stop()
    # Tomorrow.
    assert budget(agent, **{CLOCK: "86400,set"}) == {
        "bytesPerDay": 100_000, "usedBytes": 0, "level": "free", "heldBack": [],
    }  # fmt: skip
    agent.environment = {CLOCK: "86400,set"}
    agent.start()
    until("its reports are as frequent as ever", lambda: seconds_between_reports(agent) == 300)
