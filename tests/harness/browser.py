"""Headless Chromium, driven over its own protocol: somebody who looks at a page, clicks and types."""

import base64
import itertools
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

import websocket

from .programs import environment
from .wait import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1000,640",
]

# Seconds for one answer of the browser.
_PATIENCE = 30

# What the browser says of a script whose page went away under it: whoever only looks looks again.
_GONE = ("Inspected target navigated or closed", "Execution context was destroyed.", "Cannot find context")

# The terminal's lines as they are on the screen.
_SCREEN = """[...document.querySelectorAll('.xterm-rows > div')]
    .map((row) => row.textContent.replaceAll('\\u00a0', ' ').trimEnd()).join('\\n')"""

# The middle of an element, once a few frames have left it where it was and a click there would be
# its own; else nothing.
_MIDDLE = """(async () => {
    const it = document.querySelector(%s)
    if (!it) return false
    const middle = () => {
        const r = it.getBoundingClientRect()
        return [r.x + r.width / 2, r.y + r.height / 2]
    }
    const before = middle()
    await new Promise((done) => setTimeout(done, 50))
    const now = middle()
    const there = document.elementFromPoint(...now)
    return it.contains(there) && String(before) === String(now) && now
})()"""


class Browser:
    """A browser with a profile of its own, and one page."""

    def __init__(self, home: Path, *options: str):
        profile = home / "browser"
        argv = [CHROMIUM, *_OPTIONS, *options, f"--user-data-dir={profile}", "about:blank"]
        self._log = (home / "browser.log").open("wb")
        self._process = subprocess.Popen(
            argv, env=environment(home), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        port = profile / "DevToolsActivePort"
        until("the browser says its port", lambda: port.exists() and len(port.read_text().split()) == 2)
        self._place = f"127.0.0.1:{port.read_text().split()[0]}"
        self.page = self._page(json.load(self._fetch("/json/list"))[0])

    def _fetch(self, path: str, method: str = "GET"):
        request = urllib.request.Request(f"http://{self._place}{path}", method=method)
        return urllib.request.urlopen(request, timeout=_PATIENCE)

    def _page(self, target: dict) -> "Page":
        assert target["type"] == "page", target
        socket = websocket.create_connection(target["webSocketDebuggerUrl"], _PATIENCE, suppress_origin=True)
        return Page(socket, self)

    def new_tab(self) -> "Page":
        """One more page, of the same browser."""
        return self._page(json.load(self._fetch("/json/new?about:blank", "PUT")))

    def close(self) -> None:
        """Ends it, and the processes that it has started."""
        try:
            self.page.ask("Browser.close")
            self._process.wait(_PATIENCE)
        except (OSError, websocket.WebSocketException, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(_PATIENCE)
        self._log.close()


class Refused(Exception):
    """The browser didn't do what it was asked for."""


class Page:
    """What somebody sees and does."""

    def __init__(self, socket: websocket.WebSocket, browser: Browser):
        self._socket, self.browser = socket, browser
        self._numbers = itertools.count(1)
        # What the page's scripts and the browser complained about.
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: object) -> dict:
        """One command of the browser's protocol; its answer."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("id") == number:
                if "error" in said:
                    raise Refused(f"{method}: {said['error']}")
                return said["result"]
            self._hear(said)

    def _hear(self, event: dict) -> None:
        words = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(words["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded":
            entry = words["entry"]
            # That nobody is logged in is an answer, and that a hub is away is what some tests are about.
            if entry["level"] == "error" and entry["source"] != "network":
                self.complaints.append(f"{entry['source']}: {entry['text']}")

    def run(self, script: str) -> object:
        """The value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def look(self, script: str) -> object:
        """The value of an expression that changes nothing, on the next page if this one goes away."""

        def seen() -> tuple[object] | None:
            try:
                return (self.run(script),)
            except Refused as refused:
                if any(words in str(refused) for words in _GONE):
                    return None
                raise

        return until("the page stays", seen)[0]

    def go(self, url: str) -> None:
        """Types a URL."""
        answer = self.ask("Page.navigate", url=url)
        assert "errorText" not in answer, answer

    def reload(self) -> None:
        """Loads the page again."""
        self.run("window.isOld = true")
        self.ask("Page.reload")
        until("the page was loaded again", lambda: self.look("window.isOld") is None)

    def resize(self, width: int, height: int) -> None:
        """Makes the window another size."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def text(self, selector: str) -> str:
        """The text of what is visible; empty if it isn't there or isn't visible."""
        return self.look(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
            " return it && it.checkVisibility() ? it.innerText : '' })()"
        )

    def wait_for(self, selector: str, words: str = "") -> str:
        """Waits until something is visible, and has these words; all of its text."""

        def seen() -> str | bool:
            text = self.look(
                f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
                " return it && it.checkVisibility() ? (it.innerText || ' ') : null })()"
            )
            return text if text is not None and words in text else False

        return until(f"{selector} shows {words!r}; the page shows {self.text('body')!r}", seen)

    def click(self, selector: str) -> None:
        """Clicks on something, once it is at rest and nothing is over it."""
        self.wait_for(selector)
        x, y = until(f"{selector} is at rest", lambda: self.look(_MIDDLE % json.dumps(selector)))
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Presses one key after the other. A line's end is the Enter key."""
        for letter in text:
            if letter == "\n":
                key = {"key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}
            else:
                key = {"key": letter, "text": letter}
            self.ask("Input.dispatchKeyEvent", type="keyDown", **key)
            key.pop("text")
            self.ask("Input.dispatchKeyEvent", type="keyUp", **key)

    def fill(self, selector: str, text: str) -> None:
        """Types into a field."""
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.type(text)

    def screen(self) -> list[str]:
        """The terminal's lines."""
        return self.look(_SCREEN).split("\n")

    def shows(self, line: str) -> None:
        """Waits until a line of the terminal is this."""
        until(f"{line!r} is on the screen", lambda: line in self.screen())

    def picture(self, path: Path) -> None:
        """A PNG of the page."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))
