"""Tests of :mod:`drivers.tcflower.abilities`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import fields as f
from agent.openflow.errors import OpenFlowError
from agent.openflow.fields import FIELDS
from agent.openflow.match import Match
from drivers.tcflower.abilities import ACTIONS, MATCHABLE, SET_ACTIONS
from drivers.tcflower.keys import keys_of

PORTS = {1: ("p1", 11)}


def prerequisites(name: str) -> dict[str, int]:
    """What a match on a field needs besides."""
    field = FIELDS[name]
    found = {}
    if field.eth_types and name != "eth_type":
        found["eth_type"] = field.eth_types[0]
    if field.ip_protos:
        found["ip_proto"] = field.ip_protos[0]
    if field.icmp_types:
        found["icmpv6_type"] = field.icmp_types[0]
    return found


class AbilitiesTests(SynchronousTestCase):
    """What is said is so."""

    def test_fields(self) -> None:
        """A field is matchable if and only if some value of it has keys."""
        for name, field in FIELDS.items():
            if field in (f.METADATA, f.PKT_MARK, *f.REGS):
                # Those are known to be zero.
                self.assertFalse(field.mask & MATCHABLE, name)
                continue
            can = False
            for value in (1, 0x800, 0x1001):
                try:
                    wanted = prerequisites(name) | {name: value & field.limit}
                    can |= bool(keys_of(Match.of(**wanted), PORTS))
                except OpenFlowError:
                    pass
            claimed = not field.mask & ~MATCHABLE
            # Fields that share their bits cannot be told apart in a mask.
            shared = [
                other for other in FIELDS.values() if other is not field and other.mask & field.mask
            ]
            if not shared or can:
                self.assertEqual(can, claimed, name)

    def test_actions(self) -> None:
        """An action set can have some of the actions."""
        self.assertTrue(SET_ACTIONS < ACTIONS)
