"""Tests of :mod:`drivers.options`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from drivers.interfaces import OptionError, TableCapabilities
from drivers.options import Options, restricted
from drivers.testing import FakeEntry


class OptionsTests(SynchronousTestCase):
    """Taking a table of options apart."""

    def refused(self, table: dict[str, Any], read: Callable[[Options], object]) -> OptionError:
        """What is said of a table."""
        error: OptionError = self.assertRaises(OptionError, read, Options(table))
        return error

    def test_given(self) -> None:
        """What is given and right is returned."""
        options = Options(
            {"t": "x", "i": 3, "n": 2, "w": "a", "s": [1], "sub": {"i": 4}, "l": [{"i": 5}]}
        )
        self.assertEqual(options.text("t"), "x")
        self.assertEqual(options.integer("i", 0, 3), 3)
        number = options.number("n", 0, 2)
        self.assertEqual((number, type(number)), (2.0, float))
        self.assertEqual(options.one_of("w", ("a", "b")), "a")
        self.assertEqual(options.sequence("s", "numbers"), [1])
        self.assertEqual(options.table("sub").integer("i", 0, 9), 4)
        (item,) = options.tables("l", "{ i = 1 }")
        self.assertEqual(item.integer("i", 0, 9), 5)
        options.finish()

    def test_default(self) -> None:
        """What is not given is the default, whatever that is."""
        options = Options({})
        self.assertIsNone(options.text("t", None))
        self.assertEqual(options.integer("i", 0, 3, 99), 99)
        self.assertEqual(options.number("n", 0, 3, -1), -1)
        self.assertEqual(options.one_of("w", ("a",), "z"), "z")
        self.assertEqual(options.sequence("s", "numbers", ()), ())

    def test_missing(self) -> None:
        """What must be given and is not is missed by name."""
        for read in (
            lambda o: o.text("k"),
            lambda o: o.integer("k", 0, 1),
            lambda o: o.number("k", 0, 1),
            lambda o: o.one_of("k", ("a",)),
            lambda o: o.sequence("k", "numbers"),
            lambda o: o.table("k"),
            lambda o: o.tables("k", "{}"),
        ):
            error = self.refused({}, read)
            self.assertEqual((error.key, error.value), ("k", None))
            self.assertIn("missing", error.allowed)

    def test_wrong(self) -> None:
        """What is of the wrong type or out of range is refused, with what is allowed."""
        cases: list[tuple[Callable[[Options], object], list[object], str]] = [
            (lambda o: o.text("k"), [1, "", None], "a string"),
            (lambda o: o.integer("k", 1, 9), [0, 10, 1.0, "1", True], "from 1 to 9"),
            (lambda o: o.number("k", 1, 9), [0.9, 9.1, "1", True, float("nan")], "from 1 to 9"),
            (lambda o: o.one_of("k", ("a", "b")), ["c", 1, []], '"a", "b"'),
            (lambda o: o.sequence("k", "numbers"), ["x", {}, 1], "a list of numbers"),
            (lambda o: o.table("k"), [[], 1, "x"], "a table"),
            (lambda o: o.tables("k", "{ x }"), [[1], {}, 1], "tables like { x }"),
        ]
        for read, values, said in cases:
            for value in values:
                error = self.refused({"k": value}, read)
                self.assertEqual((error.key, error.value), ("k", value))
                self.assertIn(said, error.allowed)

    def test_unknown(self) -> None:
        """What nobody asked for is refused, with what is known."""
        options = Options({"a": 1, "b": 2})
        options.integer("a", 0, 9)
        error = self.assertRaises(OptionError, options.finish)
        self.assertEqual((error.key, error.value), ("b", 2))
        self.assertIn("known are a", error.allowed)

    def test_nested_keys(self) -> None:
        """The keys of nested tables have dots, those of items their place."""
        options = Options({"a": {"b": {"c": 1}}, "l": [{}, {"x": 1}]})
        error = self.assertRaises(OptionError, options.table("a").table("b").finish)
        self.assertEqual(error.key, "a.b.c")
        second = options.tables("l", "{}")[1]
        self.assertEqual(self.assertRaises(OptionError, second.finish).key, "l[1].x")


class RestrictedTests(SynchronousTestCase):
    """What ``[[bridge.table]]`` says of the tables a driver offers."""

    offered = tuple(TableCapabilities(n, f"t{n}", 100) for n in (0, 1, 2, 7))

    def test_nothing_said(self) -> None:
        """Without entries they are what the driver offers."""
        self.assertEqual(restricted(self.offered, []), self.offered)

    def test_named_and_smaller(self) -> None:
        """An entry names a table, makes it smaller, or both; the others stay as they are."""
        tables = restricted(
            self.offered, [FakeEntry("acl", id=7), FakeEntry(id=0, size=5), FakeEntry("x", id=1)]
        )
        self.assertEqual(
            [(t.table_id, t.name, t.max_entries) for t in tables],
            [(0, "t0", 5), (1, "x", 100), (2, "t2", 100), (7, "acl", 100)],
        )

    def test_refused(self) -> None:
        """A table that there is not is refused, and one that is too large."""
        error = self.assertRaises(OptionError, restricted, self.offered, [FakeEntry(id=3)])
        self.assertEqual((error.key, error.value), ("table.id", 3))
        self.assertIn("0-2, 7", error.allowed)
        error = self.assertRaises(
            OptionError, restricted, self.offered, [FakeEntry(id=1, size=101)]
        )
        self.assertEqual((error.key, error.value), ("table.size", 101))
        self.assertIn("100", error.allowed)
