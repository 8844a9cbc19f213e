"""A board's serial console, and whoever reads at the cable's far end."""

import contextlib
import os
import re
import tty


class Console:
    """A pseudo-terminal in the part of a serial port."""

    def __init__(self):
        self._far, self._near = os.openpty()
        tty.setraw(self._near)
        os.set_blocking(self._far, False)
        self.device = os.ttyname(self._near)
        self._text = ""

    def read(self) -> str:
        """All that has arrived so far."""
        with contextlib.suppress(BlockingIOError):
            while found := os.read(self._far, 65536):
                self._text += found.decode()
        return self._text

    def lines(self, event: str) -> list[dict[str, str]]:
        """The whole lines about an event, each by its keys."""
        found = re.findall(rf"^stint: {event} (.*)\r\n", self.read(), re.MULTILINE)
        pairs = [re.findall(r'(\w+)=(?:"([^"]*)"|(\S*))', line) for line in found]
        return [{key: quoted or plain for key, quoted, plain in words} for words in pairs]

    def close(self) -> None:
        """Pulls the cable."""
        os.close(self._far)
        os.close(self._near)
