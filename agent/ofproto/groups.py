"""OFPT_GROUP_MOD: groups of action buckets.

As with FLOW_MOD (:mod:`agent.ofproto.flow_mod`), a request is checked as a whole before anything is
changed, and whatever depends on something in flight waits for that:

- for the group itself, and for every group that its buckets name or, through chains, lead to;
- to delete it, for every rule and group in flight that names it, as it is or as it was.

So rules and buckets only name what the hardware has.  A group that is deleted takes with it the
rules that name it, and they go first: should the hardware keep one of them, the group stays too.

Chains are checked for loops, and a group that another forwards to cannot be deleted, as
OFPGFC_CHAINING_CHECKS promises.

Source: OpenFlow 1.3.5 sections 5.6, 6.5 and 7.3.4.2; where they are silent, Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from agent.ofproto.conditions import Postponed
from agent.ofproto.flow_mod import FlowMods
from agent.ofproto.interfaces import IRequester
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.numbered import Naming, NumberedTable
from agent.ofproto.operations import Operation, OperationGroup, StagedGroup
from agent.openflow import errors
from agent.openflow.actions import GroupAction, groups_in
from agent.openflow.errors import OpenFlowError
from agent.openflow.group_messages import (
    GROUP_ALL,
    GROUP_ANY,
    GROUP_MAX,
    Bucket,
    GroupCommand,
    GroupMod,
    GroupType,
)
from agent.openflow.messages import ANY, RemovedReason
from drivers.interfaces import Capabilities, Counters, IGroup, OperationKind, Target


@implementer(IGroup)
@attrs.define(eq=False)
class Group:
    """One version of a group; see :class:`agent.ofproto.rule.Rule` for what that means.

    :ivar forwards_to: the groups that its buckets hand packets to.
    :ivar watches: the groups whose liveness its buckets have.
    """

    handle: int
    group_id: int
    type: int
    buckets: tuple[Bucket, ...]
    counters: Counters
    bucket_counters: tuple[Counters, ...]
    created: float
    pending: Operation | None = None
    degraded: str = ""
    forwards_to: frozenset[int] = frozenset()
    watches: frozenset[int] = frozenset()

    def __attrs_post_init__(self) -> None:
        self.forwards_to = forwarded_to(self.buckets)
        self.watches = watched(self.buckets)

    @property
    def number(self) -> int:
        """See :class:`agent.ofproto.numbered.Numbered`."""
        return self.group_id


def forwarded_to(buckets: Sequence[Bucket]) -> frozenset[int]:
    """The groups that buckets hand packets to."""
    return frozenset[int]().union(*(groups_in(bucket.actions) for bucket in buckets))


def watched(buckets: Sequence[Bucket]) -> frozenset[int]:
    """The groups that buckets watch."""
    return frozenset(b.watch_group for b in buckets if b.watch_group != GROUP_ANY)


def outermost_first(groups: Iterable[Group]) -> list[list[Group]]:
    """Groups by their place in chains: each is in a later list than those that forward to it.

    In this order they can be deleted, and backwards they can be made.
    """
    left = {group.group_id: group for group in groups}
    stages = []
    while left:
        inner = frozenset[int]().union(*(group.forwards_to for group in left.values()))
        stage = [group for number, group in left.items() if number not in inner]
        assert stage, "chains have no loops"
        stages.append(stage)
        for group in stage:
            del left[group.group_id]
    return stages


class GroupMods:
    """The groups of a bridge, and the requests which change them.

    :ivar table: the groups.
    """

    def __init__(
        self,
        can: Capabilities,
        flow_mods: FlowMods,
        ledger: OperationLedger,
        clock: IReactorTime,
        has_port: Callable[[int], bool],
    ) -> None:
        """No groups yet.

        :param has_port: whether there is a port of this number.
        """
        self.table: NumberedTable[Group] = NumberedTable(
            "groups", Target.GROUP, errors.INVALID_GROUP, flow_mods.forget
        )
        self._can = can
        self._flow_mods = flow_mods
        self._ledger = ledger
        self._clock = clock
        self._has_port = has_port

    def handle(self, request: GroupMod, requester: IRequester) -> OperationGroup | None:
        """Execute a request, as far as that can be done at once.

        :returns: what is in flight now; None when there was nothing to do.
        :raises OpenFlowError: when it is refused.
        :raises Postponed: when it has to wait.
        """
        group = self.plan(request, requester)
        return None if group is None else self._ledger.accept(group)

    def plan(self, request: GroupMod, requester: IRequester) -> OperationGroup | None:
        """What :meth:`handle` would start, if there is room for it; changes nothing."""
        if request.command == GroupCommand.ADD:
            return self._add(request, requester)
        if request.command == GroupCommand.MODIFY:
            return self._modify(request, requester)
        if request.command == GroupCommand.DELETE:
            return self._delete(request, requester)
        raise OpenFlowError(errors.GROUP_BAD_COMMAND, f"command {request.command}")

    def check(self, request: GroupMod, requester: IRequester) -> None:
        """Check what can be told from a request alone.

        :raises OpenFlowError: what is wrong with it.
        """
        if request.command in (GroupCommand.ADD, GroupCommand.MODIFY):
            self._check(request, requester)
        elif request.command != GroupCommand.DELETE:
            raise OpenFlowError(errors.GROUP_BAD_COMMAND, f"command {request.command}")

    def has(self, group_id: int) -> bool:
        """Whether there is such a group.

        :raises Postponed: when something is in flight about it.
        """
        return self.table.find(group_id) is not None

    # --- checks ------------------------------------------------------------------------------

    def _check(self, request: GroupMod, requester: IRequester) -> None:
        """Check what can be told from the request alone."""
        can = self._can
        kind = request.type
        buckets = request.buckets
        if kind not in can.group_types:
            raise OpenFlowError(errors.GROUP_BAD_TYPE, f"groups of type {kind}")
        if request.group_id > GROUP_MAX:
            raise OpenFlowError(errors.INVALID_GROUP, f"group {request.group_id:#x}")
        if len(buckets) > can.max_buckets:
            raise OpenFlowError(errors.OUT_OF_BUCKETS, f"{len(buckets)} buckets")
        if kind == GroupType.INDIRECT and len(buckets) != 1:
            raise OpenFlowError(errors.INVALID_GROUP, f"indirect with {len(buckets)} buckets")
        for bucket in buckets:
            self._check_bucket(kind, bucket, requester)

    def _check_bucket(self, kind: int, bucket: Bucket, requester: IRequester) -> None:
        can = self._can
        if kind == GroupType.SELECT:
            if bucket.weight != 1 and not can.select_weight:
                raise OpenFlowError(errors.WEIGHT_UNSUPPORTED, f"weight {bucket.weight}")
        elif bucket.weight:
            raise OpenFlowError(errors.INVALID_GROUP, f"weight {bucket.weight} in type {kind}")
        watches = bucket.watch_port != ANY or bucket.watch_group != GROUP_ANY
        if watches:
            if kind not in can.watch_types:
                raise OpenFlowError(errors.WATCH_UNSUPPORTED, f"watch in type {kind}")
            if bucket.watch_port != ANY and not self._has_port(bucket.watch_port):
                raise OpenFlowError(errors.GROUP_BAD_WATCH, f"port {bucket.watch_port:#x}")
        elif kind == GroupType.FF:
            raise OpenFlowError(errors.INVALID_GROUP, "fast failover that watches nothing")
        allowed = can.bucket_actions
        if allowed is not None and GroupAction not in allowed and groups_in(bucket.actions):
            raise OpenFlowError(errors.CHAINING_UNSUPPORTED, "groups cannot be chained")
        # Buckets are executed like an action set, in whatever table the packet is then.
        self._flow_mods.validators[0].check_bucket(requester.version, bucket.actions, allowed)

    def _check_names(self, request: GroupMod) -> None:
        """Check the groups that the buckets name, and where these lead."""
        number = request.group_id
        forwards_to = forwarded_to(request.buckets)
        watches = watched(request.buckets)
        seen: set[int] = set()
        todo = sorted(forwards_to | watches)
        direct = frozenset(todo)
        while todo:
            other = todo.pop()
            if other == number:
                raise OpenFlowError(errors.GROUP_LOOP, f"group {number} leads back to itself")
            if other in seen:
                continue
            seen.add(other)
            group = self.table.find(other)
            if group is not None:
                todo.extend(group.forwards_to | group.watches)
            elif other in forwards_to:
                raise OpenFlowError(errors.BAD_OUT_GROUP, f"group {other}")
            elif other in direct:
                raise OpenFlowError(errors.GROUP_BAD_WATCH, f"group {other}")

    def _check_room(self, kind: int) -> None:
        self.table.check_room(
            self._can.max_groups, errors.OUT_OF_GROUPS, lambda group: group.type == kind
        )

    # --- commands ----------------------------------------------------------------------------

    def _add(self, request: GroupMod, requester: IRequester) -> OperationGroup:
        self._check(request, requester)
        number = request.group_id
        if self.table.find(number) is not None:
            raise OpenFlowError(errors.GROUP_EXISTS, f"group {number}")
        self._check_names(request)
        self._check_room(request.type)
        group = Group(
            self._flow_mods.new_handle(),
            number,
            request.type,
            request.buckets,
            Counters(),
            tuple(Counters() for _ in request.buckets),
            self._clock.seconds(),
        )
        return self._group(
            request, requester, Operation(OperationKind.ADD, group, None, self.table)
        )

    def _modify(self, request: GroupMod, requester: IRequester) -> OperationGroup:
        self._check(request, requester)
        number = request.group_id
        old = self.table.find(number)
        if old is None:
            raise OpenFlowError(errors.UNKNOWN_GROUP, f"group {number}")
        self._check_names(request)
        if request.type != old.type:
            self._check_room(request.type)
        # "Group top-level statistics are preserved, group bucket statistics are reset."
        group = Group(
            old.handle,
            number,
            request.type,
            request.buckets,
            old.counters,
            tuple(Counters() for _ in request.buckets),
            old.created,
        )
        return self._group(
            request, requester, Operation(OperationKind.MODIFY, group, old, self.table)
        )

    def _group(
        self, request: GroupMod, requester: IRequester, operation: Operation
    ) -> OperationGroup:
        return OperationGroup(self._ledger, requester, request.xid, (operation,))

    def _delete(self, request: GroupMod, requester: IRequester) -> OperationGroup | None:
        """Delete a group, or all, with the rules that name it.

        :raises OpenFlowError: CHAINED_GROUP, when another group forwards to it.
        :raises Postponed: when it has to wait.
        """
        group_id = request.group_id
        if group_id == GROUP_ALL:
            doomed = self.table.settled()
        else:
            group = self.table.find(group_id)
            doomed = [] if group is None else [group]
            self._check_unchained(group_id, doomed)
        if not doomed:
            return None
        names = Naming(groups=frozenset(group.group_id for group in doomed))
        rules = self._flow_mods.naming(names)
        stages = [self._flow_mods.deletions(rules, RemovedReason.GROUP_DELETE)] if rules else []
        for stage in outermost_first(doomed):
            stages.append(
                [Operation(OperationKind.DELETE, each, each, self.table) for each in stage]
            )
        return StagedGroup(self._ledger, requester, request.xid, stages, atomic=False)

    def _check_unchained(self, group_id: int, doomed: Sequence[Group]) -> None:
        if not doomed:
            return
        for operation in self.table.pending:
            for version in (operation.rule, operation.old):
                if version is not None and group_id in version.forwards_to:
                    raise Postponed(operation.group)
        for other in self.table.entries.values():
            if group_id in other.forwards_to:
                raise OpenFlowError(errors.CHAINED_GROUP, f"from group {other.group_id}")
