"""What the tests of groups and meters have in common: requests, and a driver that offers both."""

from __future__ import annotations

from typing import Any

from agent.ofproto.operations import OperationGroup
from agent.openflow.actions import (
    Action,
    ApplyActions,
    GroupAction,
    Instructions,
    MeterInstruction,
    Output,
)
from agent.openflow.group_messages import (
    BandType,
    Bucket,
    GroupCommand,
    GroupMod,
    GroupType,
    MeterBand,
    MeterFlags,
    MeterMod,
)
from tests.ofproto.stage import Requester, SwitchTestCase

G_ADD, G_MODIFY, G_DELETE = GroupCommand
DROP = MeterBand(BandType.DROP, 1000, 100)


def to_group(*numbers: int) -> Instructions:
    """Instructions that hand a packet to these groups."""
    return (ApplyActions(tuple(GroupAction(number) for number in numbers)),)


def metered(number: int) -> Instructions:
    """Instructions of a rule with a meter."""
    return (MeterInstruction(number), ApplyActions((Output(2),)))


def bucket(*actions: Action, **fields: int) -> Bucket:
    """A bucket, which sends to port 1 unless told otherwise."""
    return Bucket(actions=actions or (Output(1),), **fields)


def group_mod(
    command: int, number: int, *buckets: Bucket, kind: int = GroupType.ALL, xid: int = 9
) -> GroupMod:
    """A GROUP_MOD."""
    return GroupMod(command, kind, number, buckets, xid)


def meter_mod(
    command: int, number: int, *bands: MeterBand, flags: int = MeterFlags.KBPS, xid: int = 9
) -> MeterMod:
    """A METER_MOD."""
    return MeterMod(command, flags, number, bands, xid)


class NumberedTestCase(SwitchTestCase):
    """A switch whose driver has a few groups of every type, and a few meters."""

    offers = {
        "group_types": frozenset(GroupType),
        "max_groups": 4,
        "max_buckets": 3,
        "max_meters": 3,
        "max_bands": 2,
    }

    def begin(self, request: Any, requester: Requester | None = None) -> OperationGroup:
        """Hand a request to the switch, and what is ready to the driver."""
        group = self.handle(request, requester)
        assert isinstance(group, OperationGroup), "there was nothing to do"
        self.turn()
        return group

    def do(self, request: Any) -> OperationGroup:
        """Carry a request out, all of it."""
        group = self.begin(request)
        self.run_to_end()
        self.assertEqual((group.ended, group.error), (True, None))
        return group

    def finish(self, count: int = 1) -> None:
        """Let the driver end operations well, and the turn with them."""
        for _ in range(count):
            self.driver.finish()
        self.turn()

    def let_watchdog_bark(self) -> None:
        """Let time pass, in small steps, until what the driver has lost is given up."""
        for _ in range(20):
            self.clock.advance(4)

    @property
    def groups(self) -> list[int]:
        """The groups there are."""
        return list(self.switch.group_mods.table.entries)

    @property
    def meters(self) -> list[int]:
        """The meters there are."""
        return list(self.switch.meter_mods.table.entries)

    def flight(self) -> list[tuple[str, str, int]]:
        """What the driver is doing, and to what."""
        return [
            (op.kind.value, op.target.value, getattr(op.rule, "number", -1))
            for op in self.driver.in_flight
        ]
