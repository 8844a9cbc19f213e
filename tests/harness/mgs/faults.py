"""What may go wrong on the way of a message, by chance but the same each time."""

import random
from dataclasses import dataclass


@dataclass
class Faults:
    """Shares of 1 of the messages that are lost, come twice, or are overtaken by the next one."""

    lost: float = 0
    doubled: float = 0
    overtaken: float = 0
    seed: int = 7

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._held: list = []
        # How often each has happened, for tests to see that they tested something.
        self.happened = {"lost": 0, "doubled": 0, "overtaken": 0}

    def carry(self, message: object) -> list:
        """What comes out at the other end when this goes in: none, one or more messages."""
        held, self._held = self._held, []
        if self._happens("lost"):
            return held
        if self._happens("doubled"):
            return [message, *held, message]
        if not held and self._happens("overtaken"):
            self._held = [message]
            return []
        return [message, *held]

    def rest(self) -> list:
        """What was held back for a message that doesn't come."""
        held, self._held = self._held, []
        return held

    def _happens(self, what: str) -> bool:
        happens = self._chance.random() < getattr(self, what)
        self.happened[what] += happens
        return happens
