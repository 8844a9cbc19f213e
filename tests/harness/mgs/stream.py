"""One direction of the numbered stream: its messages in order, and again until they are acknowledged.
Pure: the time comes from outside, in seconds."""

from collections import OrderedDict
from typing import Any

# Seconds. What the round trip is taken for at first, and what the time-out is at first and at most.
_FIRST_ROUND_TRIP, _FIRST_TIMEOUT, MAX_TIMEOUT = 0.1, 0.2, 1.0
_LEAST_VARIATION = 0.01


class Outgoing:
    """Messages that wait for their acknowledgements. Only the first is ever sent again."""

    def __init__(self, again_at_each_tick: bool = False) -> None:
        """`again_at_each_tick`: as session-manager-plugin, which forgets that it has sent one again."""
        self.next = 0
        self.timeout = _FIRST_TIMEOUT
        self._round_trip, self._variation = _FIRST_ROUND_TRIP, 0.0
        self._waiting: OrderedDict[int, list] = OrderedDict()
        self._forgets = again_at_each_tick

    @property
    def waiting(self) -> int:
        """How many aren't acknowledged."""
        return len(self._waiting)

    def push(self, message: Any, now: float) -> int:
        """Keeps a message that is sent now; its number."""
        number = self.next
        self._waiting[number] = [message, now]
        self.next += 1
        return number

    def acknowledged(self, number: int, now: float) -> None:
        """One of them has come."""
        kept = self._waiting.pop(number, None)
        if kept is None:
            return
        delta = now - kept[1]
        self._variation = 0.75 * self._variation + 0.25 * abs(self._round_trip - delta)
        self._round_trip = 0.875 * self._round_trip + 0.125 * delta
        timeout = self._round_trip + max(_LEAST_VARIATION, 4 * self._variation)
        self.timeout = min(timeout, MAX_TIMEOUT)

    def due(self, now: float) -> tuple[int, Any] | None:
        """The message that has to be sent again now, and its number."""
        if not self._waiting:
            return None
        number, kept = next(iter(self._waiting.items()))
        message, sent = kept
        if now - sent <= self.timeout:
            return None
        if not self._forgets:
            kept[1] = now
        return number, message


class Incoming:
    """Puts messages into their order."""

    def __init__(self, answers_old: bool) -> None:
        """`answers_old`: what came before is acknowledged again, as agents do and the plugin doesn't."""
        self.expected = 0
        self._early: dict[int, Any] = {}
        self.answers_old = answers_old

    def take(self, number: int, message: Any) -> tuple[list[Any], bool]:
        """A message has come: those whose turn it is now, and whether to acknowledge this one."""
        if number < self.expected:
            return [], self.answers_old
        self._early[number] = message
        ready = []
        while self.expected in self._early:
            ready.append(self._early.pop(self.expected))
            self.expected += 1
        return ready, True
