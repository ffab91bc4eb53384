"""The page in a browser, while the hardware is busy."""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import Match
from tests.system import need
from tests.system.agent import BRIDGE, PROFILE, AgentCase, Controller, free_port
from tests.system.browser import CHROMIUM, Browser

SLOW = 400.0
"""Milliseconds that the hardware takes for a rule."""


class WebCase(AgentCase):
    """An agent with a page.

    :ivar url: where it is.
    """

    def serve(self, ms: float, address: str = "127.0.0.1", size: int = 1000) -> None:
        """Start it, with hardware as slow as this."""
        profile = self.directory / "test.toml"
        text = PROFILE.format(ms=ms, size=size)
        profile.write_text(text.replace("announced = 1000", f"announced = {size}"))
        web = free_port()
        self.url = f"http://127.0.0.1:{web}/"
        text = BRIDGE.format(
            port=self.port, driver=f'name = "asic"\nprofile = "{profile}"', bridge=""
        )
        http = f'http = "{address}:{web}"\n'
        self.start(text=text.replace("[agent]\n", f"[agent]\n{http}"))

    def get(self, path: str, **headers: str) -> bytes:
        """Read something."""
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: bytes = answer.read()
            return data

    def rule(self, number: int) -> of.FlowMod:
        """A request for a rule of its own."""
        match = Match.of(in_port=1, eth_type=0x800, ipv4_dst=0x0A000000 + number)
        action = ApplyActions((Output(2),))
        return of.FlowMod(of.FlowModCommand.ADD, match, number, instructions=(action,), xid=number)


class PageTests(WebCase):
    """What is to be seen."""

    def setUp(self) -> None:
        """Open the page of an agent whose hardware is slow."""
        super().setUp()
        need(CHROMIUM, "chromium: install chromium")
        self.serve(SLOW)
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def test_while_it_waits(self) -> None:
        """A barrier that waits is seen with what it waits for, and so is each operation; when all
        is done, nothing waits, the rules are there, and how full the hardware is."""
        self.browser.go(self.url)
        self.browser.until("document.querySelector('#live').innerText == 'live'")
        controller = Controller.connect(self.port)
        self.addCleanup(controller.close)
        controller.send(*(self.rule(number) for number in range(1, 8)), of.BarrierRequest(99))
        waiting = self.browser.until(
            "document.querySelector('#who').innerText", lambda text: "xid 99" in text
        )
        self.assertIn("operation group", waiting)
        self.assertIn("in flight", self.browser.text("#timeline-text"))
        self.browser.evaluate("document.querySelector('details').open = true")
        self.browser.until("document.querySelectorAll('#flying tbody tr').length", lambda n: n > 1)
        self.assertIn("add in table", self.browser.text("#flying"))
        drawn = self.browser.until(
            "[...document.querySelector('#timeline').getContext('2d')"
            ".getImageData(0, 0, 2000, 60).data].filter((v) => v).length",
        )
        self.assertGreater(drawn, 0)
        controller.expect(of.BarrierReply)
        self.browser.until(
            "document.querySelector('#timeline-text').innerText",
            lambda text: "nobody waits" in text,
        )
        self.browser.until(
            "document.querySelector('#memory').innerText", lambda text: "7 of 1000" in text
        )
        self.browser.evaluate("document.querySelector('#search').requestSubmit()")
        self.browser.until("document.querySelectorAll('#found tbody tr').length", lambda n: n == 7)
        self.assertIn("installed", self.browser.text("#found"))
        self.assertEqual(self.browser.messages, [])

    def test_search_by_keyboard(self) -> None:
        """Rules are searched without a mouse, and a search that is wrong says why."""
        controller = Controller.connect(self.port)
        self.addCleanup(controller.close)
        controller.send(*(self.rule(number) for number in range(1, 4)))
        controller.barrier()
        self.browser.go(self.url)
        self.browser.until("document.querySelectorAll('#found tbody tr').length", lambda n: n == 3)
        self.browser.press("Tab")
        self.assertEqual(
            self.browser.evaluate("document.activeElement.getAttribute('href')"), "#flows"
        )
        self.browser.press("Enter")
        for _ in range(20):
            if self.browser.evaluate("document.activeElement.name") == "match":
                break
            self.browser.press("Tab")
        self.browser.press(*"nw_dst=10.0.0.2", "Enter")
        self.browser.until("document.querySelector('#problem').innerText", lambda text: text)
        self.assertIn("match:", self.browser.text("#problem"))
        self.browser.evaluate("document.activeElement.select()")
        self.browser.press(*"ip,nw_dst=10.0.0.2", "Enter")
        self.browser.until("document.querySelectorAll('#found tbody tr').length", lambda n: n == 1)
        self.assertIn("10.0.0.2", self.browser.text("#found"))

    def test_colours(self) -> None:
        """Text can be read, in light and in dark (WCAG 2.1, 1.4.3: a contrast of 4.5)."""
        self.browser.go(self.url)
        self.browser.until("document.querySelector('#live').innerText == 'live'")
        for dark in (False, True):
            self.browser.dark(dark)
            for name in ("text", "soft", "link", "failed", "flying"):
                shown = self.browser.evaluate(f"[colour('{name}'), colour('card'), colour('back')]")
                text, *grounds = (_luminance(colour) for colour in shown)
                for ground in grounds:
                    bright, dim = max(text, ground), min(text, ground)
                    self.assertGreaterEqual((bright + 0.05) / (dim + 0.05), 4.5, (name, dark))
            picture = Path(self.mktemp() + ".png")
            self.browser.screenshot(picture)
            width, height = struct.unpack(">II", picture.read_bytes()[16:24])
            self.assertGreater(width * height, 1000 * 500)

    def test_agent_goes(self) -> None:
        """When the agent is gone the page says so."""
        self.browser.go(self.url)
        self.browser.until("document.querySelector('#live').innerText == 'live'")
        self.doCleanupsOfAgent()
        self.browser.until(
            "document.querySelector('#live').innerText", lambda text: "does not answer" in text
        )

    def doCleanupsOfAgent(self) -> None:
        """Stop the agent by its control socket."""
        self.appctl("exit")


