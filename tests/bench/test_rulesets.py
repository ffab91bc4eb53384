"""Tests of :mod:`bench.rulesets`, and of what was recorded."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import messages as of
from agent.openflow.codec import decode, header
from agent.openflow.fields import FIELDS
from bench.asic import FAUCET, FAUCET_RULES, FAUCET_TABLES
from bench.rulesets import SHAPES, TCP, WORKLOADS, masks, workload

COUNT = 400


class RuleSetTests(SynchronousTestCase):
    """What rule sets are like."""

    def test_seed(self) -> None:
        """The same seed, the same rules; another, others; as many as wanted, no match twice."""
        for name in WORKLOADS:
            made = [
                [
                    (rule.match, rule.priority, rule.instructions)
                    for rule in workload(name, 50, seed)
                ]
                for seed in (1, 1, 2)
            ]
            self.assertEqual(made[0], made[1])
            self.assertEqual(len({match for match, *_ in made[0]}), 50)
            if name not in ("ascending", "descending"):
                self.assertNotEqual(made[0], made[2])

    def test_shares(self) -> None:
        """Protocols are about as frequent as the shape says, and the more specific is higher."""
        for name, shape in SHAPES.items():
            rules = workload(name, COUNT, 1)
            first = {rule.priority: rule for rule in rules}  # one entry of each rule
            protocols = Counter(
                rule.match.value_of(FIELDS["ip_proto"]) or 0 for rule in first.values()
            )
            share = protocols[TCP] / len(first)
            self.assertLess(abs(share - shape.protocols[TCP]), 0.1)
            looked_at = [first[priority].match.mask.bit_count() for priority in sorted(first)]
            backwards = sum(one > other + 16 for one, other in pairwise(looked_at))
            self.assertEqual(backwards, 0)

    def test_overlaps(self) -> None:
        """Firewalls overlap far more than access lists."""
        found = {}
        for name in SHAPES:
            matches = [rule.match for rule in workload(name, COUNT, 1)]
            found[name] = sum(one.overlaps(other) for one in matches for other in matches)
        self.assertGreater(found["fw"], 3 * found["ipc"])
        self.assertGreater(found["fw"], 3 * found["acl"])

    @given(st.integers(0, 300), st.integers(0, 65535))
    def test_masks(self, first: int, size: int) -> None:
        """A range of ports is cut into values with masks: all of it, once, and nothing else."""
        last = min(65535, first + size)
        end = first
        for value, mask in masks(first, last):
            self.assertEqual((value, value & ~mask), (end, 0))
            end = value + 0x10000 - mask
        self.assertEqual(end, last + 1)
        self.assertEqual(len(list(masks(1024, 65535))), 6)


class FaucetTests(SynchronousTestCase):
    """What Faucet said."""

    def test_recorded(self) -> None:
        """Two requests to delete everything, and rules for seven tables."""
        data, at = FAUCET.read_bytes(), 0
        commands: Counter[int] = Counter()
        tables = set()
        while at < len(data):
            length = header(data, at)[2]
            message = decode(of.OFP13, data[at : at + length])
            at += length
            if isinstance(message, of.FlowMod):
                commands[message.command] += 1
                tables.add(message.table_id)
        self.assertEqual(commands[of.FlowModCommand.ADD], FAUCET_RULES)
        self.assertEqual(tables - {of.ALL_TABLES}, set(range(FAUCET_TABLES)))
