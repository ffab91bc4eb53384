"""Tests of :mod:`docs.interfaces`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from docs.interfaces import describe


class InterfacesTests(SynchronousTestCase):
    """Interfaces as reST."""

    def test_driver(self) -> None:
        """Interfaces, methods with their arguments, attributes, and what is said of each."""
        lines = describe("drivers.interfaces")
        start = lines.index(".. py:class:: drivers.interfaces.IDriver")
        self.assertIn("   One bridge's hardware.", lines[start:])
        self.assertIn("   .. py:method:: submit(operations)", lines[start:])
        self.assertIn("      Set operations in motion, and return.", lines[start:])
        self.assertIn("   .. py:attribute:: capabilities", lines[start:])

    def test_imported(self) -> None:
        """What a module only imports is not its own."""
        made = [line for line in describe("drivers.abilities") if line.startswith("..")]
        self.assertIn(".. py:class:: drivers.abilities.IRecall", made)
        self.assertTrue(all("drivers.abilities." in line for line in made))