class ReadersTests(WebCase):
    """Who reads otherwise."""

    def test_metrics(self) -> None:
        """Operations and barriers are counted, with how long they took."""
        self.serve(50.0)
        controller = Controller.connect(self.port)
        self.addCleanup(controller.close)
        controller.send(*(self.rule(number) for number in range(1, 4)))
        controller.barrier()
        metrics = dict(
            line.rsplit(" ", 1)
            for line in self.get("metrics").decode().splitlines()
            if not line.startswith("#")
        )
        operations = (
            'ofagent_operation_duration_seconds_%s{bridge="br0",driver="asic",kind="add",'
            'result="done"}'
        )
        self.assertEqual(float(metrics[operations % "count"]), 3)
        self.assertGreaterEqual(float(metrics[operations % "sum"]), 0.05 + 0.1 + 0.15)
        self.assertGreaterEqual(
            float(metrics['ofagent_barrier_wait_seconds_sum{bridge="br0"}']), 0.05
        )
        self.assertEqual(
            float(metrics['ofagent_messages_received_total{bridge="br0",type="14"}']), 3
        )

    def test_many_rules(self) -> None:
        """With ten thousand rules a page of them, and a search among them, come at once."""
        self.serve(0.0, size=20000)
        controller = Controller.connect(self.port)
        self.addCleanup(controller.close)
        for first in range(1, 10001, 100):
            controller.send(*(self.rule(number) for number in range(first, first + 100)))
        controller.barrier()
        found: Any = json.loads(self.get("api/bridges/br0/flows?limit=100&offset=9950"))
        self.assertEqual((len(found["flows"]), found["more"]), (50, False))
        found = json.loads(self.get("api/bridges/br0/flows?match=ip,nw_dst=10.0.39.16"))
        self.assertEqual([flow["priority"] for flow in found["flows"]], [10000])

    def test_token(self) -> None:
        """On an address of all, only who has the token reads."""
        self.serve(0.0, "0.0.0.0")
        error = self.assertRaises(urllib.error.HTTPError, self.get, "metrics")
        self.assertEqual(error.code, 401)
        token = (self.directory / "run" / "http.token").read_text().strip()
        self.assertIn(b"ofagent_rules", self.get("metrics", Authorization=f"Bearer {token}"))
        self.assertNotIn(token, self.log.read_text())


def _luminance(colour: str) -> float:
    """The relative luminance of ``#rrggbb`` (WCAG 2.1)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    red, green, blue = linear
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
