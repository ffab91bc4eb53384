"""Filters of rules that differ only in a few values, packed at once.

Most rules of a switch are of few kinds: the same fields matched, the same actions, and other
addresses and ports.  A :class:`Template` is the request for the filter of such a rule with holes in
it, which are filled at once: with the sequence number, the handle, the cookie, and pieces of the
rule's flow key, for in a flow key a field is bytes in the order of the network, as in a request.

A template is made of a rule that was translated; of translation it knows only which keys are copies
of which fields (:data:`COPIED`).  It is for rules whose actions do not depend on those values
(:func:`plain`).

Performance-critical: :meth:`Template.pack` is run for each such rule.

``tests/drivers/tcflower/test_template.py`` compares it with what is packed without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import itemgetter
from struct import Struct
from typing import Final

import attrs

from agent.openflow import fields as f
from agent.openflow.actions import (
    ApplyActions,
    ClearActions,
    DecNwTtl,
    Enqueue,
    GotoTable,
    Instructions,
    Output,
    PopVlan,
    PushVlan,
    SetField,
    SetNwTtl,
    SetQueue,
)
from agent.openflow.fields import KEY_BITS, Field
from agent.openflow.match import Match
from drivers.interfaces import IRule
from drivers.tcflower import pack
from drivers.tcflower.changes import ADDING, Block
from drivers.tcflower.dump import attributes
from drivers.tcflower.entries import uncounted
from drivers.tcflower.filters import KEYS, MAX_COOKIE, Filter, FilterFlags, Key
from drivers.tcflower.found import marked
from drivers.tcflower.translate import Translation

COPIED: Final[dict[str, Field]] = {
    "eth_dst": f.ETH_DST,
    "eth_src": f.ETH_SRC,
    "ipv4_src": f.IPV4_SRC,
    "ipv4_dst": f.IPV4_DST,
    "arp_sip": f.ARP_SPA,
    "arp_tip": f.ARP_TPA,
    "ipv6_src": f.IPV6_SRC,
    "ipv6_dst": f.IPV6_DST,
    "tcp_src": f.TCP_SRC,
    "tcp_dst": f.TCP_DST,
    "udp_src": f.UDP_SRC,
    "udp_dst": f.UDP_DST,
    "sctp_src": f.SCTP_SRC,
    "sctp_dst": f.SCTP_DST,
}
"""The keys whose values are those of a field, and nothing else depends on them."""
OPEN: Final = reduce(int.__or__, (field.mask for field in COPIED.values()))
"""The bits of a flow key that a template may leave open."""
KEPT: Final = ~OPEN
INDEPENDENT: Final = (Output, Enqueue, SetQueue, PushVlan, PopVlan, SetNwTtl, DecNwTtl)
"""The actions that depend at most on what is never open."""
KEY_BYTES: Final = KEY_BITS // 8
MAX_TEMPLATES: Final = 4096
"""How many kinds of rules are remembered."""
_SEQUENCE: Final = 8
_HANDLE: Final = 24
_numbers: Final = Struct("=II").pack


def plain(rule: IRule) -> bool:
    """Whether what a rule does cannot depend on the values that it leaves open.

    What is done to set a field depends on what kind of packet it is, which is never open, and on
    what the field was before, which is known only where it is matched.
    """
    left_open = rule.match.mask & OPEN
    return all(
        isinstance(instruction, GotoTable | ClearActions)
        or (
            isinstance(instruction, ApplyActions)
            and all(
                isinstance(action, INDEPENDENT)
                or (isinstance(action, SetField) and not action.field.mask & left_open)
                for action in instruction.actions
            )
        )
        for instruction in rule.instructions
    )


class Template:
    """The request for one filter, with holes.

    :ivar place: the chain and the pref of its filters.
    :ivar uncounted: bytes of each packet that its filters do not count.
    :ivar mark: what their cookies begin with, up to the number of the rule.
    """

    def __init__(self, model: Filter, block: int) -> None:
        """Make it of the filter of one rule, with a cookie of 16 bytes.

        :raises ValueError: when the filter has no such cookie.
        """
        if len(model.cookie) != MAX_COOKIE:
            raise ValueError("a template needs the room of a cookie")
        self.place = model.chain, model.pref
        self.mark = model.cookie[:-6]
        self.uncounted = uncounted(model.keys)
        self._model = model
        self._names = [key.name for key in model.keys if key.name in COPIED]
        request = pack.new_filter(model, block, ADDING, 0)
        holes = sorted(self._holes(request))
        form = b""
        at = 0
        for start, end, _ in holes:
            form += request[at:start].replace(b"%", b"%%") + b"%b"
            at = end
        self._form = form + request[at:].replace(b"%", b"%%")
        self._pieces = itemgetter(*(piece for _, _, piece in holes))

    def _holes(self, request: bytes) -> Iterator[tuple[int, int, slice]]:
        """Where something is put: from where to where, and which piece of :meth:`pack`'s data."""
        yield _SEQUENCE, _SEQUENCE + 4, slice(KEY_BYTES, KEY_BYTES + 4)
        yield _HANDLE, _HANDLE + 4, slice(KEY_BYTES + 4, KEY_BYTES + 8)
        top = {number: span for number, *span in attributes(request, pack.FIRST, len(request))}
        flower = {number: span for number, *span in attributes(request, *top[pack.OPTIONS])}
        for name in self._names:
            start, end = flower[KEYS[name].attr]
            last = KEY_BYTES - COPIED[name].shift // 8
            yield start, end, slice(last - KEYS[name].size, last)
        first = {n: span for n, *span in attributes(request, *flower[pack.FLOWER_ACT])}[1]
        action = {number: span for number, *span in attributes(request, *first)}
        start, end = action[pack.ACT_COOKIE]
        yield start, end, slice(KEY_BYTES + 8, KEY_BYTES + 8 + MAX_COOKIE)

    def fits(self, mask: int) -> bool:
        """Whether all that such a mask leaves open is put somewhere."""
        put = reduce(int.__or__, (COPIED[name].mask for name in self._names), 0)
        return not mask & OPEN & ~put

    def pack(self, sequence: int, handle: int, cookie: bytes, value: int) -> bytes:
        """The request for the filter of a rule.

        :param value: of its match.
        """
        data = value.to_bytes(KEY_BYTES, "big") + _numbers(sequence, handle) + cookie
        filled: bytes = self._form % self._pieces(data)
        return filled

    def filter(self, handle: int, cookie: bytes, match: Match) -> Filter:
        """The filter itself."""
        keys = tuple(
            Key(key.name, match.get(COPIED[key.name])[0], key.mask) if key.name in COPIED else key
            for key in self._model.keys
        )
        return attrs.evolve(self._model, handle=handle, cookie=cookie, keys=keys)


