"""Bundles: many requests that have their effect together, or none of them has any.

A bundle is collected by its connection (:mod:`agent.connmgr.bundles`), where each message is
checked as far as it can be by itself.  It comes here when it is committed, with all its messages,
and is then like any other request: it may have to wait, it is run again from the start, it is one
group of operations, and its outcome is known when the last of these has ended.

What it means is found out by doing it: the messages are carried out one after the other, each on
the tables as the one before has left them, but with nobody to tell, and everything is taken back
before this returns.  So every message means exactly what it would have meant in this place by
itself, and what is wrong with one is known before anything has happened.  What all of it comes to
(:mod:`agent.ofproto.net_change`) is what the driver is given.

What it is not: a change that no packet could see half of.  Hardware takes its time for each entry.
Where it can be helped, a packet meets old rules or new ones, but one may meet an old rule in one
table and a new one in the next.

Ports are configured at once, and how they were cannot always be had back: so a PORT_MOD is nothing
for a bundle, nor is anything else that cannot be taken back.

Source: EXT-230; OpenFlow 1.4.0 section 6.8; where they are silent, Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from agent.ofproto.flow_mod import FlowMods
from agent.ofproto.groups import GroupMods
from agent.ofproto.interfaces import IRequester
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.meters import MeterMods
from agent.ofproto.net_change import NetOperation, in_stages, net_change
from agent.ofproto.operations import Operation, OperationGroup, StagedGroup
from agent.ofproto.validate import Limits, Validator
from agent.openflow.actions import Enqueue, SetQueue
from agent.openflow.errors import BUNDLE_MSG_FAILED, BUNDLE_MSG_UNSUP, OpenFlowError
from agent.openflow.group_messages import GROUP_MAX, METER_MAX, GroupMod, MeterMod
from agent.openflow.messages import FlowMod, Message
from drivers.interfaces import Capabilities

BUNDLEABLE: Final[frozenset[type]] = frozenset({FlowMod, GroupMod, MeterMod})
"""What can be part of a bundle."""


@attrs.define
class BundleCommit:
    """The request to carry out a bundle.

    :ivar messages: of classes in :data:`BUNDLEABLE`, each of which was checked.
    """

    messages: Sequence[Message]
    xid: int = 0


class MessageFailed(OpenFlowError):
    """BUNDLE_FAILED/MSG_FAILED: one message of a bundle is refused, and so the bundle is.

    :ivar number: which one, from 0.
    :ivar error: what is wrong with it.
    """

    def __init__(self, number: int, error: OpenFlowError) -> None:
        super().__init__(BUNDLE_MSG_FAILED, f"message {number}: {error}")
        self.number = number
        self.error = error


class BundleGroup(StagedGroup):
    """The operations of a bundle.

    :ivar culprit: the number of the message whose operation failed first; None: none did.
    """

    __slots__ = ("culprit",)

    def __init__(
        self,
        ledger: OperationLedger,
        owner: IRequester,
        xid: int,
        stages: Sequence[Sequence[Operation]],
    ) -> None:
        super().__init__(ledger, owner, xid, stages)
        self.culprit: int | None = None

    def blame(self, operation: Operation) -> None:
        """See :meth:`agent.ofproto.operations.OperationGroup.blame`."""
        if isinstance(operation, NetOperation):
            self.culprit = operation.number


class Later:
    """Limits of what a rule may refer to when the groups and meters are still to come."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    @property
    def reserved_ports(self) -> frozenset[int]:
        """See :class:`agent.ofproto.validate.Limits`, like the rest."""
        return self._limits.reserved_ports

    def has_table(self, table_id: int) -> bool:
        """Tables do not come and go in a bundle."""
        return self._limits.has_table(table_id)

    def has_group(self, group_id: int) -> bool:
        """Whether there can be such a group."""
        return group_id <= GROUP_MAX

    def has_meter(self, meter_id: int) -> bool:
        """Whether there can be such a meter."""
        return 0 < meter_id <= METER_MAX

    def check_queue(self, action: Enqueue | SetQueue) -> None:
        """Nor do queues."""
        self._limits.check_queue(action)

    def will_forget(self) -> None:
        """It will be said again when the rule comes."""


class Bundles:
    """What the switch does with bundles."""

    def __init__(
        self,
        can: Capabilities,
        flow_mods: FlowMods,
        group_mods: GroupMods,
        meter_mods: MeterMods,
        ledger: OperationLedger,
        limits: Limits,
    ) -> None:
        self._can = can
        self._ledger = ledger
        later = Later(limits)
        validators = [Validator(table.capabilities, later) for table in flow_mods.tables]
        self._checks: Mapping[type, Callable[[Any, IRequester], None]] = {
            FlowMod: lambda request, who: flow_mods.check(request, who, validators),
            GroupMod: group_mods.check,
            MeterMod: meter_mods.check,
        }
        self._plans: Mapping[type, Callable[[Any, IRequester], OperationGroup | None]] = {
            FlowMod: flow_mods.plan,
            GroupMod: group_mods.plan,
            MeterMod: meter_mods.plan,
        }

    def check(self, message: Message, requester: IRequester) -> None:
        """Check a message that is to be added to a bundle, as far as it can be told by itself.

        What it refers to may be made by another message, and whether there is room for it is known
        when the bundle is committed.

        :raises OpenFlowError: BUNDLE_FAILED/MSG_UNSUP for what cannot be part of a bundle; the
            errors of the message itself.
        """
        check = self._checks.get(type(message))
        if check is None:
            raise OpenFlowError(BUNDLE_MSG_UNSUP, type(message).__name__)
        check(message, requester)

    def commit(self, request: BundleCommit, requester: IRequester) -> OperationGroup | None:
        """Carry a bundle out.

        :returns: what is in flight now; None when there was nothing to do.
        :raises MessageFailed: when one of its messages is refused.
        :raises OpenFlowError: BUNDLE_FAILED/MSG_CONFLICT when the hardware would need to hold more
            than it can on the way.
        :raises Postponed: when it has to wait.
        """
        operations = net_change(self._rehearse(request.messages, requester))
        if all(operation.local for operation in operations):
            self._ledger.record(operations)
            return None
        stages = in_stages(operations, self._can)
        return self._ledger.accept(BundleGroup(self._ledger, requester, request.xid, stages))

    def _rehearse(
        self, messages: Sequence[Message], requester: IRequester
    ) -> list[tuple[int, Operation]]:
        """Carry the messages out, and take everything back.

        :returns: the operations, each with the number of its message.
        """
        journal: list[tuple[int, Operation]] = []
        try:
            for number, message in enumerate(messages):
                try:
                    group = self._plans[type(message)](message, requester)
                except OpenFlowError as error:
                    raise MessageFailed(number, error) from error
                if group is None:
                    continue
                for operation in group.operations:
                    operation.place.begin(operation)
                    operation.place.end(operation)
                    journal.append((number, operation))
        finally:
            for _, operation in reversed(journal):
                operation.place.revert(operation)
        return journal
