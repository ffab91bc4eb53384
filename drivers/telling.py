"""Which packet tells whether a rule is in the hardware.

A packet tells it when what becomes of it, where the rule is as it shall be, is nothing that could
become of it otherwise.  To know what could, one has to know what may be in the hardware: after an
ADD that nobody has seen the rule or nothing, after a MODIFY the old rule or the new one, after a
DELETE the rule or nothing.  :class:`Table` keeps that for each match and priority.  What was seen
narrows it down, so that nothing is ever concluded from what the hardware only says of itself.

To find such a packet is to find a point in the rule's match that no higher rule covers and where
what lies beneath acts otherwise.  The search begins with some point.  Where an entry there is in
the way, the rest of the match is parted by the bits in which that one can be left (as in the
subtraction of header spaces), and the search goes on in each part: it finds a point if there is
one, or shows that there is none.  The number of points it tries is bounded.  Each of them is the
flow key of a frame that was composed for it.

Header spaces: Kazemian, Varghese and McKeown, NSDI 2012.  That every entry in flight is as likely
there as not, and which packets then still tell something: Kuzniar et al., RUM, CoNEXT 2014.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable
from typing import Final

import attrs

from agent.openflow.fields import (
    ARP_SHA,
    ARP_THA,
    ETH_DST,
    ETH_SRC,
    ETH_TYPE,
    IN_PORT,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    TCP_DST,
    TCP_SRC,
)
from agent.openflow.match import Match
from agent.packet.classifier import Classifier
from agent.packet.compose import compose
from agent.packet.flowkey import flow_key
from agent.packet.packet import PIPELINE
from drivers.abilities import Probe
from drivers.interfaces import IRule

MAX_SURE_POINTS: Final = 16
"""How many points are tried in search of one where nothing at all acts like the rule."""
MAX_POINTS: Final = 128
"""How many points are tried in search of one where it is enough that what is known lies between."""

ETH_TYPE_EXPERIMENTAL: Final = 0x88B5
"""The type of frames for rules that do not say which: "local experimental" (IEEE 802)."""

# Where an entry is left: in fields where any value makes a sensible packet, if it has any of them.
_FREE: Final = (IPV4_DST, IPV4_SRC, IPV6_DST, IPV6_SRC, TCP_DST, TCP_SRC, ETH_DST, ETH_SRC,
                ARP_SHA, ARP_THA)  # fmt: skip

Outcome = Callable[[Probe, IRule | None], Hashable]
"""See :meth:`drivers.abilities.IProbe.outcome`."""


class Untold(enum.Enum):
    """Why there is no packet that tells.

    SHADOWED and SAME are proven: no packet meets the rule, or none is treated in another way where
    it is missing, so that there is nothing to tell.  ENTANGLED ones have to wait for others of
    which it is not known either what is there.
    """

    SHADOWED = "shadowed"
    SAME = "same as beneath"
    ENTANGLED = "entangled"
    UNFOUND = "no packet found"


class Known:
    """What is known of one match and priority.

    :ivar now: what may be in the hardware: rules, and None for nothing.
    :ivar then: what will be there when all is done that was asked for.
    """

    __slots__ = ("match", "now", "priority", "then")

    def __init__(self, match: Match, priority: int) -> None:
        self.match = match
        self.priority = priority
        self.now: tuple[IRule | None, ...] = (None,)
        self.then: IRule | None = None

    @property
    def sure(self) -> bool:
        """Whether it is known what is there."""
        return len(self.now) == 1

    @property
    def indifferent(self) -> bool:
        """Whether whatever may be there does what the rule does that shall be there."""
        then = self.then
        return all(
            rule is then
            or (rule is not None and then is not None and rule.instructions == then.instructions)
            for rule in self.now
        )


@attrs.frozen
class Telling:
    """A packet that tells.

    :ivar expected: what will become of it.
    :ivar wrong: all that may become of it as long as the rule is not as it shall be.
    """

    expected: Hashable
    wrong: frozenset[Hashable]


@attrs.frozen
class Blocked:
    """A packet that does not.

    :ivar by: the entry in whose match that is so; None: it is not another's doing.
    :ivar settled: whether that entry is there for sure, and keeps from it what else may be there.
    """

    by: Known | None
    settled: bool


class Table:
    """What may be in one table of the hardware.

    :ivar entries: what is known, but for what is known not to be there.
    """

    def __init__(self, table_id: int, in_port: int, outcome: Outcome) -> None:
        """An empty table.

        :param in_port: where packets come in that may come in anywhere.
        """
        self.entries: Classifier[Known] = Classifier()
        self._table_id = table_id
        self._in_port = in_port
        self._outcome = outcome
        self._entangled: set[Known] = set()

    def known(self, rule: IRule) -> Known:
        """What is known of a rule's match and priority."""
        known = self.entries.find(rule.match, rule.priority)
        if known is None:
            known = Known(rule.match, rule.priority)
            self.entries.put(known)
        return known

    def expect(self, known: Known, then: IRule | None) -> None:
        """The hardware is asked for something, and may do it at any time from now on.

        :param then: what shall be there; None: nothing.
        """
        if then not in known.now:
            known.now = (*known.now, then)
        known.then = then
        self._changed(known)

    def settle(self, known: Known, there: Iterable[IRule | None], then: IRule | None) -> None:
        """From now on it is known that this, or one of these, is there."""
        known.now, known.then = tuple(there), then
        if known.now == (None,) and then is None:
            self.entries.remove(known.match, known.priority)
        self._changed(known)

    def lose(self) -> list[Known]:
        """From now on anything may be missing; returns what is not known for sure any more."""
        for known in self.entries:
            if None not in known.now:
                known.now = (*known.now, None)
        self._entangled.clear()
        return [known for known in self.entries if not known.sure]

    def _changed(self, known: Known) -> None:
        """What was entangled, and overlaps with this, may be told by a packet now."""
        match = known.match
        self._entangled = {each for each in self._entangled if not each.match.overlaps(match)}

    def judge(self, known: Known, packet: Probe, strict: bool = False) -> Telling | Blocked:
        """What a packet can tell of an entry, as things are.

        :param strict: whether nothing else that it matches may act like the rule, although there is
            something in between.
        """
        outcome = self._outcome
        others = [other for other in self.entries.matching(packet.key) if other is not known]
        others.sort(key=_by_priority)
        shows: list[tuple[Known | None, Hashable]] = []
        beneath = []
        for other in others:
            if other.priority < known.priority:
                beneath.append(other)
            elif other.then is not None:
                # Which of two that are equal is met nobody knows.
                return Blocked(other, other.sure and other.priority > known.priority)
            else:
                shows += [(other, outcome(packet, rule)) for rule in other.now if rule is not None]
        if known.then is None:
            under = next((other for other in beneath if other.then is not None), None)
            expected = outcome(packet, under.then if under is not None else None)
            shows += [(under, outcome(packet, rule)) for rule in known.now if rule is not None]
        else:
            expected = outcome(packet, known.then)
            wrong = [rule for rule in known.now if rule is not known.then]
            shows += [(None, outcome(packet, rule)) for rule in wrong if rule is not None]
            if strict or None in wrong:
                for other in beneath:
                    rules = [rule for rule in other.now if rule is not None]
                    shows += [(other, outcome(packet, rule)) for rule in rules]
                    if len(rules) == len(other.now) and not strict:
                        break
                else:
                    shows.append((None, outcome(packet, None)))
        for culprit, shown in shows:
            if shown == expected:
                same = all(other == expected for _, other in shows)
                return Blocked(culprit, same and culprit is not None and culprit.sure)
        return Telling(expected, frozenset(shown for _, shown in shows))

    def told(self, known: Known, packet: Probe, seen: Hashable) -> bool:
        """Whether what was seen of a packet shows that an entry is as it shall be."""
        found = self.judge(known, packet)
        if isinstance(found, Blocked):
            return False
        # Of what shall go it is enough that it is not met: what lies beneath may be on its way.
        return seen == found.expected if known.then is not None else seen not in found.wrong

    def beside(self, known: Known, count: int) -> list[Probe]:
        """Packets that an entry shares with others, each of which may be met in its place.

        :param count: of how many others, at most; those of the nearest priorities.
        """
        others = [
            other
            for other in self.entries.overlapping(known.match)
            if other is not known and other.then is not None and other.priority != known.priority
        ]
        others.sort(key=lambda other: abs(other.priority - known.priority))
        found = (self._shared(known, other) for other in others[:count])
        return [packet for packet in found if packet is not None]

    def _shared(self, one: Known, other: Known) -> Probe | None:
        """A packet that shall meet one of two entries, and would meet the other but for that."""
        parts = [(one.match.mask | other.match.mask, one.match.value | other.match.value)]
        for _ in range(MAX_SURE_POINTS):
            if not parts:
                break
            mask, value = parts.pop()
            packet = self._packet(mask, value)
            if packet is None:
                continue
            above = [
                entry
                for entry in self.entries.matching(packet.key)
                if entry is not one
                and entry is not other
                and entry.then is not None
                and entry.priority >= min(one.priority, other.priority)
            ]
            if not above:
                return packet
            parts += reversed(_outside(mask, value, above[0].match))
        return None

    def right(self, packet: Probe) -> frozenset[Hashable]:
        """What shall become of a packet: more than one where rules of one priority overlap."""
        entries = [each for each in self.entries.matching(packet.key) if each.then is not None]
        top = max((entry.priority for entry in entries), default=-1)
        rules = [entry.then for entry in entries if entry.priority == top] or [None]
        return frozenset(self._outcome(packet, rule) for rule in rules)

    def find(self, known: Known) -> Probe | Untold:
        """A packet that tells whether an entry is as it shall be.

        What it depends on is only what may be there that overlaps with the entry.  So it is not
        searched again while that is the same.
        """
        if known in self._entangled:
            return Untold.ENTANGLED
        if known.indifferent:
            return Untold.SAME
        found = self._search(known, True, MAX_SURE_POINTS)
        if not isinstance(found, Probe):
            found = self._search(known, False, MAX_POINTS)
        if found is Untold.ENTANGLED:
            if self._uniform(known.match):
                return Untold.SAME
            self._entangled.add(known)
        return found

    def _uniform(self, match: Match) -> bool:
        """Whether all packets of a match are treated alike, whatever is there of what may be."""
        entries = list(self.entries.overlapping(match))
        ground = [entry for entry in entries if entry.match.covers(match) and None not in entry.now]
        if not ground:
            return False
        lowest = max(entry.priority for entry in ground)
        rules = [rule for entry in entries if entry.priority >= lowest for rule in entry.now]
        done = [rule.instructions for rule in rules if rule is not None]
        return all(instructions == done[0] for instructions in done)

    def _search(self, known: Known, strict: bool, points: int) -> Probe | Untold:
        parts = [(known.match.mask, known.match.value)]
        settled = whole = shadowed = True
        while parts:
            if not points:
                return Untold.UNFOUND
            points -= 1
            mask, value = parts.pop()
            packet = self._packet(mask, value)
            if packet is None:
                whole = False
                continue
            found = self.judge(known, packet, strict)
            if isinstance(found, Telling):
                return packet
            settled = settled and found.settled
            by = found.by
            if by is None:
                whole = False
                continue
            others = []
            if by.priority < known.priority:
                shadowed = False
                # What lies between may act otherwise.
                others += self._between(by, known, mask, value)
            others += _outside(mask, value, by.match)
            parts += reversed(others)
        if not settled:
            return Untold.ENTANGLED
        if not whole:
            return Untold.UNFOUND
        return Untold.SHADOWED if shadowed else Untold.SAME

    def _between(self, low: Known, high: Known, mask: int, value: int) -> list[tuple[int, int]]:
        """The parts of a part that other entries share with it, if not all of it."""
        return [
            (mask | entry.match.mask, value | entry.match.value)
            for entry in self.entries.overlapping(Match(mask, value))
            if low.priority < entry.priority < high.priority and entry.match.mask & ~mask
        ]

    def _packet(self, mask: int, value: int) -> Probe | None:
        """A packet with these bits; None: it would take more than this to make one."""
        key, chosen = value, mask
        for field, usual in ((IN_PORT, self._in_port), (ETH_TYPE, ETH_TYPE_EXPERIMENTAL)):
            key |= usual << field.shift & ~mask
            chosen |= field.mask
        data = compose(Match(chosen, key))
        real = flow_key(data, IN_PORT.get(key)) | key & PIPELINE
        return Probe(self._table_id, data, real) if real & mask == value else None


def _by_priority(known: Known) -> int:
    return -known.priority


def _outside(mask: int, value: int, match: Match) -> list[tuple[int, int]]:
    """What a match leaves of a part of another, in parts; those first that had better be taken."""
    parts = []
    for bit in _ways_out(match.mask & ~mask):
        parts.append((mask | bit, value | (match.value & bit ^ bit)))
        mask |= bit
        value |= match.value & bit
    return parts


def _ways_out(mask: int) -> list[int]:
    """The bits of a mask, those first that had better be changed."""
    bits = []
    for part in (*(field.mask for field in _FREE), -1):
        here = mask & part
        mask &= ~part
        while here:
            bit = 1 << here.bit_length() - 1
            bits.append(bit)
            here ^= bit
    return bits
