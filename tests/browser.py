"""A headless Chromium, driven over its DevTools pipe: no further package, no port, no network."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
    ),
    *("--disable-extensions", "--disable-background-networking", "--disable-component-update", "--no-proxy-server"),
    *("--disable-features=Translate,OptimizationHints,MediaRouter", "--remote-debugging-pipe"),
]
PATIENCE = 60  # seconds for one answer; a busy machine starts a browser slowly


class Browser:
    """One tab, and every event it told of since it was last opened."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._buffer = b""
        self._number = 0
        self._session: dict[str, str] = {}
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict:
        """Send a command and return its result; events that arrive before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not self.told("Page.loadEventFired"):
            self.events.append(self._read())
        self.run("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page, awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def told(self, method: str) -> list[dict]:
        return [event["params"] for event in self.events if event.get("method") == method]

    def requested(self) -> list[str]:
        """The addresses of all that was asked for, the page itself included."""
        return [event["request"]["url"] for event in self.told("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Everything on the console, uncaught errors and refusals of the page's policy included."""
        logged = [event["entry"]["text"] for event in self.told("Log.entryAdded")]
        thrown = [str(event["exceptionDetails"]) for event in self.told("Runtime.exceptionThrown")]
        return logged + thrown + [str(event["args"]) for event in self.told("Runtime.consoleAPICalled")]

    def screenshot(self, path: Path, width: int, height: int, scheme: str = "light", whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page, in a colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _read(self) -> dict:
        end = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as ready:
            ready.register(self._back, selectors.EVENT_READ)
            while b"\0" not in self._buffer:
                assert ready.select(max(0.0, end - time.monotonic())), "the browser does not answer"
                part = os.read(self._back, 1 << 20)
                assert part, "the browser is gone"
                self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors are clear of 3 and 4, which are about to be taken."""
    ends = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return read, write


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start a browser with a fresh profile in `folder`; skip the test where none is installed."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    (in_read, in_write), (out_read, out_write) = _pipe(), _pipe()
    wiring = f'exec "$@" 3<&{in_read} 4>&{out_write}'  # Chromium reads descriptor 3 and writes 4
    command = ["bash", "-c", wiring, "bash", program, *FLAGS, f"--user-data-dir={folder}"]
    process = subprocess.Popen(command, pass_fds=(in_read, out_write), stderr=subprocess.DEVNULL)
    os.close(in_read)
    os.close(out_write)
    try:
        browser = Browser(in_write, out_read)
        yield browser
        os.write(in_write, b'{"id":0,"method":"Browser.close"}\0')
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        os.close(in_write)
        os.close(out_read)