class Templates:
    """The templates of the rules that were translated, as long as the view is the same."""

    def __init__(self, block: Block, flags: FilterFlags) -> None:
        """Begin without any.

        :param flags: of all filters.
        """
        self._block = block
        self._flags = flags
        self._known: dict[tuple[int, ...], tuple[Template, Translation]] = {}
        # What is in a key by its identity is kept, so that this stays its own.
        self._kept: dict[int, Instructions] = {}

    def find(self, rule: IRule) -> tuple[Template, Translation] | None:
        """The template for rules like this, and what that rule was which it was made of."""
        return self._known.get(_shape(rule))

    def learn(self, rule: IRule, wanted: Translation) -> None:
        """Take down how a rule was done, for those that are alike."""
        if len(wanted.where) != 1 or wanted.tail or not plain(rule):
            return
        (one,) = wanted.filters()
        model = attrs.evolve(one, flags=self._flags, cookie=marked(self._block.cookie(0), one))
        template = Template(model, self._block.number)
        if template.fits(rule.match.mask):
            if len(self._known) >= MAX_TEMPLATES:
                self.clear()
            self._known[_shape(rule)] = template, wanted
            self._kept[id(rule.instructions)] = rule.instructions

    def clear(self) -> None:
        """What was translated with another view holds no more."""
        self._known.clear()
        self._kept.clear()


def _shape(rule: IRule) -> tuple[int, ...]:
    """What rules have in common that one template is for.

    Equal instructions are mostly one object; where they are not, there is another template.
    """
    match = rule.match
    return (
        rule.table_id,
        rule.priority,
        match.mask,
        match.value & KEPT,
        id(rule.instructions),
    )
