"""A headless chromium, driven through chromedriver by the W3C WebDriver protocol over plain HTTP."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


def found() -> tuple[str | None, str | None]:
    """The browser and its driver."""
    return shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")


class Browser:
    """One session."""

    def __init__(self, address: str, session: str) -> None:
        self.address, self.session = address, session

    def command(self, path: str, **body: Any) -> Any:
        return request(f"{self.address}/session/{self.session}/{path}", body)

    def open(self, path: Path) -> None:
        self.command("url", url=path.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that the script returns; it may be a promise."""
        return self.command("execute/sync", script=script, args=list(arguments))

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **features: str) -> None:
        """Set media features, such as prefers_color_scheme="dark"."""
        values = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.devtools("Emulation.setEmulatedMedia", {"features": values})

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.command("goog/cdp/execute", cmd=command, params=parameters)

    def console(self) -> list[str]:
        """What the page complained about since the last call."""
        entries = self.command("se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def hidden(self, boxes: str) -> list[int]:
        """How many pixels of what is in each of these boxes (a CSS selector) are out of sight to the right."""
        widths = "(box) => box.scrollWidth - box.clientWidth"
        found: list[int] = self.run(f"return [...document.querySelectorAll('{boxes}')].map({widths})")
        return found

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(request(f"{self.address}/session/{self.session}/screenshot", None)))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A fresh browser with a profile of its own."""
    chromium, driver = found()
    assert chromium
    assert driver
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = f"http://127.0.0.1:{_port(process)}"
            options = {"binary": chromium, "args": [*FLAGS, f"--user-data-dir={profile}"]}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            made = request(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
            one = Browser(address, made["sessionId"])
            yield one
            request(f"{address}/session/{one.session}", None, "DELETE")
        finally:
            process.terminate()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


def request(url: str, body: dict[str, Any] | None, method: str | None = None) -> Any:
    """The value in the driver's answer."""
    data = None if body is None else json.dumps(body).encode()
    question = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        # No proxy stands between a test and its own browser.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(question, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"the browser refused: {error.read().decode()[:600]}") from error


def _port(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        line = process.stdout.readline()
        if started := re.search(r"started successfully on port (\d+)", line):
            return started[1]
        if process.poll() is not None:
            break
    raise AssertionError("chromedriver did not start")
