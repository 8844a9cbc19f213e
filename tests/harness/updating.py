"""An agent that knows a release key, and an init that starts it again when it ends."""

import json
import threading

from .agent import Agent
from .programs import AGENT, run
from .releases import Releases

ONE_MINUTE = 1


class Updating(Agent):
    """An agent with a release key, and with an init that starts it again when it ends."""

    def __init__(self, home, name):
        super().__init__(home, name)
        self.respawns = 0
        self._kept = None

    def configure(self, releases: Releases, **update) -> None:
        """Writes its configuration."""
        self.config = self.home / f"{self.name}.json"
        settings = {"keys": [releases.public], "deadlineMinutes": ONE_MINUTE, **update}
        self.config.write_text(json.dumps({"update": settings, "healthIntervalMinutes": 1}))

    def update(self, *words: object, **more: str):
        """`stint update …`."""
        options = ["--state-dir", self.state, "--config", self.config]
        return run([AGENT, "update", *words, *options], self.home, patience=200, **more)

    def keep_up(self) -> None:
        """Starts it again whenever it ends, as init does."""
        self._kept = threading.Event()

        def respawn() -> None:
            while not self._kept.wait(0.1):
                if not self.program.alive():
                    self.respawns += 1
                    self.start()

        self._keeper = threading.Thread(target=respawn, daemon=True)
        self._keeper.start()

    def clean_up(self) -> None:
        """Ends init first."""
        if self._kept:
            self._kept.set()
            self._keeper.join(5)
        super().clean_up()

    def untouched(self) -> bool:
        """Nothing is on trial, and no slot holds anything."""
        slots = list(self.state.glob("update/slots/*/stint"))
        return not slots and "trial" not in self.status()[1]["update"]

    def runs(self) -> str:
        """The version that has shown that it is good."""
        return self.status()[1]["update"]["version"]
