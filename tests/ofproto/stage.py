"""What the tests of :mod:`agent.ofproto` have in common: a switch, its driver and those who use it.

The driver is :class:`drivers.testing.ScriptableDriver`, the clock stands still until a test moves
it, and requesters write down what they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from agent.ofproto.conditions import Condition, Postponed
from agent.ofproto.interfaces import IRequester, ISwitchObserver
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import OperationGroup
from agent.ofproto.rule import Rule
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Instructions, Output
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.match import MATCH_ALL, Match
from drivers.interfaces import (
    RESERVED_PORTS,
    Capabilities,
    IRule,
    OperationKind,
    PacketInEvent,
    TableCapabilities,
)
from drivers.testing import ScriptableDriver

T = TypeVar("T")

REFUSED = OpenFlowError(errors.TABLE_FULL, "the hardware has no room")
"""What the hardware says when a test makes it refuse something."""


ADD = of.FlowModCommand.ADD
MODIFY = of.FlowModCommand.MODIFY
MODIFY_STRICT = of.FlowModCommand.MODIFY_STRICT
DELETE = of.FlowModCommand.DELETE
DELETE_STRICT = of.FlowModCommand.DELETE_STRICT

SEND_FLOW_REM = of.FlowModFlags.SEND_FLOW_REM
CHECK_OVERLAP = of.FlowModFlags.CHECK_OVERLAP
RESET_COUNTS = of.FlowModFlags.RESET_COUNTS
EMERG = of.FlowModFlags.EMERG

PORT1, PORT2, PORT3, PORT4 = (Match.of(in_port=number) for number in (1, 2, 3, 4))
IP1 = Match.of(in_port=1, eth_type=0x800)
"""More specific than PORT1."""
ARP = Match.of(eth_type=0x806)
"""Overlaps the matches on ports."""


def output(*ports: int) -> Instructions:
    """Instructions that send a packet to these ports."""
    return (ApplyActions(tuple(Output(port) for port in ports)),)


def flow_mod(command: of.FlowModCommand, match: Match = MATCH_ALL, **fields: Any) -> of.FlowMod:
    """A FLOW_MOD of priority 100, which sends to port 2."""
    values: dict[str, Any] = {"priority": 100, "instructions": output(2), "xid": 7} | fields
    return of.FlowMod(int(command), match, **values)


def essence(rule: IRule) -> tuple[object, ...]:
    """What a driver has of a rule."""
    return (rule.table_id, rule.priority, rule.match, rule.instructions, rule.cookie)


@implementer(IRequester)
class Requester:
    """A session that writes down which of its groups have ended.

    :ivar ended: the groups, in the order in which they ended.
    :ivar buffers: the packets kept for it, each with its port, by the number of the buffer.
    """

    def __init__(
        self, version: int = of.OFP13, name: str = "br0<->test", internal: bool = False
    ) -> None:
        self.name = name
        self.version = version
        self.miss_send_len = 128
        self.slave = False
        self.invalid_ttl = False
        self.internal = internal
        self.n_buffers = 256
        self.buffers: dict[int, tuple[bytes, int]] = {}
        self.ended: list[OperationGroup] = []

    def retrieve_buffer(self, buffer_id: int) -> tuple[bytes, int]:
        """See :class:`agent.ofproto.interfaces.IRequester`, like the rest."""
        if buffer_id not in self.buffers:
            raise OpenFlowError(errors.BUFFER_UNKNOWN)
        return self.buffers.pop(buffer_id)

    def group_ended(self, group: OperationGroup) -> None:
        """Remember."""
        assert group not in self.ended, "told twice"
        self.ended.append(group)


@implementer(ISwitchObserver)
class Observer:
    """A connection manager that writes down what the switch says by itself."""

    def __init__(self) -> None:
        self.removed: list[of.FlowRemoved] = []
        self.packet_ins: list[PacketInEvent] = []
        self.port_statuses: list[of.PortStatus] = []
        self.flushes = 0
        self.on_flushed: Callable[[], object] = lambda: None

    def flow_removed(self, message: of.FlowRemoved) -> None:
        """See :class:`agent.ofproto.interfaces.ISwitchObserver`, like the rest."""
        self.removed.append(message)

    def packet_in(self, event: PacketInEvent) -> None:
        """Remember a packet."""
        self.packet_ins.append(event)

    def port_status(self, message: of.PortStatus) -> None:
        """Remember what was said of a port."""
        self.port_statuses.append(message)

    def flushed(self) -> None:
        """Count, and do what the test wants."""
        self.flushes += 1
        self.on_flushed()


class SwitchTestCase(SynchronousTestCase):
    """Tests of a switch.

    :ivar driver_class: what the switch has for a driver.
    :ivar max_entries: of each of the driver's tables.
    :ivar max_pending: the cap on groups in flight.
    :ivar reserved_ports: those that the driver can output to.
    :ivar offers: other capabilities of the driver: groups, meters.
    """

    driver_class: type[ScriptableDriver] = ScriptableDriver
    max_entries: tuple[int, ...] = (8, 8)
    max_pending = 50
    reserved_ports = RESERVED_PORTS
    offers: Mapping[str, Any] = {}

    def setUp(self) -> None:
        """Start a switch with two small tables."""
        self.clock = Clock()
        self.driver = self.driver_class(
            capabilities=Capabilities(
                tuple(
                    TableCapabilities(number, f"table{number}", size)
                    for number, size in enumerate(self.max_entries)
                ),
                reserved_ports=self.reserved_ports,
                **self.offers,
            )
        )
        self.observer = Observer()
        self.switch = OFProto(
            "br0", 1, self.driver, self.clock, max_pending=self.max_pending, watchdog=60.0
        )
        self.switch.observer = self.observer
        self.switch.start()
        self.requester = Requester()
        self.old = Requester(of.OFP10, "br0<->old")
        self.internal = Requester(name="br0<->in-band", internal=True)

    def tearDown(self) -> None:
        """Whatever happened, the driver's contract was kept."""
        self.assertEqual(self.driver.violations, [])

    # Making things happen.

    def resize(self, table_id: int, size: int) -> None:
        """Let a table have room for so many rules, in the switch and in the hardware."""
        self.switch.tables[table_id].max_entries = size
        tables = list(self.driver.capabilities.tables)
        tables[table_id] = attrs.evolve(tables[table_id], max_entries=size)
        self.driver.capabilities = attrs.evolve(self.driver.capabilities, tables=tuple(tables))

    def turn(self) -> None:
        """End a turn of the reactor: the driver gets what is ready, timers that are due run."""
        self.clock.advance(0)

    def handle(self, request: Any, requester: Requester | None = None) -> Any:
        """Hand a request to the switch."""
        return self.switch.handle(request, requester or self.requester)

    def send(
        self,
        command: of.FlowModCommand,
        match: Match = MATCH_ALL,
        requester: Requester | None = None,
        **fields: Any,
    ) -> OperationGroup | None:
        """Hand a FLOW_MOD to the switch; see :func:`flow_mod`."""
        result = self.handle(flow_mod(command, match, **fields), requester)
        assert result is None or isinstance(result, OperationGroup)
        return result

    def start(
        self,
        command: of.FlowModCommand,
        match: Match = MATCH_ALL,
        requester: Requester | None = None,
        **fields: Any,
    ) -> OperationGroup:
        """Hand a FLOW_MOD to the switch, and the operations of it to the driver."""
        group = self.send(command, match, requester, **fields)
        assert group is not None, "there was nothing to do"
        self.turn()
        return group

    def add(
        self, match: Match = MATCH_ALL, requester: Requester | None = None, **fields: Any
    ) -> Rule:
        """Add a rule, and wait until it is in the hardware."""
        group = self.start(of.FlowModCommand.ADD, match, requester, **fields)
        self.driver.finish_all()
        self.assertTrue(group.ended)
        self.assertIsNone(group.error)
        rule = self.rule(match, fields.get("priority", 100), fields.get("table_id", 0))
        assert rule is not None
        return rule

    def run_to_end(self, seconds: float = 10.0) -> None:
        """Let the driver end well all it has been and will be given for a while."""
        for _ in range(10):
            self.turn()
            self.driver.finish_all()
            self.clock.advance(seconds / 10)
        self.driver.finish_all()

    # Looking at what happened.

    def kinds(self) -> list[OperationKind]:
        """What the driver is doing."""
        return [operation.kind for operation in self.driver.in_flight]

    def matches(self, table_id: int = 0) -> list[Match]:
        """The matches in a table."""
        return [rule.match for rule in self.rules(table_id)]

    def rule(self, match: Match = MATCH_ALL, priority: int = 100, table_id: int = 0) -> Rule | None:
        """The rule with just this match and priority."""
        return self.switch.tables[table_id].rules.find(match, priority)

    def rules(self, table_id: int = 0) -> list[Rule]:
        """All rules of a table, by priority and match."""
        return sorted(
            self.switch.tables[table_id].rules,
            key=lambda rule: (rule.priority, rule.match.mask, rule.match.value),
        )

    def postponed(self, call: Callable[..., object], *args: Any, **kwargs: Any) -> Condition:
        """The condition that ``call`` waits for, which has had no effect."""
        before = (
            [(rule, rule.pending) for table in (0, 1) for rule in self.rules(table)],
            list(self.switch.ledger.groups),
        )
        condition = self.assertRaises(Postponed, call, *args, **kwargs).condition
        after = (
            [(rule, rule.pending) for table in (0, 1) for rule in self.rules(table)],
            list(self.switch.ledger.groups),
        )
        self.assertEqual(before, after, "a postponed request had an effect")
        self.assertTrue(condition.describe())
        assert isinstance(condition, Condition)
        return condition

    def refused(
        self, code: ErrorCode, call: Callable[..., object], *args: Any, **kwargs: Any
    ) -> None:
        """``call`` is refused with this error."""
        error = self.assertRaises(OpenFlowError, call, *args, **kwargs)
        self.assertIs(error.code, code)

    def assert_settled(self) -> None:
        """Nothing is in flight, nothing is pending, and the hardware has what the tables say."""
        self.assertEqual(list(self.switch.ledger.groups), [])
        for table in self.switch.tables:
            self.assertEqual((table.pending, table.deleting, table.adding), ({}, {}, 0))
            self.assertEqual([rule for rule in table.rules if rule.pending is not None], [])
        self.assertEqual(
            {handle: essence(rule) for handle, rule in self.driver.hardware.items()},
            {rule.handle: essence(rule) for rule in self.switch.rules()},
        )
        for numbered, has in (
            (self.switch.group_mods.table, self.driver.groups),
            (self.switch.meter_mods.table, self.driver.meters),
        ):
            self.assertEqual((numbered.pending, numbered.deleting), ({}, {}))
            self.assertEqual(has, numbered.entries)


class ThreeRulesTestCase(SwitchTestCase):
    """A switch with three rules."""

    def setUp(self) -> None:
        """Add the rules."""
        super().setUp()
        for match in (PORT1, PORT2, PORT3):
            self.add(match, cookie=5)
        self.assert_settled()

    def error(self, group: OperationGroup) -> OpenFlowError:
        """The error of a group that has ended."""
        self.assertTrue(group.ended)
        assert isinstance(group.error, OpenFlowError)
        return group.error

    def instructions(self) -> list[object]:
        """What the rules do, by port."""
        return [rule.instructions for rule in self.rules()]
