"""Versions in the slots of an agent's updates, as if they had been fetched."""

import hashlib
import json
import shutil
from pathlib import Path

from .agent import Agent


def put(agent: Agent, slot: str, program: Path, version: str) -> dict:
    """Puts a program into a slot; what the state of updates says of it."""
    path = agent.state / "update" / "slots" / slot / "stint"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, path)
    path.chmod(0o755)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"slot": slot, "version": version, "sha256": digest, "size": len(content), "factory": "0"}


def trial(slot: dict, tries: int = 0, minutes: int = 1, order: str = "nobody") -> dict:
    """A trial of what is in a slot."""
    return {"slot": slot, "tries": tries, "minutes": minutes, "from": "0.1.0", "order": order, "alone": False}


def know(agent: Agent, **state: object) -> Path:
    """Writes the state of updates; its file."""
    path = agent.state / "update" / "state.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name("new")
    new.write_text(json.dumps({"serial": 0, **state}))
    new.rename(path)
    return path
