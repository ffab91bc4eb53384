"""Tests of :mod:`drivers.telling`: which packet tells whether a rule is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import ETH_TYPE, IN_PORT, METADATA
from agent.openflow.match import Match
from agent.packet.flowkey import flow_key
from agent.packet.packet import PIPELINE
from drivers.abilities import Probe
from drivers.interfaces import IRule
from drivers.telling import Known, Table, Untold
from drivers.testing import FakeRule
from drivers.testing.fakes import output


def net(value: int, bits: int) -> Match:
    """The first bits of the last byte of an IPv4 address."""
    mask = 0xFF00 >> bits & 0xFF
    return Match.of(eth_type=0x800, ipv4_dst=(0x0A000000 | value & mask, 0xFFFFFF00 | mask))


def outcome(packet: Probe, rule: IRule | None) -> object:
    """Hardware that shows what was done."""
    return None if rule is None else rule.instructions


class TellingCase(SynchronousTestCase):
    """A table."""

    def setUp(self) -> None:
        """It is empty."""
        self.table = Table(0, 1, outcome)

    def there(self, match: Match, priority: int, port: int) -> FakeRule:
        """A rule that is known to be there."""
        rule = FakeRule(match, priority, instructions=output(port))
        known = self.expected(rule, rule)
        self.table.settle(known, (rule,), rule)
        return rule

    def expected(self, rule: IRule, then: IRule | None) -> Known:
        """A rule that is asked for."""
        known = self.table.known(rule)
        self.table.expect(known, then)
        return known

    def added(self, match: Match, priority: int, port: int) -> Known:
        """A new rule that is asked for."""
        rule = FakeRule(match, priority, instructions=output(port))
        return self.expected(rule, rule)


class FindTests(TellingCase):
    """The search."""

    def found(self, known: Known) -> Probe:
        """The packet that was found."""
        packet = self.table.find(known)
        self.assertIsInstance(packet, Probe)
        assert isinstance(packet, Probe)
        return packet

    def test_frame(self) -> None:
        """The packet is a frame whose flow key matches, with the rest of the key beside it."""
        for match in (
            Match.of(),
            Match.of(in_port=3),
            Match.of(eth_type=0x86DD, ip_proto=6, tcp_dst=(0x50, 0xF0)),
            Match.of(eth_type=0x800, ip_proto=17, udp_src=53, metadata=7, tunnel_id=9),
            Match.of(vlan_vid=0x1005, eth_type=0x806, arp_op=1),
            Match.of(eth_type=0x8847, mpls_label=77),
        ):
            self.setUp()
            packet = self.found(self.added(match, 5, 2))
            self.assertTrue(match.matches(packet.key))
            real = flow_key(packet.data, IN_PORT.get(packet.key))
            self.assertEqual(real | packet.key & PIPELINE, packet.key)

    def test_defaults(self) -> None:
        """What a rule does not say is as harmless as it can be."""
        packet = self.found(self.added(Match.of(), 5, 2))
        self.assertEqual((ETH_TYPE.get(packet.key), IN_PORT.get(packet.key)), (0x88B5, 1))

    def test_no_frame(self) -> None:
        """A rule that no frame hits, as far as is known, is told by none."""
        known = self.added(Match.of(eth_type=0x100), 5, 2)
        self.assertIs(self.table.find(known), Untold.UNFOUND)

    def test_around(self) -> None:
        """A higher rule is gone around, and so is one beneath that acts alike."""
        self.there(net(0, 1), 9, 3)
        self.there(net(0xC0, 2), 2, 2)
        packet = self.found(self.added(net(0, 0), 5, 2))
        self.assertTrue(net(0x80, 2).matches(packet.key))

    def test_shadowed(self) -> None:
        """Covered by higher rules together, no packet meets it; nor when it shall go."""
        self.there(net(0, 1), 9, 3)
        self.there(net(0x80, 1), 8, 4)
        known = self.added(net(0, 0), 5, 2)
        self.assertIs(self.table.find(known), Untold.SHADOWED)
        rule = known.now[-1]
        assert rule is not None
        self.table.settle(known, (rule,), rule)
        self.assertIs(self.table.find(self.expected(rule, None)), Untold.SHADOWED)

    def test_same(self) -> None:
        """What acts like the rule beneath cannot be told, coming or going; nor a change that
        changes nothing."""
        self.there(net(0, 0), 2, 2)
        rule = FakeRule(net(0, 1), 5, instructions=output(2))
        known = self.expected(rule, rule)
        self.assertIs(self.table.find(known), Untold.SAME)
        self.table.settle(known, (rule,), rule)
        self.assertIs(self.table.find(self.expected(rule, rule.modified(output(2)))), Untold.SAME)
        known.now = (rule,)
        self.assertIs(self.table.find(self.expected(rule, None)), Untold.SAME)

    def test_between(self) -> None:
        """What acts like one beneath can be told where another is known to lie between."""
        self.there(net(0, 0), 1, 2)
        between = self.there(net(0, 1), 2, 3)
        known = self.added(net(0, 2), 5, 2)
        packet = self.found(known)
        then = known.then
        assert then is not None
        self.assertTrue(self.table.told(known, packet, then.instructions))
        # Once that one is about to go, not any more.
        self.expected(between, None)
        self.assertFalse(self.table.told(known, packet, then.instructions))
        self.assertIs(self.table.find(known), Untold.ENTANGLED)

    def test_entangled(self) -> None:
        """Two that act alike, both in flight: neither is told while it may be the other."""
        lower = self.added(net(0, 0), 3, 2)
        higher = self.added(net(0, 0), 5, 2)
        self.assertIs(self.table.find(lower), Untold.ENTANGLED)
        self.assertIs(self.table.find(higher), Untold.ENTANGLED)
        assert lower.then is not None
        self.table.settle(lower, (lower.then,), lower.then)
        self.assertIs(self.table.find(higher), Untold.SAME)

    def test_delete(self) -> None:
        """What is deleted is gone when it is not met, whatever is beneath by then."""
        self.there(net(0, 0), 1, 4)
        rule = self.there(net(0, 1), 5, 2)
        known = self.expected(rule, None)
        packet = self.found(known)
        self.assertFalse(self.table.told(known, packet, rule.instructions))
        self.assertTrue(self.table.told(known, packet, output(4)))
        self.added(net(0, 2), 3, 5)
        self.assertTrue(self.table.told(known, packet, None))

    def test_metadata(self) -> None:
        """A higher rule can be left by a field that is no part of a frame."""
        self.there(Match.of(metadata=(1, 1)), 9, 3)
        packet = self.found(self.added(Match.of(eth_type=0x806), 5, 2))
        self.assertEqual(METADATA.get(packet.key) & 1, 0)

    def test_within(self) -> None:
        """What acts like the one beneath can be told where something smaller lies between."""
        self.there(net(0, 0), 1, 2)
        self.there(net(0x20, 3), 2, 3)
        packet = self.found(self.added(net(0, 0), 5, 2))
        self.assertTrue(net(0x20, 3).matches(packet.key))

    def test_equal_priority(self) -> None:
        """Of rules of one priority that overlap either may be met: where only they can be, nothing
        can be told, nor is it proven that there is nothing to tell."""
        self.there(net(0, 0), 5, 3)
        self.assertIs(self.table.find(self.added(net(0, 1), 5, 2)), Untold.ENTANGLED)

    def test_alike(self) -> None:
        """Two in flight that act like what is known to be beneath both need not wait."""
        self.there(net(0, 0), 1, 2)
        for priority in (5, 9):
            self.added(net(0, 1), priority, 2)
        for known in list(self.table.entries):
            self.assertIs(self.table.find(known), Untold.SAME)

    def test_beside(self) -> None:
        """What an entry shares with others is told by packets that shall meet one of the two; those
        of the nearest priorities come first, and what a third one takes away is left out."""
        self.there(net(0, 2), 9, 3)
        self.there(net(0x80, 1), 4, 4)
        self.there(net(0, 3), 7, 5)
        known = self.added(net(0, 0), 5, 2)
        packets = self.table.beside(known, 9)
        self.assertEqual(
            [self.table.right(packet) for packet in packets], [{output(2)}, {output(3)}]
        )
        self.assertTrue(net(0x80, 1).matches(packets[0].key))
        self.assertTrue(net(0, 2).matches(packets[1].key))
        self.assertEqual(self.table.beside(known, 1), packets[:1])
        self.there(net(0x80, 1), 10, 6)
        self.assertEqual(len(self.table.beside(known, 9)), 2)

    def test_bounded(self) -> None:
        """The search comes to an end where it finds nothing soon, and proves nothing then."""
        for bit in range(32):
            self.there(Match.of(eth_type=0x800, ipv4_dst=(1 << bit, 1 << bit)), 9, 3)
            self.there(Match.of(eth_type=0x800, ipv4_src=(0, 1 << bit)), 9, 3)
            self.there(Match.of(eth_type=0x800, ip_proto=6, tcp_src=(bit, 31)), 9, 3)
        known = self.added(Match.of(eth_type=0x800, ip_proto=6), 5, 2)
        self.assertIn(self.table.find(known), (Untold.UNFOUND, Untold.SHADOWED))


RULES = st.tuples(st.integers(0, 7), st.integers(0, 3), st.integers(1, 9), st.integers(1, 3))


class SearchTests(TellingCase):
    """The search against trying everything."""

    @given(st.lists(RULES, max_size=12), RULES)
    def test_all(
        self, rules: list[tuple[int, int, int, int]], one: tuple[int, int, int, int]
    ) -> None:
        """Among known rules a packet is found just when there is one that what becomes of it tells
        whether the rule is there; it is such a one; and otherwise the reason is right."""
        table = self.table = Table(0, 1, outcome)
        value, bits, priority, port = one
        rule = FakeRule(net(value << 5, bits), priority, instructions=output(port))
        others = {}
        for value, bits, level, port in rules:
            match = net(value << 5, bits)
            if level != priority:
                others[match, level] = FakeRule(match, level, instructions=output(port))
        for other in others.values():
            table.settle(self.expected(other, other), (other,), other)

        def met(key: int, *more: FakeRule) -> object:
            hit = [each for each in (*others.values(), *more) if each.match.matches(key)]
            return outcome_of(max(hit, key=lambda each: each.priority)) if hit else None

        def outcome_of(found: FakeRule) -> object:
            return found.priority, found.instructions

        def shown(found: object) -> object:
            return found[1] if isinstance(found, tuple) else None

        # Rules of one priority that overlap may be met in any order.
        levels = sorted(others.values(), key=lambda each: each.priority)
        if any(
            a.priority == b.priority and a.match.overlaps(b.match) and a is not b
            for a in levels
            for b in levels
        ):
            return
        points = [
            net(n << 5, 3).value for n in range(8) if rule.match.matches(net(n << 5, 3).value)
        ]
        telling = [key for key in points if shown(met(key)) != shown(met(key, rule))]
        meeting = [key for key in points if met(key, rule) == outcome_of(rule)]
        found = table.find(self.expected(rule, rule))
        if isinstance(found, Probe):
            self.assertNotEqual(shown(met(found.key)), shown(met(found.key, rule)))
        else:
            self.assertEqual(telling, [])
            self.assertIs(found, Untold.SAME if meeting else Untold.SHADOWED)

    @given(
        st.lists(
            st.tuples(RULES, st.sampled_from(["add", "delete", "seen", "refused"])), max_size=9
        )
    )
    def test_not_searched_again(self, steps: list[tuple[tuple[int, int, int, int], str]]) -> None:
        """Whatever happens between two searches, each finds what it would if it were the first."""
        self.table = Table(0, 1, outcome)
        for (value, bits, priority, port), step in steps:
            rule = FakeRule(net(value << 5, bits), priority, instructions=output(port))
            known = self.table.known(rule)
            before = known.now
            if step == "seen":
                self.table.settle(known, (known.then,), known.then)
            else:
                self.table.expect(known, None if step == "delete" else rule)
            if step == "refused":
                self.table.settle(known, before, before[0])
            anew = Table(0, 1, outcome)
            for each in self.table.entries:
                anew.entries.put(each)
            for each in self.table.entries:
                found, first = self.table.find(each), anew.find(each)
                if isinstance(first, Untold):
                    self.assertIs(found, first)
                else:
                    self.assertIsInstance(found, Probe)
