"""The distribution is complete: packages, plugin, data, and what the documents say of it.

A wheel is built and installed in :mod:`tests.system.test_wheel`.
"""

from __future__ import annotations

import configparser
import re
from importlib import resources
from pathlib import Path
from typing import cast

from twisted.application.service import IServiceMaker, ServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import agent
from agent import tap

ROOT = Path(__file__).parents[1]


class SetupTests(SynchronousTestCase):
    """``setup.cfg`` against the tree."""

    def setUp(self) -> None:
        """Read it."""
        self.setup = configparser.ConfigParser()
        self.setup.read(ROOT / "setup.cfg")

    def test_packages(self) -> None:
        """Every package is listed, and twisted.plugins, which is none."""
        listed = self.setup["options"]["packages"].split()
        found = [
            ".".join(path.parent.relative_to(ROOT).parts)
            for top in ("agent", "drivers")
            for path in (ROOT / top).rglob("__init__.py")
        ]
        self.assertEqual(listed, [*sorted(found), "twisted.plugins"])

    def test_no_module_outside_packages(self) -> None:
        """No module stands in a directory that is no package, where it would not be shipped."""
        strays = [
            str(path)
            for top in ("agent", "drivers")
            for path in (ROOT / top).rglob("*.py")
            if not (path.parent / "__init__.py").exists()
        ]
        self.assertEqual(strays, [])

    def test_twisted_is_not_ours(self) -> None:
        """An __init__.py in twisted/ or twisted/plugins/ would hide Twisted's own."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_data(self) -> None:
        """The profiles are found through their package, and so in a wheel too."""
        ours = sorted(path.name for path in (ROOT / "etc" / "profiles").glob("*.toml"))
        packaged = resources.files("drivers.asic") / "profiles"
        self.assertIn("quanta.toml", ours)
        self.assertEqual(sorted(entry.name for entry in packaged.iterdir()), ours)
        patterns = dict(self.setup["options.package_data"])
        self.assertEqual(patterns["drivers.asic"], "profiles/*.toml")

    def test_build_system_only(self) -> None:
        """pyproject.toml has nothing that setup.cfg could contradict."""
        tables = re.findall(r"^\[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        self.assertEqual(tables, ["build-system"])


class PluginTests(SynchronousTestCase):
    """``twistd ofagent``."""

    def test_found(self) -> None:
        """twistd finds the command once, and it names a module that can be loaded."""
        (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "ofagent"]
        self.assertIs(maker.options, tap.Options)
        self.assertIs(cast(ServiceMaker, maker).makeService, tap.makeService)


class DocumentTests(SynchronousTestCase):
    """What the documents at the top say is so."""

    def test_changelog(self) -> None:
        """The version has its section in the changelog."""
        headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
        self.assertIn(agent.__version__, headings)

    def test_make_targets(self) -> None:
        """Every make target that a document names is there."""
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
        for name in ("README.md", "CHANGELOG.md"):
            text = (ROOT / name).read_text()
            for target in re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE):
                self.assertIn(target, targets, name)
        self.assertLessEqual({"run", "test", "system-test", "lint", "bench", "fuzz"}, targets)

    def test_paths(self) -> None:
        """Every path of the project that the README names is there; etc/run comes with a run."""
        readme = (ROOT / "README.md").read_text()
        paths = re.findall(r"`((?:agent|drivers|etc|tests|twisted|docs|\.ci)/[\w./-]*)`", readme)
        paths.remove("etc/run")
        self.assertNotEqual(paths, [])
        self.assertEqual([path for path in paths if not (ROOT / path).exists()], [])
