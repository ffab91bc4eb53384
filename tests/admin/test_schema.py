"""Tests of :mod:`agent.admin.schema`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.admin.config import Config
from agent.admin.schema import ConfigError, describe, show


class DescribeTests(SynchronousTestCase):
    """The declaration of the keys is enough to write their documentation."""

    def test_tables(self) -> None:
        """Every table of a configuration is found, with the way to it."""
        ways = [way for way, _ in describe(Config)]
        self.assertEqual(
            ways,
            [
                "",
                "agent",
                "tls",
                "bridge",
                "bridge.listen",
                "bridge.controllers",
                "bridge.peer",
                "bridge.table",
                "bridge.port",
            ],
        )

    def test_keys(self) -> None:
        """A key tells its name, its default as TOML writes it, what is allowed and its purpose."""
        tables = {way: {key.name: key for key in keys} for way, keys in describe(Config)}
        pending = tables["bridge"]["max_pending"]
        self.assertEqual((pending.required, pending.shown_default), (False, "50"))
        self.assertEqual(pending.kind.allowed, "an integer from 1 to 100000")
        self.assertIn("in flight", pending.text)
        self.assertEqual(tables["agent"]["run_dir"].shown_default, '"run"')
        # Whether it is the port LOCAL decides.
        self.assertEqual(tables["bridge.port"]["type"].shown_default, "")
        self.assertTrue(tables["bridge"]["datapath_id"].required)
        self.assertEqual(tables["bridge"]["datapath_id"].shown_default, "")
        self.assertFalse(tables[""]["tls"].required)

    def test_documented(self) -> None:
        """No key is without an explanation in whole sentences."""
        for way, keys in describe(Config):
            for key in keys:
                self.assertRegex(key.text, r"^[A-Za-z].*\.$", f"{way}.{key.name}")


class ShowTests(SynchronousTestCase):
    """Values in messages."""

    def test_as_toml(self) -> None:
        """A value looks as it does in the file."""
        for value, shown in [
            (True, "true"),
            (1, "1"),
            (1.5, "1.5"),
            ('a\n"\u2028\x7f', r'"a\n\"\u2028\x7f"'),
            (("a", 1), '["a", 1]'),
        ]:
            self.assertEqual(show(value), shown)

    @given(st.text(), st.text(), st.text())
    def test_one_line(self, file: str, key: str, value: str) -> None:
        """Whatever is in it, a message is one line which no terminal takes for a command."""
        self.assertTrue(str(ConfigError(file, key, value, "bad")).isprintable())
