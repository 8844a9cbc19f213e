"""One end of a data channel: it sends and receives a numbered stream over as many sockets as that takes."""

import threading
import time
from collections.abc import Callable

from . import payloads
from .codec import SYN_AND_FIN, Frame
from .faults import Faults
from .line import PATIENCE, Line
from .stream import Incoming, Outgoing

# Between two looks at what has to be sent again, seconds.
_TICK = 0.1

# Bytes of a payload, as both of the original's ends read them.
CHUNK = 1024


class End:
    """What both ends have in common. A thread reads; whoever uses the end sends."""

    # The types of the messages that it sends and receives.
    SENDS, RECEIVES = "", ""
    # How many messages may wait for their acknowledgements.
    WINDOW = 64
    # Seconds between two of them, at least.
    pace = 0.0
    # Whether nobody else sends in its name.
    knows_its_numbers = True

    def __init__(self, outgoing: Outgoing, incoming: Incoming) -> None:
        # Notified of everything that happens.
        self.news = threading.Condition(threading.RLock())
        self.line: Line | None = None
        self.out, self.inc = outgoing, incoming
        # What goes wrong with what is sent, with what comes, and with the acknowledgements that are sent.
        self.on_the_way_out, self.on_the_way_in, self.of_acks = Faults(), Faults(), Faults()
        # Every message that has come, outside the stream and inside, by its type: how many.
        self.came: dict[str, int] = {}
        # Numbers of the stream that came more than once.
        self.repeated = 0
        self.bytes_sent = self.bytes_received = 0
        # After so many bytes of payload, both ways, the socket is cut.
        self.cut_after: int | None = None
        # What went wrong in the thread: a test has to know.
        self.broken: BaseException | None = None
        self._finished = False
        self._ticked = 0.0

    # --- what the two ends do differently -------------------------------------------------------------

    def accepts(self, frame: Frame) -> bool:
        """Whether a message whose turn it is can be used now."""
        raise NotImplementedError

    def use(self, frame: Frame) -> None:
        """Uses it."""
        raise NotImplementedError

    def other(self, frame: Frame) -> None:
        """A message outside the stream."""

    def lost(self) -> None:
        """The socket has ended, and nobody wanted it."""

    # --- sending --------------------------------------------------------------------------------------

    def send(self, kind: int, payload: bytes, flags: int = 0) -> None:
        """Sends a message of the stream, as soon as there is room for one more."""
        with self.news:
            self.wait("there is room in the stream", lambda: self.out.waiting < self.WINDOW)
            frame = Frame(self.SENDS, payload, type=kind, sequence=self.out.next, flags=flags)
            raw = frame.bytes()
            self.out.push(raw, time.monotonic())
            for each in self.on_the_way_out.carry(raw):
                self._transmit(each)
            self._count(len(payload), 0)

    def stream(self, kind: int, data: bytes) -> None:
        """Sends so many bytes, in pieces."""
        for at in range(0, len(data), CHUNK):
            self.send(kind, data[at : at + CHUNK])
            if self.pace:
                time.sleep(self.pace)

    def _transmit(self, raw: bytes) -> None:
        # Without a socket, or with one that breaks, it is sent again later.
        if self.line:
            try:
                self.line.raw(raw)
            except Exception:
                self.line.cut()

    def _acknowledge(self, frame: Frame) -> None:
        words = payloads.acknowledge(frame.kind, frame.id, frame.sequence)
        for each in self.of_acks.carry(Frame("acknowledge", words, flags=SYN_AND_FIN).bytes()):
            self._transmit(each)

    def _count(self, sent: int, received: int) -> None:
        self.bytes_sent += sent
        self.bytes_received += received
        if self.cut_after is not None and self.bytes_sent + self.bytes_received >= self.cut_after:
            self.cut_after = None
            if self.line:
                self.line.cut()

    # --- receiving --------------------------------------------------------------------------------------

    def attach(self, line: Line) -> None:
        """Goes on over this socket."""
        with self.news:
            self.line = line
        threading.Thread(target=self._serve, args=[line], daemon=True).start()

    def _serve(self, line: Line) -> None:
        try:
            while not self._finished:
                try:
                    frame = line.receive(_TICK)
                except TimeoutError:
                    self._tick(idle=True)
                    continue
                if frame is None:
                    break
                numbered = frame.kind in ("acknowledge", self.RECEIVES)
                with self.news:
                    for each in self.on_the_way_in.carry(frame) if numbered else [frame]:
                        self._take(each)
                    self.news.notify_all()
                self._tick()
            with self.news:
                is_ours = self.line is line
                if is_ours:
                    self.line = None
                self.news.notify_all()
            if is_ours and not self._finished:
                self.lost()
        except BaseException as error:
            with self.news:
                self.broken = error
                self.news.notify_all()

    def _tick(self, idle: bool = False) -> None:
        """Looks, now and then, whether something has to be sent again. When it is quiet, what was held
        back goes on its way."""
        now = time.monotonic()
        with self.news:
            if idle:
                for each in self.on_the_way_in.rest():
                    self._take(each)
                for raw in [*self.on_the_way_out.rest(), *self.of_acks.rest()]:
                    self._transmit(raw)
                self.news.notify_all()
            if now < self._ticked + _TICK:
                return
            self._ticked = now
            due = self.out.due(now)
            for raw in self.on_the_way_out.carry(due[1]) if due else []:
                self._transmit(raw)

    def _take(self, frame: Frame) -> None:
        self.came[frame.kind] = self.came.get(frame.kind, 0) + 1
        if frame.kind == "acknowledge":
            words = frame.json
            assert words["AcknowledgedMessageType"] == self.SENDS, words
            assert words["IsSequentialMessage"] is True and len(words) == 4, words
            assert words["AcknowledgedMessageSequenceNumber"] < self.out.next or not self.knows_its_numbers
            self.out.acknowledged(words["AcknowledgedMessageSequenceNumber"], time.monotonic())
        elif frame.kind == self.RECEIVES:
            assert frame.payload, "a message of the stream is never empty"
            self._take_data(frame)
        else:
            self.other(frame)

    def _take_data(self, frame: Frame) -> None:
        if frame.sequence == self.inc.expected and not self.accepts(frame):
            return
        self.repeated += frame.sequence < self.inc.expected
        ready, acknowledge = self.inc.take(frame.sequence, frame)
        # Acknowledged before what follows from it.
        if acknowledge:
            self._acknowledge(frame)
        for each in ready:
            self.use(each)
            self._count(0, len(each.payload))

    # --- waiting ----------------------------------------------------------------------------------------

    def wait(self, what: str, probe: Callable[[], object], patience: float = PATIENCE) -> object:
        """Waits until `probe` is true, and returns what it returns."""
        with self.news:

            def probed() -> object:
                if self.broken:
                    raise AssertionError(f"the channel's thread has failed: {self.broken!r}") from self.broken
                return probe()

            found = self.news.wait_for(probed, patience)
            assert found, f"waited {patience} s until {what}; {self.state()}"
            return found

    def state(self) -> str:
        """Where it stands, for whoever waits in vain."""
        return (
            f"sent {self.bytes_sent} bytes to number {self.out.next}, {self.out.waiting} of them waiting; "
            f"received {self.bytes_received} bytes, expecting number {self.inc.expected}; "
            f"came {self.came}, attached: {self.line is not None}"
        )

    def finish(self) -> None:
        """Ends it without a word."""
        self._finished = True
        if self.line:
            self.line.cut()


def version_after(version: str, other: str) -> bool:
    """Whether a version of four numbers is newer than another, as the plugin compares them. Any other
    number of numbers is never newer."""
    one, two = version.split("."), other.split(".")
    if len(one) != 4 or not all(part.isdigit() for part in one):
        return False
    return [int(part) for part in one] > [int(part) for part in two]
