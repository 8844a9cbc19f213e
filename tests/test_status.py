"""What `stint status` says of the device itself."""

import json


def test_hardware_that_has_changed_since_the_registration_is_shown_and_no_failure(hub, activate, new_agent):
    agent = new_agent()
    agent.register(hub, activate())
    assert agent.status()[1]["hardwareChange"] is None
    file = agent.state / "registration.json"
    registered = json.loads(file.read_text())
    parts = registered["hardware"].split(" ")
    registered["hardware"] = " ".join(f"{part.split('=')[0]}=0" for part in parts)
    file.write_text(json.dumps(registered))
    seen = agent.status()[1]
    assert seen["hardwareChange"].startswith("this looks like another device than the registered one: ")
    assert (seen["registered"], seen["lastError"]) == (True, None)
    text = agent.command("status", "--state-dir", agent.state).stdout
    assert "hardware     this looks like another device" in text and f"registered   {agent.node}" in text
