"""One flow table as the controllers see it, and what is in flight in it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from agent.ofproto.ghosts import Ghosts
from agent.ofproto.operations import Operation, State
from agent.ofproto.rule import MAX_PRIORITY, Rule
from agent.openflow.actions import Enqueue, GroupAction, Output, actions_of
from agent.openflow.errors import FLOW_MOD_UNKNOWN
from agent.openflow.match import Match
from agent.openflow.messages import ANY
from agent.packet.classifier import Classifier
from drivers.interfaces import OperationKind, TableCapabilities, Target


@attrs.define(eq=False)
class Criteria:
    """Which rules a MODIFY, a DELETE or a statistics request is about.

    :ivar strict: only the rule with just this match and priority.
    :ivar cookie: a rule's cookie must equal it in the bits of ``cookie_mask``.
    :ivar out_port: the rule must have an output to this port; ANY: does not matter.
    :ivar out_group: likewise for a group.
    :ivar hidden: whether hidden rules count.
    """

    match: Match
    priority: int = 0
    strict: bool = False
    cookie: int = 0
    cookie_mask: int = 0
    out_port: int = ANY
    out_group: int = ANY
    hidden: bool = False

    @property
    def everything(self) -> bool:
        """Whether nothing but the match says which rules are meant."""
        return not self.cookie_mask and self.out_port == ANY and self.out_group == ANY

    def selects(self, rule: Rule) -> bool:
        """Whether a rule is meant."""
        if self.strict:
            if rule.priority != self.priority or rule.match != self.match:
                return False
        elif not self.match.covers(rule.match):
            return False
        return self.admits(rule)

    def admits(self, rule: Rule) -> bool:
        """Whether a rule that matches passes the filters as well."""
        if rule.priority > MAX_PRIORITY and not self.hidden:
            return False
        if (rule.cookie ^ self.cookie) & self.cookie_mask:
            return False
        if self.out_port != ANY and not outputs_to(rule, self.out_port):
            return False
        return self.out_group == ANY or uses_group(rule, self.out_group)


def outputs_to(rule: Rule, port: int) -> bool:
    """Whether a rule has an action that sends packets to just this port number."""
    return any(
        isinstance(action, Output | Enqueue) and action.port == port
        for action in actions_of(rule.instructions)
    )


def uses_group(rule: Rule, group_id: int) -> bool:
    """Whether a rule has an action that hands packets to this group."""
    return any(
        isinstance(action, GroupAction) and action.group_id == group_id
        for action in actions_of(rule.instructions)
    )


class FlowTable:
    """The rules of one table, updated optimistically.

    What a controller sees is :attr:`rules`: each request has its effect there at once.  What could
    still turn out otherwise is in :attr:`pending`: the operations in flight, by the match and
    priority they concern, so that whoever depends on one of them can wait for it.

    :ivar table_id: its number.
    :ivar name: its name.
    :ivar max_entries: how many rules it takes.
    :ivar active: whether it is in the pipeline; a controller may have taken it out
        (:mod:`agent.ofproto.pipeline`), and then there is no such table to any request.
    :ivar evicts: whether an ADD to a full table takes the place of a rule that will expire.
    :ivar capabilities: what the driver can do in it.
    :ivar pending: the operations in flight.
    :ivar deleting: those of them which delete, or are an ADD that is being taken back, by ``(mask,
        value, priority)``: their rules are no longer in :attr:`rules`, and the hardware has them.
    :ivar adding: how many of them add.
    :ivar hidden: how many of :attr:`rules` controllers neither see nor touch.
    :ivar ghosts: rules that are not in the table, of which the hardware may still have something.
    """

    target = Target.RULE
    failure = FLOW_MOD_UNKNOWN

    __slots__ = (
        "active",
        "adding",
        "capabilities",
        "deleting",
        "evicts",
        "ghosts",
        "hidden",
        "max_entries",
        "name",
        "pending",
        "rules",
        "table_id",
    )

    def __init__(self, capabilities: TableCapabilities, evicts: bool = False) -> None:
        self.table_id = capabilities.table_id
        self.name = capabilities.name
        self.max_entries = capabilities.max_entries
        self.capabilities = capabilities
        self.rules: Classifier[Rule] = Classifier()
        self.pending: dict[Operation, None] = {}
        self.deleting: dict[tuple[int, int, int], Operation] = {}
        self.adding = 0
        self.hidden = 0
        self.active = True
        self.evicts = evicts
        self.ghosts: Ghosts[Rule] = Ghosts(self, capabilities.max_entries)

    def select(self, criteria: Criteria) -> Iterator[Rule]:
        """The rules that the criteria mean, as they are now."""
        if criteria.strict:
            rule = self.rules.find(criteria.match, criteria.priority)
            if rule is not None and criteria.admits(rule):
                yield rule
        else:
            for rule in self.rules.covered(criteria.match):
                if criteria.admits(rule):
                    yield rule

    def victim(self) -> Rule | None:
        """The rule to evict: of those that have a timeout, the one that will expire first.

        As in Open vSwitch, rules without a timeout are never evicted.  It looks at every rule,
        which a table as small as those of hardware allows.
        """
        return min(
            (
                rule
                for rule in self.rules
                if rule.pending is None
                and not rule.hidden
                and (rule.idle_timeout or rule.hard_timeout)
            ),
            key=lambda rule: rule.deadline()[0],
            default=None,
        )

    def blocking(self, criteria: Criteria) -> Operation | None:
        """An operation in flight on whose outcome it depends which rules the criteria mean.

        That is one whose rule is meant as it is, or as it was and may be again.
        """
        if criteria.strict:
            operation = self.in_flight(criteria.match, criteria.priority)
            if operation is not None and (
                criteria.admits(operation.rule)
                or (operation.old is not None and criteria.admits(operation.old))
            ):
                return operation
            return None
        for operation in self.pending:
            if criteria.selects(operation.rule) or (
                operation.old is not None and criteria.selects(operation.old)
            ):
                return operation
        return None

    def in_flight(self, match: Match, priority: int) -> Operation | None:
        """The operation in flight on the entry with just this match and priority."""
        rule = self.rules.find(match, priority)
        if rule is not None:
            return rule.pending
        return self.deleting.get((match.mask, match.value, priority))

    # What an operation does to its table (agent.ofproto.operations.Place).

    def begin(self, operation: Operation) -> None:
        """Make the change, optimistically."""
        rule = operation.rule
        if operation.kind is OperationKind.DELETE:
            self.rules.remove(rule.match, rule.priority)
            if rule.priority > MAX_PRIORITY:
                self.hidden -= 1
            self.await_deletion(operation)
        else:
            self.pending[operation] = None
            rule.pending = operation
            self.rules.put(rule)
            if operation.old is None:
                self.adding += 1
                if rule.priority > MAX_PRIORITY:
                    self.hidden += 1
            else:
                # Whoever knows the entry as it was, such as expiry, must see it too.
                operation.old.pending = operation

    def revert(self, operation: Operation) -> None:
        """Take the change back; the operation is still pending, or it was only tried."""
        rule = operation.rule
        if operation.kind is OperationKind.ADD:
            match = rule.match
            self.rules.remove(match, rule.priority)
            if rule.hidden:
                self.hidden -= 1
            if operation.state is State.DONE:
                self.deleting[match.mask, match.value, rule.priority] = operation
        else:
            old = operation.old
            assert old is not None
            self.rules.put(old)
            if rule.hidden and operation.kind is OperationKind.DELETE:
                self.hidden += 1

    def end(self, operation: Operation) -> None:
        """The operation is over, whatever came of it: nothing is pending any more."""
        del self.pending[operation]
        rule = operation.rule
        rule.pending = None
        if operation.old is not None:
            operation.old.pending = None
        if operation.kind is OperationKind.ADD:
            self.adding -= 1
            if self.deleting:
                key = (rule.match.mask, rule.match.value, rule.priority)
                if self.deleting.get(key) is operation:
                    del self.deleting[key]
        elif operation.kind is OperationKind.DELETE:
            match = rule.match
            del self.deleting[match.mask, match.value, rule.priority]

    def doubt(self, operation: Operation, reason: str) -> Operation | None:
        """The hardware may not be as the table says, after :meth:`revert` or instead of it."""
        rule = operation.rule
        rule.degraded = reason
        current = self.rules.find(rule.match, rule.priority)
        if current is not None and current.handle == rule.handle:
            current.degraded = reason
            return None
        self.ghosts.remember(rule, reason)
        return self.ghosts.deletion(rule)

    # What ghosts ask of it (agent.ofproto.ghosts.Home).

    @staticmethod
    def key(rule: Rule) -> tuple[int, int, int]:
        """What hardware may know a rule by."""
        return rule.match.mask, rule.match.value, rule.priority

    def taken(self, rule: Rule) -> bool:
        """Whether there is, or is being deleted, a rule with the same match and priority."""
        return (
            self.rules.find(rule.match, rule.priority) is not None
            or self.key(rule) in self.deleting
        )

    def await_deletion(self, operation: Operation) -> None:
        """Let those wait who need the place of a rule that is not in :attr:`rules`."""
        rule = operation.rule
        self.pending[operation] = None
        rule.pending = operation
        match = rule.match
        self.deleting[match.mask, match.value, rule.priority] = operation
