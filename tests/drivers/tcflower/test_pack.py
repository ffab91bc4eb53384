"""Tests of :mod:`drivers.tcflower.pack`, and of the declarations for pyroute2 beside it."""

from __future__ import annotations

from typing import Any, get_args

from twisted.trial.unittest import SynchronousTestCase

from drivers.tcflower import describe, nla, pack
from drivers.tcflower.actions import TcAction
from drivers.tcflower.filters import KEYS, Filter
from tests.drivers.tcflower.examples import ACTIONS, examples

FLAGS = pack.NLM_F_REQUEST | pack.NLM_F_ACK | pack.NLM_F_CREATE


class PackTests(SynchronousTestCase):
    """Packed by hand, and by pyroute2 from the declarations."""

    def test_equal(self) -> None:
        """Both make the same bytes, of every key and every action."""
        for wanted in examples():
            self.assertEqual(
                pack.new_filter(wanted, 77, FLAGS, 3),
                describe.encode(wanted, 77, pack.RTM_NEWTFILTER, FLAGS, 3),
                wanted,
            )

    def test_examples(self) -> None:
        """There is every key and every action among the examples."""
        self.assertEqual({type(action) for action in ACTIONS}, set(get_args(TcAction)))
        named = {key.name for wanted in examples() for key in wanted.keys}
        self.assertEqual(named, set(KEYS))

    def test_decode(self) -> None:
        """What was packed, the declarations read as it was meant."""
        for wanted in examples():
            message = nla.decode(pack.new_filter(wanted, 77, FLAGS, 3))
            self.assertEqual(message.get_attr("TCA_CHAIN"), wanted.chain)
            self.assertEqual(message["info"] >> 16, wanted.pref)
            found = plain(message.get_attr("TCA_OPTIONS")["attrs"])
            for name, value in describe.describe(wanted):
                if not isinstance(value, dict):
                    self.assertIn((name, value), found)

    def test_delete(self) -> None:
        """A filter is removed by its place and its handle."""
        wanted = Filter(3, 4, ACTIONS[:1], handle=5)
        message = nla.decode(pack.delete_filter(wanted.place, 77, 0, 9))
        self.assertEqual((message["handle"], message["info"] >> 16), (5, 4))
        self.assertEqual((message["index"], message["parent"]), (pack.BLOCK, 77))
        self.assertEqual(message.get_attr("TCA_CHAIN"), 3)
        self.assertIsNone(message.get_attr("TCA_OPTIONS"))


def plain(attributes: Any) -> list[tuple[str, Any]]:
    """The names and values of attributes that pyroute2 has read."""
    return [(slot[0], slot[1]) for slot in attributes]
