"""OFPT_METER_MOD: meters, which police the packets of the rules that name them.

Requests wait, and deletions take rules with them, just as those about groups do
(:mod:`agent.ofproto.groups`).

Source: OpenFlow 1.3.5 sections 5.7, 6.5 and 7.3.4.4; where they are silent, Open vSwitch.
"""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from agent.ofproto.flow_mod import FlowMods
from agent.ofproto.interfaces import IRequester
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.numbered import Naming, NumberedTable
from agent.ofproto.operations import Operation, OperationGroup, StagedGroup
from agent.openflow import errors
from agent.openflow.errors import OpenFlowError
from agent.openflow.group_messages import (
    METER_ALL,
    METER_MAX,
    GroupCommand,
    MeterBand,
    MeterFlags,
    MeterMod,
)
from agent.openflow.messages import RemovedReason
from drivers.interfaces import Capabilities, Counters, IMeter, OperationKind, Target

UNITS = MeterFlags.KBPS | MeterFlags.PKTPS


@implementer(IMeter)
@attrs.define(eq=False)
class Meter:
    """One version of a meter; see :class:`agent.ofproto.rule.Rule` for what that means."""

    handle: int
    meter_id: int
    flags: int
    bands: tuple[MeterBand, ...]
    counters: Counters
    band_counters: tuple[Counters, ...]
    created: float
    pending: Operation | None = None
    degraded: str = ""

    @property
    def number(self) -> int:
        """See :class:`agent.ofproto.numbered.Numbered`."""
        return self.meter_id


class MeterMods:
    """The meters of a bridge, and the requests which change them.

    :ivar table: the meters.
    """

    def __init__(
        self, can: Capabilities, flow_mods: FlowMods, ledger: OperationLedger, clock: IReactorTime
    ) -> None:
        self.table: NumberedTable[Meter] = NumberedTable(
            "meters", Target.METER, errors.METER_UNKNOWN, flow_mods.forget
        )
        self._can = can
        self._flow_mods = flow_mods
        self._ledger = ledger
        self._clock = clock

    def handle(self, request: MeterMod, requester: IRequester) -> OperationGroup | None:
        """Execute a request, as far as that can be done at once.

        :returns: what is in flight now; None when there was nothing to do.
        :raises OpenFlowError: when it is refused.
        :raises Postponed: when it has to wait.
        """
        group = self.plan(request, requester)
        return None if group is None else self._ledger.accept(group)

    def plan(self, request: MeterMod, requester: IRequester) -> OperationGroup | None:
        """What :meth:`handle` would start, if there is room for it; changes nothing."""
        # OFPMC_* are the same numbers.
        if request.command in (GroupCommand.ADD, GroupCommand.MODIFY):
            return self._set(request, requester)
        if request.command == GroupCommand.DELETE:
            return self._delete(request, requester)
        raise OpenFlowError(errors.METER_BAD_COMMAND, f"command {request.command}")

    def check(self, request: MeterMod, requester: IRequester) -> None:
        """Check what can be told from a request alone.

        :raises OpenFlowError: what is wrong with it.
        """
        if request.command in (GroupCommand.ADD, GroupCommand.MODIFY):
            self._check(request)
        elif request.command != GroupCommand.DELETE:
            raise OpenFlowError(errors.METER_BAD_COMMAND, f"command {request.command}")

    def has(self, meter_id: int) -> bool:
        """Whether there is such a meter.

        :raises Postponed: when something is in flight about it.
        """
        return self.table.find(meter_id) is not None

    def _check(self, request: MeterMod) -> None:
        """Check what can be told from the request alone."""
        can = self._can
        if not can.max_meters:
            raise OpenFlowError(errors.OUT_OF_METERS, "there are no meters")
        if not 0 < request.meter_id <= METER_MAX:
            raise OpenFlowError(errors.INVALID_METER, f"meter {request.meter_id:#x}")
        flags = request.flags
        if flags & ~int(can.meter_flags) or flags & UNITS == UNITS:
            raise OpenFlowError(errors.METER_BAD_FLAGS, f"flags {flags:#x}")
        if not flags & UNITS and not can.meter_flags & MeterFlags.KBPS:
            raise OpenFlowError(errors.METER_BAD_FLAGS, "rates are in packets a second here")
        if len(request.bands) > can.max_bands:
            raise OpenFlowError(errors.OUT_OF_BANDS, f"{len(request.bands)} bands")
        for band in request.bands:
            if band.type not in can.band_types:
                raise OpenFlowError(errors.BAD_BAND, f"bands of type {band.type}")

    def _set(self, request: MeterMod, requester: IRequester) -> OperationGroup:
        """ADD or MODIFY."""
        self._check(request)
        number = request.meter_id
        old = self.table.find(number)
        if request.command == GroupCommand.ADD:
            if old is not None:
                raise OpenFlowError(errors.METER_EXISTS, f"meter {number}")
            self.table.check_room(self._can.max_meters, errors.OUT_OF_METERS, lambda meter: True)
            kind = OperationKind.ADD
        else:
            if old is None:
                raise OpenFlowError(errors.UNKNOWN_METER, f"meter {number}")
            kind = OperationKind.MODIFY
        # "Meter top-level statistics are preserved, meter band statistics are reset."
        meter = Meter(
            self._flow_mods.new_handle() if old is None else old.handle,
            number,
            request.flags,
            request.bands,
            Counters() if old is None else old.counters,
            tuple(Counters() for _ in request.bands),
            self._clock.seconds() if old is None else old.created,
        )
        return OperationGroup(
            self._ledger, requester, request.xid, (Operation(kind, meter, old, self.table),)
        )

    def _delete(self, request: MeterMod, requester: IRequester) -> OperationGroup | None:
        """Delete a meter, or all, with the rules that name it.

        :raises Postponed: when it has to wait.
        """
        meter_id = request.meter_id
        if meter_id == METER_ALL:
            doomed = self.table.settled()
        else:
            meter = self.table.find(meter_id)
            doomed = [] if meter is None else [meter]
        if not doomed:
            return None
        rules = self._flow_mods.naming(Naming(meters=frozenset(m.meter_id for m in doomed)))
        stages = [self._flow_mods.deletions(rules, RemovedReason.METER_DELETE)] if rules else []
        stages.append([Operation(OperationKind.DELETE, each, each, self.table) for each in doomed])
        return StagedGroup(self._ledger, requester, request.xid, stages, atomic=False)
