"""Tests of :mod:`drivers.tcflower.tails`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from drivers.tcflower.actions import SHOT, Gact, Mirred
from drivers.tcflower.credits import Credit
from drivers.tcflower.keys import Where
from drivers.tcflower.places import FREE_CHAINS
from drivers.tcflower.tails import Tail, Tails, credits_of

ANY = (Where("", ()),)
CREDITS = (Credit(1, -1, 0), Credit(1, 2, 0))


def tail(ifindex: int) -> Tail:
    """What an output to a device ends in."""
    return (((Where(f"p{ifindex}", ()),), (Gact(SHOT),), ()), (ANY, (Mirred(ifindex),), CREDITS))


class TailsTests(SynchronousTestCase):
    """Rules share tails."""

    def test_shared(self) -> None:
        """The first rule makes it, the last one takes it away."""
        tails = Tails()
        chain, made = tails.hold(tail(1))
        self.assertGreaterEqual(chain, FREE_CHAINS)
        self.assertEqual(
            [(f.chain, f.pref, f.indev) for f in made], [(chain, 1, "p1"), (chain, 2, "")]
        )
        self.assertEqual(credits_of(tail(1)), ((), CREDITS))
        self.assertEqual(tails.hold(tail(1)), (chain, ()))
        self.assertEqual(tails.let_go(tail(1)), ())
        self.assertEqual(tails.let_go(tail(1)), made)
        self.assertEqual(len(tails), 0)

    def test_credits(self) -> None:
        """Tails that do the same and count for others have chains of their own."""
        tails = Tails()
        (exception, last) = tail(1)
        other = (exception, (*last[:2], ()))
        self.assertNotEqual(tails.hold(tail(1))[0], tails.hold(other)[0])

    def test_apart(self) -> None:
        """Others have a chain of their own, which is used again only when it is empty."""
        tails = Tails()
        first, _ = tails.hold(tail(1))
        second, _ = tails.hold(tail(2))
        self.assertNotEqual(first, second)
        tails.let_go(tail(1))
        third, _ = tails.hold(tail(1))
        self.assertNotIn(third, (first, second))
        tails.freed(first)
        self.assertEqual(tails.hold(tail(3))[0], first)

    def test_unknown(self) -> None:
        """What nobody holds cannot be let go."""
        self.assertRaises(KeyError, Tails().let_go, tail(1))
