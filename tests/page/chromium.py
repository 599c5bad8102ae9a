"""A real Chromium without a screen, driven over its DevTools protocol: loads pages, points, types, and looks. It waits for
what is to happen, never for a time to pass.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from websockets.sync.client import connect

# How long anything may take before a test gives up: a debug build on a busy machine.
PATIENCE = 60

NAMES = ("chromium", "chromium-browser", "google-chrome")

# What it would otherwise do beside our page.
QUIET = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    "--lang=en-GB",
)


def program():
    """Where Chromium is; nothing where it is not."""
    own = os.environ.get("PORTCULLIS_CHROMIUM")
    return own or next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        # Its sandbox does not run as root; what it loads is ours alone.
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [program(), *QUIET, *root, f"--user-data-dir={self.folder.name}", "about:blank"]
        self.log = open(Path(self.folder.name) / "log", "w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.open = ExitStack()
        self.socket = self.open.enter_context(connect(self._address(), max_size=None, proxy=None))
        self.asked = 0
        self.events = []

    def _address(self):
        port_file = Path(self.folder.name) / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            lines = port_file.read_text().split("\n") if port_file.exists() else []
            if len(lines) > 1 and lines[1]:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(0.02)
        self.log.seek(0)
        raise AssertionError(f"Chromium did not start: {self.log.read()}")

    def close(self):
        self.open.close()
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def call(self, method, session=None, **parameters):
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            told = json.loads(self.socket.recv(timeout=PATIENCE))
            if told.get("id") == self.asked:
                if "error" in told:
                    raise AssertionError(f"{method}: {told['error']}")
                return told["result"]
            self.events.append(told)

    def page(self, url, width=1280, height=900, dark=False):
        return Page(self, url, width, height, dark)


class Page:
    """A page of its own, with storage of its own."""

    def __init__(self, browser, url, width, height, dark):
        self.browser = browser
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")
        self.look(width, height, dark)
        self.call("Page.navigate", url=url)
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'", f"{url} is there")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def look(self, width, height, dark):
        """At so large a screen, in this colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def told(self, method):
        """The parameters of the events of this kind so far."""
        self.evaluate("1")
        mine = (event for event in self.browser.events if event.get("sessionId") == self.session)
        return [event["params"] for event in mine if event["method"] == method]

    def evaluate(self, script):
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise AssertionError(f"{script}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def until(self, script, what=None):
        """Waits until a script's value is one that counts."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.evaluate(f"Boolean({script})"):
                return
            time.sleep(0.03)
        raise AssertionError(f"never: {what or script}\n{self.evaluate('document.body.innerText')}")

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def shown(self, selector):
        """Waits until something is there and seen."""
        self.until(f"document.querySelector({json.dumps(selector)})?.checkVisibility()", f"{selector} is shown")

    def click(self, selector):
        self.shown(selector)
        script = f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{ block: "center" }});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        x, y = self.evaluate(script)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Into what has the focus, as it comes from a keyboard or the clipboard."""
        self.call("Input.insertText", text=text)

    def press(self, key, code=None, control=False, virtual=0):
        shared = {"key": key, "code": code or key, "modifiers": 2 if control else 0, "windowsVirtualKeyCode": virtual}
        # A form takes Enter only where it says something.
        said = {"text": "\r"} if key == "Enter" and not control else {}
        self.call("Input.dispatchKeyEvent", type="keyDown" if said else "rawKeyDown", **said, **shared)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def screenshot(self, path):
        self.evaluate("scrollTo(0, 0)")
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(picture))

    def whole(self, path, width, dark):
        """A picture of all of the page at this width."""
        self.look(width, 900, dark)
        height = self.evaluate("document.documentElement.scrollHeight")
        self.look(width, max(height, 600), dark)
        self.screenshot(path)

    def nameless(self):
        """Controls that say nothing to somebody who does not see them."""
        roles = {"button", "combobox", "textbox", "radio", "checkbox", "link", "searchbox", "DisclosureTriangle"}
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
        assert len(controls) > 5, controls
        return [node["role"]["value"] for node in controls if not node.get("name", {}).get("value", "").strip()]
