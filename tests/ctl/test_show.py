"""Tests of :mod:`agent.ctl.show`."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from agent.ctl.show import Progress, bar, duration, pairs, table


class Terminal(io.StringIO):
    """Is one."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class ShowTests(SynchronousTestCase):
    """Tables, bars and times."""

    def test_table(self) -> None:
        """Columns are as wide as they must be, and numbers stand to the right."""
        self.assertEqual(
            table(("NAME", "N", "OK"), [("a", 5, True), ("longer", 12, False)]),
            "NAME     N  OK\na        5  yes\nlonger  12  no\n",
        )
        self.assertEqual(table(("A",), [("x",)], header=False), "x\n")
        self.assertEqual(table(("A", "B"), []), "A  B\n")
        self.assertEqual(table(("A",), [], header=False), "")

    def test_pairs(self) -> None:
        """Names and values; what there is not is left empty."""
        self.assertEqual(pairs([("a", 1.25), ("long", None)]), "a     1.2\nlong\n")

    def test_duration(self) -> None:
        """The two greatest units."""
        for seconds, text in (
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (10.0, "10 s"),
            (61.9, "1 min 1 s"),
            (3600.0, "1 h 0 min"),
            (90061.0, "1 d 1 h"),
        ):
            self.assertEqual(duration(seconds), text)

    def test_bar(self) -> None:
        """From nothing to all, and never beyond."""
        self.assertEqual([bar(n, 4, 4) for n in (0, 1, 4, 9)],
                         ["[....]", "[#...]", "[####]", "[####]"])  # fmt: skip

    def test_progress(self) -> None:
        """On a terminal it goes from none to all of the most there was; elsewhere it is silent."""
        out, file = Terminal(), io.StringIO()
        for target in (out, file):
            progress = Progress("rules", target)
            for left in (4, 8, 2, 0):
                progress.left(left)
            progress.close()
        self.assertEqual(file.getvalue(), "")
        self.assertIn("6/8", out.getvalue())
        self.assertTrue(out.getvalue().endswith("8/8\x1b[K\n"))

    def test_nothing(self) -> None:
        """Where there was nothing to do nothing is shown."""
        out = Terminal()
        progress = Progress("rules", out)
        progress.left(0)
        progress.close()
        self.assertEqual(out.getvalue(), "")
