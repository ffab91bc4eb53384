"""OFPT_FLOW_MOD: from a request to a group of operations.

Each command first finds out what it means, then whether anything in flight could still change that,
then whether it is allowed; only then does it plan a group, which the ledger starts.  So a request
that has to wait has had no side effect and is simply run again, and a group that was started is
never abandoned.  A bundle (:mod:`agent.ofproto.bundles`) makes something else of the plans.

Who waits for what (SEMANTICS: "keep arrival order where a request or a packet could tell"):

- for the rule itself, when an operation on it is in flight (the same table, match and priority);
- for a group or a meter that the rule names, when an operation on that is in flight;
- loose and strict MODIFY and DELETE, for every operation in flight whose rule they would mean, as
  it is or as it was: should it fail, they would have meant another rule;
- CHECK_OVERLAP, for every operation in flight on an overlapping rule of that priority;
- an ADD to a table that is full unless something in flight fails, for that;
- for a place among the operations in flight, last of all.

Sources: OpenFlow 1.0.1 section 4.6, OpenFlow 1.3.5 section 6.4; where they are silent, Open
vSwitch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter

import attrs
from twisted.internet.interfaces import IReactorTime

from agent.ofproto.conditions import Postponed
from agent.ofproto.interfaces import IRequester
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.leftovers import Leftovers
from agent.ofproto.numbered import Naming
from agent.ofproto.operations import Operation, OperationGroup, Overwrite, StagedGroup
from agent.ofproto.rule import Rule
from agent.ofproto.table import Criteria, FlowTable
from agent.ofproto.validate import Validator
from agent.openflow import errors
from agent.openflow.errors import OpenFlowError
from agent.openflow.messages import (
    ALL_TABLES,
    OFP10,
    FlowMod,
    FlowModCommand,
    FlowModFlags,
    RemovedReason,
)
from drivers.interfaces import Counters, OperationKind

ADD = int(FlowModCommand.ADD)
MODIFY = int(FlowModCommand.MODIFY)
MODIFY_STRICT = int(FlowModCommand.MODIFY_STRICT)
DELETE = int(FlowModCommand.DELETE)
DELETE_STRICT = int(FlowModCommand.DELETE_STRICT)

CHECK_OVERLAP = int(FlowModFlags.CHECK_OVERLAP)
RESET_COUNTS = int(FlowModFlags.RESET_COUNTS)
EMERG = int(FlowModFlags.EMERG)
KNOWN_FLAGS = 0x1F

_first_to_go = attrgetter("table_id", "priority")


class FlowMods:
    """The flow tables of a bridge, and the requests which change them.

    :ivar tables: by number; the numbers are 0, 1, 2 ...
    :ivar validators: likewise, what each table can do.
    :ivar leftovers: what the hardware may have of an earlier run; None: nothing.
    """

    def __init__(
        self,
        tables: Sequence[FlowTable],
        validators: Sequence[Validator],
        ledger: OperationLedger,
        clock: IReactorTime,
        leftovers: Leftovers | None = None,
    ) -> None:
        self.leftovers = leftovers
        self.tables = tables
        self.validators = validators
        self._ledger = ledger
        self._clock = clock
        self._next_handle = 1
        # The tables that ever had a rule: a request about all of them need not look at the others.
        self._used: list[FlowTable] = []

    def handle(self, request: FlowMod, requester: IRequester) -> OperationGroup | None:
        """Execute a request, as far as that can be done at once.

        :returns: what is in flight now; None when there was nothing to do.
        :raises OpenFlowError: when it is refused.
        :raises Postponed: when it has to wait.
        """
        group = self.plan(request, requester)
        if self.leftovers is not None and request.command == DELETE:
            group = self._with_left(group, request, requester)
        return None if group is None else self._ledger.accept(group)

    def plan(self, request: FlowMod, requester: IRequester) -> OperationGroup | None:
        """What :meth:`handle` would start, if there is room for it; changes nothing."""
        command = request.command
        if command == ADD:
            if request.flags:
                self._check_flags(request, requester)
            return self._add(request, requester, self._one_table(request, requester))
        if request.flags:
            self._check_flags(request, requester)
        if command in (MODIFY, MODIFY_STRICT):
            return self._modify(request, requester)
        if command in (DELETE, DELETE_STRICT):
            return self._delete(request, requester)
        raise OpenFlowError(errors.FLOW_MOD_BAD_COMMAND, f"command {command}")

    def check(
        self, request: FlowMod, requester: IRequester, validators: Sequence[Validator]
    ) -> None:
        """Check what can be told from a request alone.

        :param validators: by number of the table.
        :raises OpenFlowError: what is wrong with it.
        """
        self._check_flags(request, requester)
        if request.command in (DELETE, DELETE_STRICT):
            self._some_tables(request, requester)
        elif request.command in (ADD, MODIFY, MODIFY_STRICT):
            table_id = self._one_table(request, requester).table_id
            validators[table_id].check(requester.version, request.match, request.instructions)
        else:
            raise OpenFlowError(errors.FLOW_MOD_BAD_COMMAND, f"command {request.command}")

    def delete_rules(
        self, rules: Sequence[Rule], reason: RemovedReason, requester: IRequester
    ) -> OperationGroup | None:
        """Delete these rules, none of which is pending, as one group: expiry, eviction, flush."""
        group = self._group(0, requester, self.deletions(rules, reason), atomic=False)
        return None if group is None else self._ledger.accept(group)

    def naming(self, names: Naming) -> list[Rule]:
        """The rules that name a group or a meter, none of them pending.

        :raises Postponed: when that depends on something in flight.
        """
        return self._selected(self._used, names)

    def new_handle(self) -> int:
        """A handle that nothing else of the bridge has or will have."""
        handle = self._next_handle
        self._next_handle = handle + 1
        return handle

    def forget(self) -> None:
        """The groups or the meters have changed: instructions that were good may be no more."""
        for validator in self.validators:
            validator.forget()

    # --- checks ------------------------------------------------------------------------------

    @staticmethod
    def _check_flags(request: FlowMod, requester: IRequester) -> None:
        flags = request.flags
        if flags & EMERG and requester.version == OFP10:
            if request.idle_timeout or request.hard_timeout:
                raise OpenFlowError(errors.BAD_EMERG_TIMEOUT, "emergency flows have no timeouts")
            raise OpenFlowError(errors.TABLE_FULL, "there is no table of emergency flows")
        if flags & ~KNOWN_FLAGS:
            raise OpenFlowError(errors.FLOW_MOD_BAD_FLAGS, f"flags {flags:#x}")

    def _check_rule(self, request: FlowMod, requester: IRequester, table_id: int) -> None:
        self.validators[table_id].check(requester.version, request.match, request.instructions)

    def _one_table(self, request: FlowMod, requester: IRequester) -> FlowTable:
        """The table of a request that needs just one."""
        table_id = request.table_id
        if table_id < len(self.tables):
            table = self.tables[table_id]
            if table.active:
                return table
        elif table_id == ALL_TABLES and requester.version == OFP10:
            return self.tables[0]
        raise OpenFlowError(errors.FLOW_MOD_BAD_TABLE_ID, f"table {table_id}")

    def _some_tables(self, request: FlowMod, requester: IRequester) -> Sequence[FlowTable]:
        """The tables of a request that may be about all of them."""
        table_id = request.table_id
        if table_id < len(self.tables):
            table = self.tables[table_id]
            if table.active:
                return (table,)
        elif table_id == ALL_TABLES and (
            requester.version == OFP10 or request.command in (DELETE, DELETE_STRICT)
        ):
            return self._used
        raise OpenFlowError(errors.FLOW_MOD_BAD_TABLE_ID, f"table {table_id}")

    # --- ADD ---------------------------------------------------------------------------------

    def _add(self, request: FlowMod, requester: IRequester, table: FlowTable) -> OperationGroup:
        match = request.match
        priority = request.priority
        instructions = request.instructions
        self.validators[table.table_id].check(requester.version, match, instructions)
        old = table.rules.find(match, priority)
        if old is not None:
            if old.pending is not None:
                raise Postponed(old.pending.group)
        elif table.deleting:
            deleting = table.deleting.get((match.mask, match.value, priority))
            if deleting is not None:
                raise Postponed(deleting.group)
        if request.flags & CHECK_OVERLAP:
            self._check_overlap(request, table)
        victim = None
        if old is None and table.rules.count + len(table.deleting) >= table.max_entries:
            victim = self._make_room(table)

        now = self._clock.seconds()
        if old is None:
            if table not in self._used:
                self._used.append(table)
            handle = self._next_handle
            self._next_handle = handle + 1
            kind = OperationKind.ADD
            counters = Counters()
        else:
            handle = old.handle
            if requester.version == OFP10 or request.flags & RESET_COUNTS:
                kind = OperationKind.REPLACE
                counters = Counters()
            else:
                # 1.3.5 section 6.4: "they should be copied from the replaced flow entry".
                kind = OperationKind.MODIFY
                counters = old.counters
        rule = Rule(
            handle,
            table.table_id,
            priority,
            match,
            instructions,
            request.cookie,
            request.idle_timeout,
            request.hard_timeout,
            request.flags,
            counters,
            now,
            now,
        )
        make = Operation if old is None else Overwrite
        operation = (make(kind, rule, old, table),)
        if victim is None:
            return OperationGroup(self._ledger, requester, request.xid, operation)
        # There is room when the hardware has deleted the victim, and not if it cannot.
        gone = (self._deletion(victim, RemovedReason.EVICTION),)
        return StagedGroup(self._ledger, requester, request.xid, (gone, operation))

    @staticmethod
    def _check_overlap(request: FlowMod, table: FlowTable) -> None:
        """CHECK_OVERLAP, with an eye on what is in flight."""
        match, priority = request.match, request.priority
        for operation in table.pending:
            rule = operation.rule
            if rule.priority == priority and rule.match.overlaps(match):
                raise Postponed(operation.group)
        for rule in table.rules.overlapping(match, priority):
            raise OpenFlowError(errors.OVERLAP, f"overlaps cookie {rule.cookie:#x}")

    @staticmethod
    def _make_room(table: FlowTable) -> Rule:
        """See that one more rule fits, however what is in flight turns out.

        :returns: the rule that has to go for it.
        """
        if table.rules.count < table.max_entries:
            # It fits unless a deletion fails.
            raise Postponed(next(iter(table.deleting.values())).group)
        if table.adding:
            # It does not fit unless an addition fails.
            adding = next(op for op in table.pending if op.kind is OperationKind.ADD)
            raise Postponed(adding.group)
        victim = table.victim() if table.evicts else None
        if victim is not None:
            return victim
        raise OpenFlowError(errors.TABLE_FULL, f"{table.max_entries} rules in table {table.name}")

    # --- MODIFY and DELETE -------------------------------------------------------------------

    def _criteria(self, request: FlowMod, requester: IRequester, strict: bool) -> Criteria:
        deleting = request.command in (DELETE, DELETE_STRICT)
        return Criteria(
            request.match,
            request.priority,
            strict,
            request.cookie,
            request.cookie_mask if requester.version != OFP10 or request.nxm else 0,
            request.out_port if deleting else 0xFFFFFFFF,
            request.out_group if deleting else 0xFFFFFFFF,
            requester.internal,
        )

    @staticmethod
    def _selected(tables: Sequence[FlowTable], criteria: Criteria) -> list[Rule]:
        """The rules a request is about, none of them pending.

        :raises Postponed: when that depends on something in flight.
        """
        for table in tables:
            if table.pending:
                blocking = table.blocking(criteria)
                if blocking is not None:
                    raise Postponed(blocking.group)
        return [rule for table in tables for rule in table.select(criteria)]

    def _modify(self, request: FlowMod, requester: IRequester) -> OperationGroup | None:
        tables = self._some_tables(request, requester)
        old10 = requester.version == OFP10
        strict = request.command == MODIFY_STRICT
        self._check_rule(request, requester, tables[0].table_id if tables else 0)
        selected = self._selected(tables, self._criteria(request, requester, strict))
        for table_id in {rule.table_id for rule in selected}:
            self._check_rule(request, requester, table_id)
        if strict and self._ambiguous(request, selected):
            return None
        if not selected:
            if old10 and self._adds(request):
                if request.new_cookie is not None:
                    request = attrs.evolve(request, cookie=request.new_cookie)
                return self._add(request, requester, self._one_table(request, requester))
            return None
        reset = bool(request.flags & RESET_COUNTS) and not old10
        now = self._clock.seconds()
        operations = []
        for old in selected:
            cookie = self._cookie(request, requester, old)
            # The idle timeout does not start anew with the counters.
            counters = Counters(used=old.counters.used) if reset else old.counters
            rule = old.evolve(request.instructions, cookie, counters, now)
            same = (
                not reset
                and cookie == old.cookie
                and request.instructions == old.instructions
                and not old.degraded
            )
            kind = OperationKind.REPLACE if reset else OperationKind.MODIFY
            operations.append(Operation(kind, rule, old, self.tables[old.table_id], local=same))
        return self._group(request.xid, requester, operations)

    @staticmethod
    def _adds(request: FlowMod) -> bool:
        """Whether a MODIFY of 1.0 which means no rule adds one."""
        return not request.nxm or (request.new_cookie is not None and not request.cookie_mask)

    @staticmethod
    def _cookie(request: FlowMod, requester: IRequester, old: Rule) -> int:
        """The cookie of a rule that a MODIFY changes: from 1.1 on, what it was."""
        if requester.version != OFP10:
            return old.cookie
        if not request.nxm:
            return request.cookie
        return old.cookie if request.new_cookie is None else request.new_cookie

    @staticmethod
    def _ambiguous(request: FlowMod, selected: Sequence[Rule]) -> bool:
        """Whether a request means too many rules: "if exactly one table" (``nicira-ext.h``)."""
        return request.one_table and len(selected) > 1

    def _delete(self, request: FlowMod, requester: IRequester) -> OperationGroup | None:
        strict = request.command == DELETE_STRICT
        criteria = self._criteria(request, requester, strict)
        selected = self._selected(self._some_tables(request, requester), criteria)
        if strict and self._ambiguous(request, selected):
            return None
        operations = self.deletions(selected, RemovedReason.DELETE)
        return self._group(request.xid, requester, operations, atomic=False)

    def _with_left(
        self, group: OperationGroup | None, request: FlowMod, requester: IRequester
    ) -> OperationGroup | None:
        """A DELETE, and that of what an earlier run has left if everything is meant."""
        criteria = self._criteria(request, requester, False)
        if criteria.match.mask or not criteria.everything:
            return group
        one = request.table_id < len(self.tables)
        deletion = self.left_deletion((request.table_id,) if one else range(len(self.tables)))
        operations = [] if group is None else group.operations
        return self._group(request.xid, requester, [*operations, deletion], atomic=False)

    def left_deletion(self, tables: Collection[int]) -> Operation:
        """The deletion of what an earlier run has left in tables, of a driver that has such."""
        assert self.leftovers is not None
        return self.leftovers.deletion(self.new_handle(), tables)

    def deletions(self, rules: Sequence[Rule], reason: RemovedReason) -> list[Operation]:
        """The deletions of these rules, in such an order that a packet which comes meanwhile meets
        the rule it would have met before, or none: the first table and the lowest priority first.
        """
        if len(rules) > 1:
            rules = sorted(rules, key=_first_to_go)
        return [self._deletion(rule, reason) for rule in rules]

    def _deletion(self, rule: Rule, reason: RemovedReason) -> Operation:
        return Operation(OperationKind.DELETE, rule, rule, self.tables[rule.table_id], reason)

    def _group(
        self,
        xid: int,
        requester: IRequester,
        operations: Sequence[Operation],
        atomic: bool = True,
    ) -> OperationGroup | None:
        """A group, if there is anything to do."""
        if not operations:
            return None
        return OperationGroup(self._ledger, requester, xid, operations, atomic)
