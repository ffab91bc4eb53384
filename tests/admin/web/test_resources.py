"""Tests of :mod:`agent.admin.web.resources`, through HTTP."""

from __future__ import annotations

from html.parser import HTMLParser
from importlib.resources import files

from agent.admin.web.resources import STATIC
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from tests.admin.web.clients import Client, WebCase


class Links(HTMLParser):
    """Collects what a page refers to, and the ids it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.inline = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name == "id" and value:
                self.ids.append(value)
            if name.startswith("on") or name == "style":
                self.inline = True
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.inline = True


class PageTests(WebCase):
    """The page and its parts."""

    def test_parts(self) -> None:
        """Each is there, with its type."""
        for name, (file, kind) in STATIC.items():
            answer = self.get("/" + name.decode())
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["content-type"], kind.decode())
            expected = files("agent.admin.web").joinpath("page", file).read_bytes()
            self.assertEqual(answer.body, expected)

    def test_offline(self) -> None:
        """The page needs nothing from elsewhere, and nothing that its policy forbids."""
        page = Links(self.get("/").body.decode())
        self.assertFalse(page.inline)
        for link in page.links:
            if not link.startswith("#"):
                self.assertEqual(self.get("/" + link).status, 200, link)
        self.assertEqual(len(page.ids), len(set(page.ids)))
        for part in ("page.js", "draw.js", "page.css"):
            text = self.get(f"/{part}").body.decode()
            self.assertNotIn("http://", text)
            self.assertNotIn("https://", text)
            self.assertNotIn("innerHTML", text)

    def test_missing(self) -> None:
        """What is not there is said to be so."""
        for path in ("/nothing", "/page.css/more", "/api", "/api/nothing", "/api/bridges/br0/x"):
            answer = self.get(path)
            self.assertEqual((answer.status, list(answer.json)), (404, ["error"]), path)
        self.assertIn("br9", self.get("/api/bridges/br9/flows").json["error"])


class ApiTests(WebCase):
    """Data."""

    def test_bridges(self) -> None:
        """A bridge in numbers, alone and among all."""
        self.add(Match.of(in_port=1))
        (one,) = self.get("/api/bridges").json
        self.assertEqual(one, self.get("/api/bridges/br0").json)
        self.assertEqual((one["name"], one["tables"][0]["rules"]), ("br0", 1))
        self.assertEqual(self.get("/api/agent").json["bridges"], ["br0"])

    def test_every_report(self) -> None:
        """Each can be said in JSON."""
        self.add(Match.of(in_port=1))
        self.start(FlowModCommand.ADD, match=Match.of(in_port=2))
        for name in ("connections", "pending", "flows", "groups", "meters", "ports", "driver"):
            answer = self.get(f"/api/bridges/br0/{name}")
            self.assertEqual(
                (answer.status, answer.headers["content-type"]), (200, "application/json"), name
            )
            self.assertIsInstance(answer.json, dict | list)

    def test_flows(self) -> None:
        """Rules, a page at a time."""
        for port in range(1, 6):
            self.add(Match.of(in_port=port))
        first = self.get("/api/bridges/br0/flows?limit=3").json
        second = self.get("/api/bridges/br0/flows?limit=3&offset=3").json
        self.assertEqual((first["more"], second["more"]), (True, False))
        found = [flow["match"] for flow in first["flows"] + second["flows"]]
        self.assertEqual(sorted(found), [f"in_port={port}" for port in range(1, 6)])

    def test_bad_arguments(self) -> None:
        """An error that names the argument."""
        for arguments, name in (
            ("limit=x", "limit"),
            ("limit=1001", "limit"),
            ("offset=-1", "offset"),
            ("table=256", "table"),
            ("state=gone", "state"),
            ("match=nonsense%3D1", "match"),
        ):
            answer = self.get(f"/api/bridges/br0/flows?{arguments}")
            self.assertEqual(answer.status, 400, arguments)
            self.assertTrue(answer.json["error"].startswith(f"{name}:"), answer.json)
        self.assertEqual(self.get("/api/bridges/%ff").status, 400)

    def test_failure(self) -> None:
        """A driver that fails is the agent's trouble, which is in the log, not in the answer."""
        self.patch(type(self.driver), "ports", lambda _: 1 // 0)
        answer = self.get("/api/bridges/br0/ports")
        self.assertEqual((answer.status, answer.json["error"]), (500, "see the log"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_who_leaves(self) -> None:
        """Who does not wait for the hardware's counters is not answered, and nothing is left."""
        self.add(Match.of(in_port=1))
        self.driver.hold_reads = True
        client = Client(self.site)
        client.ask("/api/bridges/br0/flows")
        self.turn()
        client.leave()
        self.driver.finish_reads()
        self.turn()
        self.assertEqual(client.transport.value(), b"")
