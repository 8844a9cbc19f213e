"""Something that looks again and again while a test does its work."""

import threading


class Lookout:
    """Calls `look` over and over, as long as the `with` block lasts. Subclasses have the look."""

    def __init__(self, pause: float):
        """`pause` is the time between two looks, seconds."""
        self.looks = 0
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self.look()
            self.looks += 1
            self._over.wait(self._pause)

    def look(self) -> None:
        """One look."""
        raise NotImplementedError
