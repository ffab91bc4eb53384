"""Rules of OpenFlow as filters of flower.

:func:`translate` says what the filters of a rule are, or why there can be none: it raises the error
that OpenFlow has for it.  Or it falls back: the software executes the rule, and its filters hand it
every packet that the rule could be hit by.  As these stand where the rule would, no packet comes to
a lower rule that a higher one in the software would have taken; the software looks it up in the
same table once more, for the filters may be wider than the match.

It is a function: nothing here is remembered, read or sent.  What it depends on besides the rule
is in the :class:`~drivers.tcflower.view.View`, and the :class:`Translation` says which parts of it.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Final

import attrs

from agent.openflow.actions import ApplyActions, GotoTable, SetField
from agent.openflow.errors import BAD_FIELD, TOO_MANY, OpenFlowError
from agent.openflow.fields import IN_PORT
from agent.packet.protocols import VLAN_HEADER_LEN
from drivers.abilities import SoftwareReason
from drivers.interfaces import IRule
from drivers.tcflower.actions import Gact, TcAction, goto_chain
from drivers.tcflower.credits import Credits
from drivers.tcflower.facts import Facts, Split, ToSoftware
from drivers.tcflower.filters import Filter, Filters
from drivers.tcflower.keys import TUNNEL, Where, keys_of, needs_tag
from drivers.tcflower.perform import Uses, perform
from drivers.tcflower.places import MAX_PRIORITY, place
from drivers.tcflower.tails import Case, Tail
from drivers.tcflower.view import View, dropped

MAX_CASES: Final = 512
"""How many kinds of packets a rule may have to tell apart."""
HIDDEN: Final = SoftwareReason("the agent's own", "the agent's own rules are not for the kernel")
_KEPT: Final = SoftwareReason(
    "tunnel fields kept", "tunnel fields go to another table, and no port is a tunnel's"
)
_OF_TUNNELS: Final = reduce(or_, (field.mask for field in TUNNEL))
_OF_PORTS: Final = IN_PORT.mask | _OF_TUNNELS
"""The bits of a match that make it depend on which ports there are, and of what kind."""


@attrs.frozen
class Translation:
    """What a rule is in the kernel.

    :ivar chain: where its filters are; ``pref`` likewise.
    :ivar where: what they compare, each of them; none: no packet in the kernel is matched, now.
    :ivar actions: what they do; empty: they go to the chain of :attr:`tail`.
    :ivar meter: what they do before that.
    :ivar tail: where the rule ends, if it has to tell packets apart, or to count behind a meter.
    :ivar credits: what its filters count for besides the rule, if it has no tail.
    :ivar upcall: whether every packet is handed to the software, which counts it then.
    :ivar reason: why, if so.
    :ivar lacked: the same reason, if it is that the kernel has not what another translation needs.
    :ivar ports: whether the rule has to be translated again when a port changes.
    :ivar groups: the groups that matter likewise.
    :ivar meters: the meters that matter likewise.
    """

    chain: int
    pref: int
    where: tuple[Where, ...]
    actions: tuple[TcAction, ...] = ()
    meter: tuple[TcAction, ...] = ()
    tail: Tail = ()
    credits: Credits = ()
    upcall: bool = False
    reason: SoftwareReason | None = None
    lacked: SoftwareReason | None = None
    ports: bool = False
    groups: frozenset[int] = frozenset()
    meters: frozenset[int] = frozenset()

    def filters(self, tail_chain: int = 0) -> Filters:
        """The filters of the rule itself; of each packet that it takes one counts it.

        :param tail_chain: the chain of :attr:`tail`, if it has one.
        """
        actions = self.actions or (*self.meter, Gact(goto_chain(tail_chain)))
        return tuple(
            Filter(self.chain, self.pref, actions, where.indev, where.keys) for where in self.where
        )


@attrs.frozen
class _Leaf:
    """Packets of which enough is known.

    :ivar reason: why the software has to do it; None: it has not.
    :ivar meter: what comes before :attr:`actions`.
    :ivar credits: what these stand for.
    """

    facts: Facts
    actions: tuple[TcAction, ...]
    reason: SoftwareReason | None = None
    meter: tuple[TcAction, ...] = ()
    credits: Credits = ()

    @property
    def does(self) -> tuple[object, ...]:
        """What is done, and for whom it is counted."""
        return self.meter, self.actions, self.credits


def translate(rule: IRule, view: View, fallback: bool = False) -> Translation:
    """The filters of a rule.

    :param fallback: whether the software executes what flower and tc cannot do.
    :raises OpenFlowError: otherwise BAD_MATCH, BAD_ACTION or BAD_INSTRUCTION, with the code for it;
        and where the software cannot do it either.
    """
    uses = Uses()
    if rule.priority > MAX_PRIORITY:
        return fall_back(rule, view, HIDDEN, uses)
    if fallback and _keeps_tunnel(rule):
        uses.ports = True
        if not view.tunnels:
            # What looks at them may be in software, which packets come to without them.
            return fall_back(rule, view, _KEPT, uses)
    try:
        return _in_kernel(rule, view, uses)
    except OpenFlowError as error:
        if not fallback:
            raise
        return fall_back(rule, view, SoftwareReason(error.code.name, error.text), uses)


def _in_kernel(rule: IRule, view: View, uses: Uses) -> Translation:
    """The filters of a rule, where there are any; raises as :func:`translate` does."""
    where = keys_of(rule.match, view.devices, view.tpids)
    leaves = _leaves(rule, view, uses)
    chain, pref = place(rule.table_id, rule.priority)
    made = Translation(
        chain,
        pref,
        where,
        ports=uses.ports or bool(rule.match.mask & _OF_PORTS),
        groups=frozenset(uses.groups),
        meters=frozenset(uses.meters),
    )
    if len(leaves) == 1:
        reason = leaves[0].reason
        if reason is not None:
            _need_visible(rule, view)
            actions = view.upcall(rule.table_id, False, rule.match)
            return attrs.evolve(made, actions=actions, upcall=True, reason=reason)
    meter = leaves[0].meter
    behind = bool(meter) and any(leaf.credits for leaf in leaves)
    if len(leaves) == 1 and not behind:
        (leaf,) = leaves
        return attrs.evolve(made, actions=meter + leaf.actions, credits=leaf.credits)
    if not behind or any(leaf.meter != meter for leaf in leaves):
        leaves = [attrs.evolve(leaf, actions=leaf.meter + leaf.actions) for leaf in leaves]
        meter = ()
    tagged = bool(where) and all(needs_tag(one.keys) for one in where)
    tail = tuple(_case(leaf, view, tagged) for leaf in leaves)
    return attrs.evolve(made, meter=meter, tail=tail)


def _case(leaf: _Leaf, view: View, tagged: bool) -> Case:
    """A case of a tail.

    :param tagged: whether only packets with a VLAN tag come there: the kernel counts no tag.
    """
    where = _asked(leaf.facts, view)
    beside = VLAN_HEADER_LEN if tagged and not all(needs_tag(one.keys) for one in where) else 0
    credited = (credit._replace(growth=credit.growth + beside) for credit in leaf.credits)
    return where, leaf.actions, tuple(credited)


def _asked(facts: Facts, view: View) -> tuple[Where, ...]:
    """What is compared in a tail to tell these packets from others of the rule."""
    return keys_of(facts.asked, view.devices, view.tpids, tpid=facts.tpid, deep=facts.deep)


def fall_back(rule: IRule, view: View, reason: SoftwareReason, uses: Uses) -> Translation:
    """The filters of a rule that the software executes.

    :param reason: why the kernel does not.
    :param uses: what has to change for the kernel to do it, perhaps.
    :raises OpenFlowError: BAD_MATCH/BAD_FIELD, when the software could not tell the packets.
    """
    _need_visible(rule, view)
    chain, pref = place(rule.table_id, rule.priority)
    return Translation(
        chain,
        pref,
        keys_of(rule.match, view.devices, view.tpids, wide=True, tunnels=view.tunnels),
        view.upcall(rule.table_id, False, rule.match),
        upcall=True,
        reason=reason,
        ports=uses.ports or bool(rule.match.mask & _OF_PORTS),
        groups=frozenset(uses.groups),
        meters=frozenset(uses.meters),
    )


def in_software(
    rule: IRule, wanted: Translation, view: View, reason: SoftwareReason
) -> Translation:
    """The filters of a rule that the software executes because the kernel has refused others.

    :param wanted: those.
    :raises OpenFlowError: as :func:`fall_back` does.
    """
    uses = Uses(wanted.ports, set(wanted.groups), set(wanted.meters))
    return attrs.evolve(fall_back(rule, view, reason, uses), lacked=reason)


def _keeps_tunnel(rule: IRule) -> bool:
    """Whether it sets what :data:`TUNNEL` names for another table."""
    instructions = rule.instructions
    return any(isinstance(instruction, GotoTable) for instruction in instructions) and any(
        isinstance(action, SetField) and action.field in TUNNEL
        for instruction in instructions
        if isinstance(instruction, ApplyActions)
        for action in instruction.actions
    )


def _visible(rule: IRule, view: View) -> bool:
    """Whether nothing is matched that packets lose on their way to the software."""
    match = rule.match
    exact = [match.value_of(field) for field in TUNNEL if match.mask & field.mask]
    # Linux has 32 bits of the number of a tunnel.
    return not view.tunnels or all(value is not None and not value >> 32 for value in exact)


def _need_visible(rule: IRule, view: View) -> None:
    """See that the software would hit a rule.

    :raises OpenFlowError: BAD_MATCH/BAD_FIELD.
    """
    if not _visible(rule, view):
        raise OpenFlowError(
            BAD_FIELD, "of tunnels, the software knows only what is matched exactly"
        )


def _leaves(rule: IRule, view: View, uses: Uses) -> list[_Leaf]:
    """What is done to which packets: what none before has taken is the next one's.

    :raises OpenFlowError: as :func:`translate` does; TOO_MANY when there are too many.
    """
    leaves: list[_Leaf] = []
    upcall = view.upcall if _visible(rule, view) else dropped
    waiting = [Facts(rule.match)]
    while waiting:
        facts = waiting.pop()
        try:
            done = perform(rule.instructions, facts, view, uses)
            leaves.append(_Leaf(facts, done.actions, meter=done.meter, credits=done.credits))
        except Split as split:
            waiting += (facts.false(split.question), facts.true(split.question))
        except ToSoftware as why:
            # If this will be in a tail, the rule's own filter has counted the packet.
            reason = SoftwareReason(str(why), str(why)) if view.upcall is not dropped else None
            leaves.append(_Leaf(facts, upcall(rule.table_id, True, rule.match), reason))
        if len(leaves) + len(waiting) > MAX_CASES:
            raise OpenFlowError(TOO_MANY, f"there would be more than {MAX_CASES} cases in tc")
    # Where the rest is treated alike, it need not be told apart.
    while len(leaves) > 1 and leaves[-2].does == leaves[-1].does:
        del leaves[-2]
    return leaves
