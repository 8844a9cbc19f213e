"""The faults. Each does its harm, waits, and undoes it; what is gone stays gone."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from random import Random

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
    """The link is cut, without a word to either side."""
    sh("ip", "link", "set", LINK, "down")
    time.sleep(chance.uniform(1, 15))
    sh("ip", "link", "set", LINK, "up")


def network_loses(world: World, chance: Random) -> None:
    """The link drops what comes too fast: most of it."""
    for where in [lambda *w: w, inside]:
        device = LINK if where is not inside else "eth0"
        slow = ["tc", "qdisc", "add", "dev", device, "root", "tbf"]
        sh(*where(*slow, "rate", "16kbit", "burst", "1600", "limit", "1600"))
    time.sleep(chance.uniform(3, 10))
    sh("tc", "qdisc", "del", "dev", LINK, "root")
    sh(*inside("tc", "qdisc", "del", "dev", "eth0", "root"))


def half_open(world: World, chance: Random) -> None:
    """The hub restarts while the link is cut: the device's connections are to nobody."""
    sh("ip", "link", "set", LINK, "down")
    world.hub.kill()
    time.sleep(chance.uniform(0, 2))
    world.hub.start()
    sh("ip", "link", "set", LINK, "up")


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
