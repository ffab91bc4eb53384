"""A headless Chromium, driven through its debugging pipe (the Chrome DevTools Protocol)."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMEOUT = 30.0
"""Seconds that anything may take."""

CHROMIUM = shutil.which("chromium")


class BrowserError(Exception):
    """The browser did not do as it was told."""


class Browser:
    """One page.

    :ivar messages: what the page wrote to its console, or threw.
    """

    def __init__(self, width: int = 1400, height: int = 1000) -> None:
        """Start it."""
        assert CHROMIUM is not None
        self.messages: list[str] = []
        self._directory = tempfile.mkdtemp(prefix="ofagent-chromium-")
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
        # The browser reads commands from descriptor 3 and answers to 4.  A plain sh knows no
        # descriptors of more than one digit.
        command = ["bash", "-c", f'exec 3<&{theirs} 4>&{answers}; exec "$@"', "sh", CHROMIUM]
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            f"--user-data-dir={self._directory}",
            f"--window-size={width},{height}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            command + options,
            pass_fds=(theirs, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(answers)
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session = ""
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        os.close(self._out)
        os.close(self._in)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(TIMEOUT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def go(self, url: str) -> None:
        """Open a page; what it loads afterwards need not be there yet."""
        self._call("Page.navigate", url=url)
        self.until("document.readyState !== 'loading'")

    def dark(self, dark: bool = True) -> None:
        """Prefer dark colours."""
        value = "dark" if dark else "light"
        feature = {"name": "prefers-color-scheme", "value": value}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """What is to be read in an element."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def until(self, script: str, accept: Callable[[Any], object] = bool) -> Any:
        """Wait until an expression has a value that is accepted, and return that."""
        end = time.monotonic() + TIMEOUT
        while True:
            value = self.evaluate(script)
            if accept(value):
                return value
            if time.monotonic() > end:
                raise BrowserError(f"{script} is {value!r}; console: {self.messages}")
            time.sleep(0.1)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other; a key of one letter writes it."""
        for key in keys:
            text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
            code = {"Tab": 9, "Enter": 13, " ": 32}.get(key, 0)
            common: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
            self._call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
            self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        answer = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + TIMEOUT
        while True:
            answer = self._read(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]
            self._heard(answer)

    def _heard(self, event: Any) -> None:
        if event.get("method") in (
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Log.entryAdded",
        ):
            self.messages.append(json.dumps(event["params"]))

    def _read(self, end: float) -> Any:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            if not data:
                raise BrowserError("the browser does not answer")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
