"""Tests of :mod:`man.make`: the manual pages are those that it would write now."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.admin.config import Config
from agent.admin.schema import describe
from agent.ctl.parser import REPORTS
from man.make import DIRECTORY, PAGES, configuration, control, escape


class PageTests(SynchronousTestCase):
    """The pages that are kept."""

    def test_current(self) -> None:
        """Each is what the declarations of today say; else run: make man."""
        for name, page in PAGES.items():
            self.assertEqual((DIRECTORY / name).read_text(), page(), f"{name}: run make man")

    def test_configuration(self) -> None:
        """Every key of every table has its help and what is allowed."""
        page = configuration()
        for _, keys in describe(Config):
            for key in keys:
                self.assertIn(f".B {escape(key.name)}\n{escape(key.text)}\n", page)
                self.assertIn(escape(key.kind.allowed), page)

    def test_control(self) -> None:
        """Every command has a section."""
        page = control()
        for name in (*REPORTS, "status", "flows", "capture", "reload", "check-config"):
            self.assertIn(f'.SS "{escape(name)}', page)

    def test_escape(self) -> None:
        """What means something to roff is text, and a text is one line."""
        self.assertEqual(escape(".a-b\\c\nd"), "\\&.a\\-b\\ec d")
        self.assertEqual(escape("'tis"), "\\&'tis")
