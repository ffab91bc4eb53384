"""Tests of :mod:`agent.admin.vlog_levels`."""

from __future__ import annotations

import sys
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from agent.admin.vlog_levels import DESTINATIONS, Level, Levels, module_of


class ModuleTests(SynchronousTestCase):
    """Which part of the agent a logger belongs to."""

    def test_module(self) -> None:
        """A module is a package of the agent, a part of its administration, or a driver."""
        for namespace, module in (
            ("agent.ofproto.ledger", "ofproto"),
            ("agent.connmgr.ofconn", "connmgr"),
            ("agent.bridge", "bridge"),
            ("agent.admin.unixctl", "unixctl"),
            ("drivers.asic.tcam", "asic"),
            ("agent", "agent"),
            ("twisted.internet.tcp", "twisted"),
            ("log_legacy", "twisted"),
            ("", "twisted"),
            ("a_plugin.driver", "a_plugin"),
            ("stderr", "stderr"),
        ):
            self.assertEqual(module_of(namespace), module)


class LevelsTests(SynchronousTestCase):
    """Levels, and how they are changed."""

    def setUp(self) -> None:
        """All modules at INFO."""
        self.levels = Levels(Level.INFO)

    def get(self, module: str) -> tuple[str, ...]:
        """The levels of a module, for console, system log and file."""
        return tuple(self.levels.get(module, name).name for name in DESTINATIONS)

    def test_set(self) -> None:
        """A module's level for one destination is changed, in any order of the words, any case,
        and with any of the separators of Open vSwitch."""
        for spec in (
            "connmgr:file:warn",
            "CONNMGR,File,WARN",
            "warn file connmgr",
            ":file: connmgr::warn:",
        ):
            self.levels = Levels(Level.INFO)
            self.levels.set(spec)
            self.assertEqual(self.get("connmgr"), ("INFO", "INFO", "WARN"))
            self.assertEqual(self.get("ofproto"), ("INFO", "INFO", "INFO"))

    def test_defaults(self) -> None:
        """What is not named is all there is, and the level is DBG; ANY is a name of that."""
        for spec, connmgr, ofproto in (
            ("connmgr", ("DBG",) * 3, ("INFO",) * 3),
            ("file", ("INFO", "INFO", "DBG"), ("INFO", "INFO", "DBG")),
            ("err", ("ERR",) * 3, ("ERR",) * 3),
            ("any:console:off", ("OFF", "INFO", "INFO"), ("OFF", "INFO", "INFO")),
            ("connmgr:ANY:emer", ("EMER",) * 3, ("INFO",) * 3),
            ("", ("DBG",) * 3, ("DBG",) * 3),
        ):
            self.levels = Levels(Level.INFO)
            self.levels.set(spec)
            self.assertEqual((self.get("connmgr"), self.get("ofproto")), (connmgr, ofproto))

    def test_later_modules(self) -> None:
        """A module that logs for the first time has the level that was set for all, not the one
        set for another."""
        self.levels.set("connmgr:err")
        self.levels.set("ANY:file:warn")
        self.assertEqual(self.get("just_loaded"), ("INFO", "INFO", "WARN"))
        self.assertIn("just_loaded", self.levels.modules())

    def test_refused(self) -> None:
        """What means nothing is said as Open vSwitch does, and changes nothing."""
        for spec, text in (
            ("foo", 'no destination, level, or module "foo"'),
            ("connmgr:file:warn:1", 'no destination, level, or module "1"'),
            ("console:file", "cannot specify multiple destinations"),
            ("warn:err", "cannot specify multiple levels"),
            ("connmgr:ofproto", "cannot specify multiple modules"),
            ("PATTERN:file:%m", 'no destination, level, or module "PATTERN"'),
        ):
            error = self.assertRaises(ValueError, self.levels.set, spec)
            self.assertEqual(str(error), text)
        self.assertEqual(self.get("connmgr"), ("INFO",) * 3)

    def test_show(self) -> None:
        """The table is that of Open vSwitch."""
        self.levels.set("connmgr:console:warn")
        self.levels.unlimited.add("connmgr")
        head, rule, *lines = self.levels.show().splitlines()
        self.assertEqual(head, "                 console    syslog    file")
        self.assertEqual(rule, "                 -------    ------    ------")
        self.assertEqual(lines, sorted(lines))
        self.assertIn(
            "connmgr           WARN       INFO       INFO    (rate limiting disabled)", lines
        )
        self.assertIn("ofproto           INFO       INFO       INFO", lines)

    def test_drivers(self) -> None:
        """A driver is a module as soon as it is loaded, before it has logged anything."""
        package = ModuleType("drivers.made_up")
        package.__path__ = []
        self.patch(sys, "modules", {**sys.modules, "drivers.made_up": package})
        self.levels.set("made_up:off")
        self.assertEqual(self.get("made_up"), ("OFF",) * 3)
        self.assertIn("made_up", self.levels.modules())
