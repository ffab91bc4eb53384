"""Tests of :mod:`docs.reference`: all that is declared is there."""

from __future__ import annotations

import attrs

from agent.admin.config import Config
from agent.admin.schema import describe
from agent.connmgr.settings import Limits
from agent.ctl.parser import REPORTS
from docs import reference
from tests.admin.web.clients import WebCase


class ReferenceTests(WebCase):
    """The pages of configuration, commands and metrics."""

    def test_configuration(self) -> None:
        """Every key of every table has its help."""
        page = "\n".join(reference.configuration())
        for _, keys in describe(Config):
            for key in keys:
                self.assertIn(f"`{key.name}`\n: {reference.literal(key.text)}\n", page)
        self.assertIn("## \\[\\[bridge.port\\]\\]", page)

    def test_control(self) -> None:
        """Every command has a section, every option its help."""
        page = "\n".join(reference.control())
        for name in (*REPORTS, "flows", "capture", "reload"):
            self.assertIn(f"### `{name}", page)
        self.assertIn("`-t, --socket PATH`\n: The control socket.", page)

    def test_socket_commands(self) -> None:
        """So has every command of the socket, with its arguments."""
        commands = reference.socket_commands()
        self.assertIn("ofproto/trace BRIDGE FLOW [-generate|PACKET]", commands)
        self.assertIn("exit", commands)

    def test_metrics(self) -> None:
        """The metrics are those that are served, by the names that they are served by."""
        listed = {line.split("`")[1] for line in reference.metrics() if "`" in line}
        served = {
            line.split()[2]
            for line in self.get("/metrics").body.decode().splitlines()
            if line.startswith("# TYPE ofagent_")
        }
        self.assertEqual({name for name in served if not name.endswith("_created")}, listed)

    def test_limits(self) -> None:
        """Every limit of a connection is there, with its value and what it limits."""
        page = "\n".join(reference.limits())
        for field in attrs.fields(Limits):
            self.assertIn(f"| `{field.name}` | {field.default:,} | ", page)
        self.assertIn(
            "| 50 | messages executed, and echo requests answered ahead, in one turn. |", page
        )

    def test_driver_options(self) -> None:
        """Each driver's options are there, and nothing of the text behind them."""
        page = "\n".join(reference.driver_options())
        self.assertIn('\nprofile = "quanta"', page)
        self.assertIn('\nmode = "both"', page)
        self.assertNotIn(":mod:", page)
