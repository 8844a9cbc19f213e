"""session-manager-plugin as the AWS CLI launches it: what comes is shown on standard output. Of a raw port,
standard input is what goes there, as ssh's ProxyCommand needs it; a terminal's keys are nobody's here."""

import json
import os
import shlex
import stat
import sys
import threading
from pathlib import Path

from .plugin import Plugin

# The CLI hands the session over in the environment to plugins as new as this.
VERSION = "1.2.764.0"

# How long a session may be silent, seconds.
_SILENCE = 300


def install(folder: Path) -> Path:
    """Makes a program `session-manager-plugin` in a folder, for PATH."""
    folder.mkdir(exist_ok=True)
    place = folder / "session-manager-plugin"
    tests = Path(__file__).resolve().parents[2]
    words = [
        f"PYTHONPATH={shlex.quote(str(tests))}",
        "exec",
        shlex.quote(sys.executable),
        "-m",
        "harness.mgs.launched",
        '"$@"',
    ]
    place.write_text(f"#!/bin/sh\n{' '.join(words)}\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return folder


def _feed(plugin: Plugin, connection) -> None:
    while data := os.read(0, 64 * 1024):
        connection.send(data)
    plugin.terminate()


def _show(plugin: Plugin, data: bytearray) -> None:
    """Shows what comes until the session ends."""
    shown = 0
    while True:
        plugin.wait("there is more", lambda shown=shown: len(data) > shown or plugin.closed_with, _SILENCE)
        with plugin.news:
            more, closed = bytes(data[shown:]), plugin.closed_with
        if not more and closed:
            return
        shown += len(more)
        sys.stdout.buffer.write(more)
        sys.stdout.buffer.flush()


def main(words: list[str]) -> int:
    """What the program does."""
    if words == ["--version"]:
        print(VERSION)
        return 0
    answer, _region, operation, _profile, request, _endpoint = words
    assert operation == "StartSession" and json.loads(request)["Target"], words
    plugin = Plugin(json.loads(os.environ.get(answer, answer)))
    plugin.wait("the session has begun", lambda: plugin.began or plugin.closed_with, _SILENCE)
    if plugin.type == "Port":
        connection = plugin.connect()
        threading.Thread(target=_feed, args=[plugin, connection], daemon=True).start()
        _show(plugin, connection.data)
    else:
        print(f"\nStarting session with SessionId: {plugin.session}", flush=True)
        _show(plugin, plugin.output)
        print(f"\n\nExiting session with sessionId: {plugin.session}.\n", flush=True)
    if plugin.closed_with["Output"]:
        print(plugin.closed_with["Output"], file=sys.stderr)
    plugin.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
