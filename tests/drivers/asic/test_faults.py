"""Tests of :mod:`drivers.asic.faults`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.asic.faults import Effect, Fault, Faults, describe
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output


def operation(**fields: int | tuple[int, int]) -> FakeOperation:
    """An ADD of a rule that matches these."""
    return FakeOperation.add(FakeRule(Match.of(**fields), 100, cookie=0xBEEF))


class FaultsTests(SynchronousTestCase):
    """Which operations go wrong, and how."""

    def strikes(self, faults: Faults, count: int) -> list[bool]:
        """Which of the next operations are struck."""
        return [faults.strike(operation(in_port=1)) is not None for _ in range(count)]

    def armed(self, *texts: str) -> Faults:
        """Faults that were armed with these."""
        faults = Faults()
        for text in texts:
            faults.arm(text.split())
        return faults

    def test_next(self) -> None:
        """Without a number it is the next operation, and no other."""
        faults = self.armed("fail")
        self.assertEqual(self.strikes(faults, 3), [True, False, False])
        self.assertEqual(faults.armed, [])

    def test_nth(self) -> None:
        """With a number it is that one from now."""
        self.assertEqual(self.strikes(self.armed("fail 3"), 4), [False, False, True, False])

    def test_every(self) -> None:
        """With "every" it is each of that number, for ever."""
        self.assertEqual(self.strikes(self.armed("lose every 2"), 5), [False, True] * 2 + [False])

    def test_match(self) -> None:
        """With "match" it is each whose description has the text."""
        faults = self.armed("fail match nw_dst=10.0.0.1")
        good = operation(eth_type=0x800, ipv4_dst=0x0A000002)
        bad = operation(eth_type=0x800, ipv4_dst=0x0A000001)
        struck = [faults.strike(each) is not None for each in (good, bad, bad)]
        self.assertEqual(struck, [False, True, True])

    def test_effects(self) -> None:
        """Each kind has its effect, and those that strike one operation add up."""
        for texts, effect in (
            (("fail",), Effect(True, False, 1, 0)),
            (("stall",), Effect(False, True, 1, 0)),
            (("lose",), Effect(False, False, 0, 0)),
            (("duplicate",), Effect(False, False, 2, 0)),
            (("late 1.5",), Effect(False, False, 1, 1.5)),
            (("fail", "late 2", "duplicate", "late 3"), Effect(True, False, 2, 3)),
            (("reset",), Effect(False, False, 1, 0, True)),
            (("duplicate", "lose"), Effect(False, False, 0, 0)),
        ):
            self.assertEqual(self.armed(*texts).strike(operation()), effect)

    def test_not_understood(self) -> None:
        """Anything else is refused, with what would be understood."""
        for text in (
            "",
            "explode",
            "fail 0",
            "fail -1",
            "fail 1.5",
            "fail every",
            "fail every x",
            "fail 1 2",
            "fail match",
            "late",
            "late soon",
            "late -1",
            "late nan",
            "late inf",
            "show",
        ):
            error = self.assertRaises(ValueError, Faults().arm, text.split())
            self.assertIn(f"{text!r} is not understood", str(error))
            self.assertIn("late SECONDS", str(error))

    @given(st.lists(st.text(max_size=5), max_size=4))
    def test_any_words(self, words: list[str]) -> None:
        """Any words are a fault that reads back as it is shown, or are refused."""
        try:
            fault = Fault.parse(words)
        except ValueError:
            return
        shown = str(fault).partition(" (")[0].split()
        self.assertEqual(str(Fault.parse(shown)), str(fault))

    def test_shown(self) -> None:
        """What is armed is shown with how often it struck."""
        faults = self.armed("fail every 2", "late 0.5 match tcp")
        self.strikes(faults, 3)
        self.assertEqual(
            faults.show(),
            "fail every 2 (struck 1 of 3)\nlate 0.5 match tcp (struck 0 of 3)",
        )
        faults.clear()
        self.assertEqual(faults.show(), "no faults are armed")

    def test_description(self) -> None:
        """An operation is described in the words of ovs-ofctl."""
        rule = FakeRule(
            Match.of(eth_type=0x800, ipv4_dst=(0x0A000000, 0xFF000000)),
            7,
            1,
            output(2),
            0xBEEF,
        )
        self.assertEqual(
            describe(FakeOperation.delete(rule)),
            "delete table=1,cookie=0xbeef,priority=7,ip,nw_dst=10.0.0.0/8 actions=output:2",
        )
