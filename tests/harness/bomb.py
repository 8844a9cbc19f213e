"""A fork bomb that can't get out of hand: run as a script of its own, by the Python of the tests.

It takes a limit on processes first, and ends at once if that isn't in force. Even without any limit its
processes would be numbered: FAMILIES of 1 + CHILDREN each, all ended after SECONDS. (`ulimit -u` in a shell
won't do: some shells know no -u, say so, and go on.)
"""

import os
import resource
import sys
import time

PROCESSES = 60
FAMILIES = 150
CHILDREN = 2
SECONDS = 30
# A user whom no machine has: root has no limit, and nobody else must be hit.
NOBODYS_ID = 54_321


def mine() -> int:
    """The tasks of this user, by which the kernel counts."""
    count = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue  # It ended while we looked.
    return count


def limit() -> None:
    """From here on there can be PROCESSES more, and no way back."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODYS_ID, NOBODYS_ID, NOBODYS_ID)
        os.setresuid(NOBODYS_ID, NOBODYS_ID, NOBODYS_ID)
    most = mine() + PROCESSES
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    if 0 in (os.getuid(), os.geteuid()) or resource.getrlimit(resource.RLIMIT_NPROC) != (most, most):
        sys.exit("there is no limit, so there is no bomb")


def family(count: int, below: int, until: float) -> int:
    """Starts `count` processes, each with `below` of its own; how many the kernel refused."""
    refused = 0
    for _ in range(count):
        try:
            if os.fork() == 0:
                family(below, 0, until)
                while time.monotonic() < until:
                    time.sleep(1)
                os._exit(0)
        except OSError:
            refused += 1
    return refused


def main() -> None:
    """The bomb."""
    limit()
    until = time.monotonic() + SECONDS
    refused = family(FAMILIES, CHILDREN, until)
    print(f"refused {refused}", flush=True)
    while time.monotonic() < until:
        refused += family(1, CHILDREN, until)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
