"""The faults. Each does its harm, waits, and undoes it; what is gone stays gone."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from random import Random
from subprocess import CalledProcessError

from .world import DEADLINE, LINK, World, inside, sh


def _hit(pid: int | None, number: int) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _stop(pid: int | None, seconds: float) -> None:
    _hit(pid, signal.SIGSTOP)
    time.sleep(seconds)
    _hit(pid, signal.SIGCONT)


def _worker(world: World) -> int | None:
    workers = world.device.workers()
    return workers[0].pid if workers else None


def guardian_killed(world: World, chance: Random) -> None:
    """SIGKILL of the guardian; init starts another."""
    _hit(world.guardian(), signal.SIGKILL)
    world.device.program.process.wait(20)
    time.sleep(chance.uniform(0, 2))
    world.init()


def guardian_stopped(world: World, chance: Random) -> None:
    """SIGSTOP of the guardian for a while."""
    _stop(world.guardian(), chance.uniform(1, 8))


def daemon_killed(world: World, chance: Random) -> None:
    """SIGKILL of the daemon."""
    _hit(world.daemon(), signal.SIGKILL)


def daemon_stopped(world: World, chance: Random) -> None:
    """SIGSTOP of the daemon for good: the guardian has to see to it."""
    _hit(world.daemon(), signal.SIGSTOP)
    time.sleep(DEADLINE + 1)


def daemon_paused(world: World, chance: Random) -> None:
    """SIGSTOP of the daemon for a moment."""
    _stop(world.daemon(), chance.uniform(0.5, 3))


def both_killed(world: World, chance: Random) -> None:
    """SIGKILL of the daemon while it is stopped, and of the guardian."""
    daemon = world.daemon()
    _hit(daemon, signal.SIGSTOP)
    _hit(world.guardian(), signal.SIGKILL)
    world.device.program.process.wait(20)
    time.sleep(chance.uniform(0, 1))
    if chance.random() < 0.5:
        _hit(daemon, signal.SIGKILL)
    world.init()


def worker_killed(world: World, chance: Random) -> None:
    """SIGKILL of a worker, if one runs."""
    _hit(_worker(world), signal.SIGKILL)


def worker_stopped(world: World, chance: Random) -> None:
    """SIGSTOP of a worker for a while."""
    _stop(_worker(world), chance.uniform(0.5, 4))


def network_lost(world: World, chance: Random) -> None:
    """The link is cut: the device hears it from its kernel, as of a cable that is pulled."""
    sh("ip", "link", "set", LINK, "down")
    time.sleep(chance.uniform(1, 15))
    sh("ip", "link", "set", LINK, "up")


@contextlib.contextmanager
def _queued(*discipline: object) -> Iterator[None]:
    """What leaves either end of the link goes through this discipline of tc(8); the link itself stays up."""
    with contextlib.ExitStack() as undone:
        for device, where in [(LINK, lambda *words: words), ("eth0", inside)]:
            sh(*where("tc", "qdisc", "replace", "dev", device, "root", *discipline))
            undone.callback(sh, *where("tc", "qdisc", "del", "dev", device, "root"))
        yield


def network_silent(world: World, chance: Random) -> None:
    """Nothing passes any more, and nobody is told: somewhere behind the first router."""
    with _queued("blackhole"):
        time.sleep(chance.uniform(1, 15))


def network_chokes(world: World, chance: Random) -> None:
    """The link drops what comes too fast: most of it."""
    with _queued("tbf", "rate", "16kbit", "burst", "1600", "limit", "1600"):
        time.sleep(chance.uniform(3, 10))


def network_loses(world: World, chance: Random) -> None:
    """The link drops a third of all packets by chance; without netem in the kernel, all of them by turns."""
    seconds = chance.uniform(3, 10)
    with contextlib.ExitStack() as lossy:
        try:
            lossy.enter_context(_queued("netem", "loss", "33%"))
        except CalledProcessError:
            _drop_by_turns(seconds, chance)
        else:
            time.sleep(seconds)


def _drop_by_turns(seconds: float, chance: Random) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with _queued("blackhole"):
            time.sleep(chance.uniform(0.01, 0.3))
        time.sleep(chance.uniform(0.02, 0.6))


def half_open(world: World, chance: Random) -> None:
    """The hub restarts while nothing passes: the device's connections are to nobody, and it isn't told."""
    with _queued("blackhole"):
        world.hub.kill()
        time.sleep(chance.uniform(0, 2))
        world.hub.start()


def moved(world: World, chance: Random) -> None:
    """The device gets another address."""
    world.moved()


def disk_full(world: World, chance: Random) -> None:
    """No byte is left in the state folder's file system."""
    fill = world.device.state / "fill"
    with fill.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    _maybe_kill(world, chance)
    time.sleep(chance.uniform(1, 8))
    fill.unlink()


def inodes_gone(world: World, chance: Random) -> None:
    """No file can be made in the state folder's file system."""
    folder = world.device.state / "fill.d"
    folder.mkdir(exist_ok=True)
    number = 0
    try:
        while True:
            (folder / str(number)).touch()
            number += 1
    except OSError:
        pass
    _maybe_kill(world, chance)
    time.sleep(chance.uniform(1, 8))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def _maybe_kill(world: World, chance: Random) -> None:
    if chance.random() < 0.5:
        _hit(world.daemon(), signal.SIGKILL)


def hub_restarted(world: World, chance: Random) -> None:
    """SIGKILL of the hub, which is back after a while."""
    world.hub.kill()
    time.sleep(chance.uniform(0, 8))
    world.hub.start()


def hub_restored(world: World, chance: Random) -> None:
    """The hub's data is that of some seconds ago."""
    copy = world.back_up()
    time.sleep(chance.uniform(1, 6))
    world.hub.kill()
    world.restore(copy)
    world.hub.start()


def _clock(world: World, offset: str) -> None:
    world.device.program.stop(75)
    world.device.environment["STINT_TEST_CLOCK_OFFSET"] = offset
    world.device.start()


def clock_1970(world: World, chance: Random) -> None:
    """The device boots in January 1970, and stays there until another clock is drawn."""
    _clock(world, str(-int(time.time()) + 3600))


def clock_2037(world: World, chance: Random) -> None:
    """The device boots in 2037."""
    _clock(world, str(2_114_380_800 - int(time.time())))


def clock_right(world: World, chance: Random) -> None:
    """The device boots with the right time."""
    _clock(world, "0")


ALL: list[Callable[[World, Random], None]] = [
    guardian_killed,
    guardian_stopped,
    daemon_killed,
    daemon_stopped,
    daemon_paused,
    both_killed,
    worker_killed,
    worker_stopped,
    network_lost,
    network_silent,
    network_chokes,
    network_loses,
    half_open,
    moved,
    disk_full,
    inodes_gone,
    hub_restarted,
    hub_restored,
    clock_1970,
    clock_2037,
    clock_right,
]
