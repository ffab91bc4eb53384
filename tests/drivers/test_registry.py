"""Tests of :mod:`drivers.registry` and :mod:`drivers.plugin`."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.plugin import pluginPackagePaths
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import twisted.plugins
from drivers.interfaces import IDriver, OptionError
from drivers.plugin import DriverFactory, IDriverFactory
from drivers.registry import available, find
from drivers.testing import FakeEntry, FakeHost

PLUGIN = '''
"""A driver of a third party."""
from drivers.plugin import DriverFactory

acme = DriverFactory("acme", "acme_ofagent", "Acme's switching chips")
'''

MODULE = '''
"""What the plugin names."""
from drivers.testing import ScriptableDriver

def create(options, ports, tables):
    """A driver that does nothing by itself."""
    return ScriptableDriver(name="acme")
'''


class ThirdPartyTests(SynchronousTestCase):
    """A driver in another distribution."""

    def install(self, plugin: str, **modules: str) -> None:
        """Put a distribution beside ours, as an installer would: a plugin, and what it imports."""
        root = Path(self.mktemp()).absolute()
        plugins = root / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "acme_plugin.py").write_text(plugin)
        for name, text in modules.items():
            (root / f"{name}.py").write_text(text)
        self.patch(sys, "path", [*sys.path, str(root)])
        self.patch(
            twisted.plugins,
            "__path__",
            [*twisted.plugins.__path__, *pluginPackagePaths("twisted.plugins")],
        )
        for name in ("twisted.plugins.acme_plugin", *modules):
            self.addCleanup(sys.modules.pop, name, None)

    def test_found(self) -> None:
        """It is found by its name, without anything of ours having been changed, and works."""
        self.install(PLUGIN, acme_ofagent=MODULE)
        self.assertIn("acme", available())
        driver = find("acme").create({}, [FakeEntry("p1", 1)], [])
        verifyObject(IDriver, driver)
        driver.start(FakeHost())
        self.assertEqual(len(driver.ports()), 2)

    def test_not_imported_before_it_is_needed(self) -> None:
        """What makes the driver is imported when a driver is made, so that a broken one harms
        nobody who does not want it."""
        self.install(PLUGIN, acme_ofagent="raise RuntimeError('broken')")
        factory = find("acme")
        self.assertEqual(factory.description, "Acme's switching chips")
        self.assertIn("asic", available())
        self.assertRaises(RuntimeError, factory.create, {}, [], [])

    def test_broken_plugin(self) -> None:
        """A plugin that cannot even be loaded is logged and left out; the others are there."""
        self.install("raise RuntimeError('broken')")
        self.assertIn("asic", available())
        self.assertTrue(self.flushLoggedErrors(RuntimeError))

    def test_name_taken(self) -> None:
        """Of two drivers with one name, one is used, and always the same."""
        self.install(PLUGIN.replace('"acme", "acme_ofagent"', '"asic", "acme_ofagent"'))
        self.assertEqual(list(available()).count("asic"), 1)
        self.assertIs(find("asic"), find("asic"))


class RegistryTests(SynchronousTestCase):
    """Our own drivers."""

    def test_ours(self) -> None:
        """They are there, each under its own name, in the order of the names."""
        factories = available()
        self.assertLessEqual({"asic", "software"}, set(factories))
        self.assertEqual(list(factories), sorted(factories))
        for name, factory in factories.items():
            verifyObject(IDriverFactory, factory)
            self.assertEqual(factory.name, name)

    def test_unknown(self) -> None:
        """A name that there is not is refused, with those that there are."""
        error = self.assertRaises(OptionError, find, "nonesuch")
        self.assertEqual((error.key, error.value), ("name", "nonesuch"))
        self.assertIn("asic", error.allowed)
        self.assertIn("software", error.allowed)

    def test_module_missing(self) -> None:
        """A factory whose module is not there says so when a driver is made."""
        factory = DriverFactory("x", "no_such_module_at_all", "nothing")
        self.assertRaises(ImportError, factory.create, {}, [], [])
