"""A session over a slow link: a flood takes its time, and neither memory nor bytes."""

import pytest

from harness import memory, processes
from harness.mgs.ways import ThroughHub
from harness.netns import Device
from harness.wait import until

KIB = 1024

# What a session may have under way: twice its window, a pipe's content, and a link's queue.
UNDER_WAY = 2 * 128 * KIB + 64 * KIB + 64 * KIB

# Numbered lines as fast as anything takes them. Then a word on a line of its own, when it is interrupted.
FLOOD = "stty -echo -echoctl; trap 'echo; echo over; exit 0' INT; echo begun; seq 1 999999999"


@pytest.fixture
def way(new_hub, new_agent, client_of):
    """An agent beyond a slow link."""
    device = Device()
    try:
        hub, agent = new_hub("--insecure-http"), new_agent()
        device.served(hub, agent)
        client = client_of(hub)
        connected = lambda: client.get_connection_status(Target=agent.node)["Status"] == "connected"  # noqa: E731
        until("the node has a channel", connected)
        device.slow("512kbit")
        yield ThroughHub(client, agent)
        agent.clean_up()
    finally:
        device.close()


def test_a_flood_over_a_slow_link_is_whole_takes_no_memory_and_is_interrupted(way):
    session = way.interactive(FLOOD)
    session.until("begun\r\n")
    holder = next(each.pid for each in processes.mentioning(session.session) if "session" in each.argv)

    def after(count: int) -> int:
        """Bytes that are the session's own when so many have come."""
        session.wait(f"{count} bytes are here", lambda: len(session.output) > count, 60)
        return memory.use([holder]).anonymous

    # The window is full long before.
    first, last = after(64 * KIB), after(256 * KIB)
    assert last - first < 64 * KIB, (first, last)
    came = len(session.output)
    session.type_in(b"\x03")
    printed = session.until("\r\nover\r\n", 60)
    assert len(printed) - came < UNDER_WAY
    # Nothing was lost, so hardly anything comes twice, though all of it waits for seconds.
    assert session.repeated < session.came["output_stream_data"] // 20
    # The terminal has thrown away what it still had: so it does when it is interrupted.
    numbers = printed.removesuffix(b"\r\nover\r\n")
    assert b"".join(b"%d\r\n" % n for n in range(1, len(numbers) // 3)).startswith(numbers)
    assert session.ended() == ""
    until("its process is gone", lambda: not memory.use([holder]).pss)
