"""Walks over the places where things can go wrong: each fault strikes one agent in a trial of its own."""

import itertools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.agent import Agent
from harness.faults import Fault, Faults, Place
from harness.wait import until

_LOG_LINES_SHOWN = 25


class Trial:
    """One agent and at most one fault. What is tried is the `run` of a class below this one."""

    # How long each wait may take, seconds.
    patience = 120

    def __init__(self, agent: Agent, fault: Fault | None, *, planned: bool = True):
        """`planned`: the agent knows of its fault from its first step on."""
        self.agent = agent
        self.fault = fault
        self.faults = Faults(agent.home / "faults", fault if planned else None)
        # Those that a run without a fault came by.
        self.places: list[Place] = []
        self.deaths = 0
        agent.environment = self.faults.environment()

    def run(self) -> None:
        """Does what is tried, and holds the agent to its promises."""
        raise NotImplementedError

    def clean_up(self) -> None:
        """Ends all that it has started."""
        self.agent.clean_up()

    def wait(self, what: str, probe: Callable[[], object]) -> object:
        """Waits, and starts the agent again when it has died, as init would."""

        def probe_and_restart() -> object:
            if not self.agent.program.alive():
                self.deaths += 1
                self.agent.start()
            return probe()

        return until(what, probe_and_restart, self.patience)


class Walk:
    """Trials of one kind, several at once: they wait more than they compute."""

    def __init__(
        self,
        home: Path,
        register: Callable[[Agent], object],
        make: Callable[..., Trial],
        at_once: int,
        kind: type[Agent] = Agent,
    ):
        """`register` gives an agent its server; `make(agent, fault)` makes a trial; `kind` of agents."""
        self._home, self._register, self._make, self._at_once = home, register, make, at_once
        self._kind = kind
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._trials: list[Trial] = []

    def run(self, fault: Fault | None = None) -> Trial:
        """One trial; says the end of the agent's log if it goes wrong."""
        with self._lock:
            # The last two names of each path have to be the same in every trial.
            folder = self._home / str(next(self._numbers)) / "home"
            folder.mkdir(parents=True)
        agent = self._kind(folder)
        self._register(agent)
        trial = self._make(agent, fault)
        self._trials.append(trial)
        try:
            trial.run()
        except (AssertionError, TimeoutError, OSError) as error:
            log = "\n".join(agent.logs().splitlines()[-_LOG_LINES_SHOWN:])
            raise AssertionError(f"{fault}: {error}\n{log}") from error
        finally:
            trial.clean_up()
        return trial

    def suffer(
        self, faults: Iterable[Fault], tries: int = 1, rare: Callable[[Place], bool] = lambda _: False
    ):
        """Every fault in a trial of its own. A place that is reached only if one process is not quicker
        than another gets several tries, and one that is `rare` need not be reached at all."""

        def attempt(fault: Fault) -> str:
            try:
                struck = any(self.run(fault).faults.struck() for _ in range(tries))
            except AssertionError as error:
                return str(error)
            missed = not struck and not rare(fault.place)
            return f"{fault}: the place was not reached in {tries} runs" if missed else ""

        faults = list(faults)
        with ThreadPoolExecutor(self._at_once) as pool:
            wrong = [found for found in pool.map(attempt, faults) if found]
        assert not wrong, f"{len(wrong)} of {len(faults)} faults:\n" + "\n".join(wrong)

    def clean_up(self) -> None:
        """Ends what trials that went wrong have left."""
        for trial in self._trials:
            trial.clean_up()
