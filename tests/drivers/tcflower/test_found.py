"""Tests of :mod:`drivers.tcflower.found`: what comes back is compared with what was sent."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from drivers.tcflower import found, pack
from drivers.tcflower.actions import SHOT, Gact
from drivers.tcflower.check import Comparison
from drivers.tcflower.dump import payloads
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.found import Found
from tests.drivers.tcflower.examples import ACTIONS, examples
from tests.drivers.tcflower.telling import Installed, filter_message

BLOCK = 7
DROP = (Gact(SHOT),)


def asked(wanted: Filter, handle: int = 5) -> Filter:
    """A filter as the driver asks for it."""
    cookie = found.marked(found.cookie_of(BLOCK, 3), wanted)
    return attrs.evolve(wanted, handle=handle, cookie=cookie)


def told(wanted: Filter, gone: Collection[int] = ()) -> Found:
    """What the kernel says of it.

    :param gone: the numbers of devices that are gone; that which it is about, if any, is 1.
    """
    request = pack.new_filter(wanted, BLOCK, 0, 0)
    options = payloads(payloads(request, pack.FIRST)[pack.OPTIONS])
    key = wanted.chain, wanted.pref, wanted.handle
    index = 1 if wanted.indev else 0
    installed = Installed(
        key, options, wanted.flags | 8, packets=2, octets=9, index=index, gone=set(gone)
    )
    message = filter_message(installed, BLOCK)
    one = found.read(message, 0, len(message))
    assert one is not None
    return one


class FoundTests(SynchronousTestCase):
    """Filters that come back."""

    def test_same(self) -> None:
        """Every key and every action is recognized; what was counted is read."""
        for one in map(asked, examples()):
            there = told(one)
            self.assertEqual(found.of(one).identity, there.identity, one)
            self.assertEqual(found.difference(found.of(one), there), "", one)
            self.assertTrue(there.ours(BLOCK))
            self.assertEqual((there.packets, there.octets), (2, 9))

    def test_other_actions(self) -> None:
        """No action is taken for another, and none is overlooked."""
        lists = [(action,) for action in ACTIONS] + [(ACTIONS[0], ACTIONS[1])]
        filters = [asked(Filter(1, 2, actions)) for actions in lists]
        for one, other in itertools.permutations(filters, 2):
            self.assertNotEqual(found.difference(found.of(one), told(other)), "", (one, other))

    def test_other_keys(self) -> None:
        """No two matches look alike, although of VLAN tags the kernel does not say all."""
        tags = {"eth_type": 0x8100, "vlan_eth_type": 0x800}
        keys: list[dict[str, Any]] = [
            {},
            {"eth_type": 0x800},
            {"eth_type": 0x8100},
            {"eth_type": 0x88A8},
            {**tags},
            {**tags, "eth_type": 0x88A8},
            {**tags, "vlan_id": 1},
            {"eth_type": 0x88A8, "vlan_eth_type": 0x8100, "cvlan_eth_type": 0x800},
            {"eth_type": 0x8100, "vlan_eth_type": 0x88A8, "cvlan_eth_type": 0x800},
            {"eth_dst": 1},
            {"eth_dst": (0, 1)},
        ]
        filters = [asked(Filter.of(1, 2, DROP, **one)) for one in keys]
        filters.append(asked(Filter.of(1, 2, DROP, indev="eth1")))
        filters += [asked(Filter.of(1, 3, DROP)), asked(Filter.of(2, 2, DROP))]
        self.assertEqual(len({told(one).identity for one in filters}), len(filters))

    def test_device_gone(self) -> None:
        """Of a filter about a device that is gone the kernel does not say that it is about one: it
        is taken for no other filter, nor for one of another device that is gone."""
        one, other, any_device = (
            asked(Filter.of(1, 2, DROP, indev=name, eth_dst=1), handle)
            for handle, name in enumerate(("eth1", "eth2", ""), 5)
        )
        there = [told(one, {1}), told(other, {1}), told(any_device)]
        self.assertEqual(len({each.identity for each in there}), 3)
        self.assertNotIn(found.of(any_device).identity, [each.identity for each in there[:2]])
        self.assertNotEqual(found.difference(found.of(one), there[0]), "")
        self.assertEqual(found.difference(found.of(any_device), there[2]), "")

    def test_flags(self) -> None:
        """Where a filter is to be is compared; where it came to be is not."""
        one = asked(Filter(1, 2, DROP, flags=FilterFlags.SKIP_HW))
        self.assertEqual(found.difference(found.of(one), told(one)), "")
        other = attrs.evolve(one, flags=FilterFlags(0))
        self.assertIn("flags", found.difference(found.of(other), told(one)))

    def test_nothing(self) -> None:
        """What is about no filter, or no flower filter, is none."""
        whole = pack.new_filter(asked(Filter(1, 2, DROP)), BLOCK, 0, 0)
        for message in (
            whole.replace(b"flower\0", b"matchal"),
            pack.new_filter(Filter(1, 2, DROP), BLOCK, 0, 0),
            whole[: pack.FIRST],
        ):
            self.assertIsNone(found.read(message, 0, len(message)))


class ComparisonTests(SynchronousTestCase):
    """What there is against what there should be."""

    def test_each_once(self) -> None:
        """What is there is found once, under whatever handle; others' filters are not looked at."""
        one, other = asked(Filter.of(1, 2, DROP, eth_dst=1)), asked(Filter.of(1, 2, DROP))
        foreign = attrs.evolve(other, cookie=b"", pref=9)
        there = Comparison(map(told, (one, attrs.evolve(other, handle=6), foreign)))
        self.assertEqual([there.take(one), there.take(other)], ["", ""])
        self.assertEqual(there.left(BLOCK), [])
        self.assertIn("missing", there.take(one))

    def test_too_many(self) -> None:
        """What nobody asked for is left, and so is the second of two."""
        one = asked(Filter(1, 2, DROP))
        there = Comparison(map(told, (one, attrs.evolve(one, handle=6), attrs.evolve(one, pref=3))))
        self.assertEqual(there.take(one), "")
        self.assertEqual(sorted(left.key for left in there.left(BLOCK)), [(1, 2, 5), (1, 3, 5)])
        self.assertEqual(there.left(BLOCK + 1), [])

    def test_changed(self) -> None:
        """What does something else is told with its place."""
        one = asked(Filter(1, 2, DROP))
        there = Comparison([told(attrs.evolve(one, actions=(Gact(8),)))])
        self.assertEqual(
            there.take(one), "filter chain 1 pref 2 handle 0x5: its action gact is another"
        )
