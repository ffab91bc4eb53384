"""Tests of :mod:`agent.admin.web.access`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agent.admin.web.access import TokenError, is_loopback, token_of
from tests.admin.web.clients import Client, WebCase

TOKEN = "0123456789abcdef-secret"


class LoopbackTests(WebCase):
    """A server that only this host can reach."""

    def test_names(self) -> None:
        """It is there for whoever calls it by a name of this host, and for nobody else."""
        for host in ("localhost", "localhost:8653", "127.0.0.1:8653", "[::1]:8653", "127.8.0.1"):
            self.assertEqual(self.get("/api/agent", host=host).status, 200, host)
        for host in ("evil.example", "localhost.evil.example:8653", "192.0.2.1", ""):
            answer = self.get("/api/agent", host=host)
            self.assertEqual(answer.status, 403, host)
            self.assertNotIn(b"bridges", answer.body)

    def test_read_only(self) -> None:
        """Nothing can be changed."""
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = self.get("/api/agent", method=method)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.get("/api/agent", method="HEAD").status, 200)

    def test_headers(self) -> None:
        """A browser runs nothing but the page's own files, and keeps nothing."""
        for path in ("/", "/metrics", "/nothing"):
            headers = self.get(path).headers
            self.assertIn("default-src 'self'", headers["content-security-policy"])
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertEqual(headers["x-content-type-options"], "nosniff")


class TokenTests(WebCase):
    """A server that others can reach."""

    def setUp(self) -> None:
        """It asks for a token, and calls itself anything."""
        super().setUp()
        self.site = self.make_site(TOKEN)

    def test_without(self) -> None:
        """Nobody is told anything who does not have it, whatever the path."""
        for path in ("/", "/metrics", "/events", "/api/agent", "/nothing", "/?token=wrong"):
            answer = self.get(path, host="192.0.2.1")
            self.assertEqual(answer.status, 401, path)
            self.assertIn("Bearer", answer.headers["www-authenticate"])

    def test_header(self) -> None:
        """As Prometheus sends it."""
        right = self.get("/metrics", host="192.0.2.1", Authorization=f"Bearer {TOKEN}")
        self.assertEqual(right.status, 200)
        for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", ""):
            self.assertEqual(self.get("/metrics", Authorization=wrong).status, 401, wrong)

    def test_browser(self) -> None:
        """A browser gives it once, gets a cookie, and is sent where the URL does not have it."""
        answer = self.get(f"/api/bridges/br0/flows?limit=1&token={TOKEN}")
        self.assertEqual(answer.status, 302)
        self.assertEqual(answer.headers["location"], "/api/bridges/br0/flows?limit=1")
        cookie, *marks = answer.headers["set-cookie"].split("; ")
        self.assertEqual(
            {mark.lower() for mark in marks}, {"path=/", "httponly", "samesite=strict"}
        )
        self.assertEqual(self.get(answer.headers["location"], Cookie=cookie).status, 200)
        self.assertEqual(self.get("/", Cookie=cookie + "x").status, 401)

    def test_elsewhere(self) -> None:
        """A path that looks like another host's is not gone to."""
        answer = self.get(f"//evil.example/?token={TOKEN}")
        self.assertEqual(answer.headers["location"], "/evil.example/")

    def test_garbage(self) -> None:
        """What is no HTTP is refused, and does no harm."""
        for garbage in (
            b"\x04\x00\x00\x08\0\0\0\0\r\n\r\n",
            b"GET\r\n\r\n",
            b"\r\n" * 50 + b"x y z",
        ):
            client = Client(self.site)
            client.protocol.dataReceived(garbage)
            client.leave()
            self.assertNotIn(b"200", client.transport.value())


class TokenFileTests(SynchronousTestCase):
    """The file that has the token."""

    def setUp(self) -> None:
        """There is none."""
        self.path = Path(self.mktemp())

    def test_made(self) -> None:
        """One is made that only its owner can read, and it is found again."""
        before = os.umask(0)
        try:
            token = token_of(self.path)
        finally:
            os.umask(before)
        self.assertGreaterEqual(len(token), 32)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(token_of(self.path), token)

    def test_refused(self) -> None:
        """What is too short, or cannot be sent in a header, is no token."""
        for text in ("", "short\n", "fifteen letters", "two words, quite long", "ä" * 16):
            self.path.write_text(text)
            self.assertRaises(TokenError, token_of, self.path)

    def test_loopback(self) -> None:
        """Which addresses are of this host only."""
        self.assertTrue(all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1"))))
        self.assertFalse(any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.1"))))
