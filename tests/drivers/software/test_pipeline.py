"""Tests of :mod:`drivers.software.pipeline` and :mod:`drivers.software.program`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import (
    Action,
    ApplyActions,
    ClearActions,
    CopyTtlIn,
    CopyTtlOut,
    DecMplsTtl,
    DecNwTtl,
    Enqueue,
    GotoTable,
    GroupAction,
    Instruction,
    MeterInstruction,
    Output,
    PopMpls,
    PopPbb,
    PopVlan,
    PushMpls,
    PushPbb,
    PushVlan,
    SetField,
    SetMplsTtl,
    SetNwTtl,
    SetQueue,
    SetTpDst,
    SetTpSrc,
    SetVlanPcp,
    SetVlanVid,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.fields import FIELDS, METADATA
from agent.openflow.match import Match
from agent.openflow.messages import PacketInReason, Port
from agent.packet.flowkey import flow_key
from drivers.software.driver import SoftwareDriver, create
from drivers.software.memory import MemoryPort
from drivers.software.pipeline import MAX_PROGRAMS, NO_COOKIE
from drivers.software.port import NO_FLOOD, NO_PACKET_IN
from drivers.software.program import ACTIONS, SET_ACTIONS, compile_actions, compile_instructions
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.frames import FRAME, ODD_FRAMES

EXAMPLES: tuple[Action, ...] = (
    CopyTtlIn(),
    CopyTtlOut(),
    DecMplsTtl(),
    DecNwTtl(),
    Enqueue(2, 1),
    GroupAction(1),
    Output(2),
    PopMpls(0x800),
    PopPbb(),
    PopVlan(),
    PushMpls(0x8847),
    PushPbb(0x88E7),
    PushVlan(0x8100),
    SetField(FIELDS["eth_dst"], 0x020000000009),
    SetMplsTtl(9),
    SetNwTtl(9),
    SetQueue(1),
    SetTpDst(80),
    SetTpSrc(80),
    SetVlanPcp(3),
    SetVlanVid(5),
)
"""One of each kind of action."""


def get(field: str, frame: bytes) -> int:
    """A field of a frame."""
    return FIELDS[field].get(flow_key(frame, 0))


class PipelineCase(SynchronousTestCase):
    """A datapath with four ports and rules."""

    def setUp(self) -> None:
        """No rules yet, and an agent that does not speak OpenFlow 1.0."""
        entries = [FakeEntry(f"p{n}", n) for n in (1, 2, 3, 4)]
        self.driver: SoftwareDriver = create({"tables": 4}, entries, [])
        self.host = FakeHost(miss_to_controller=False)
        self.driver.start(self.host)

    def add(self, *instructions: Instruction, **fields: Any) -> FakeRule:
        """Add a rule; ``table_id``, ``priority`` and ``cookie`` besides the fields it matches."""
        own = {key: fields.pop(key) for key in ("table_id", "priority", "cookie") if key in fields}
        rule = FakeRule(Match.of(**fields), instructions=instructions, **own)
        self.driver.submit([FakeOperation.add(rule)])
        return rule

    def port(self, number: int) -> MemoryPort:
        """A port."""
        port = self.driver.port(number)
        assert isinstance(port, MemoryPort)
        return port

    def send(self, frame: bytes = FRAME, in_port: int = 1) -> dict[int, list[bytes]]:
        """Let a frame come in; returns what goes out where."""
        self.port(in_port).inject(frame)
        return self.sent()

    def sent(self) -> dict[int, list[bytes]]:
        """What went out where since the last time."""
        found = {}
        for number in (1, 2, 3, 4):
            if frames := list(self.port(number).sent):
                found[number] = frames
                self.port(number).sent.clear()
        return found


class OutputTests(PipelineCase):
    """Where packets go."""

    def test_port(self) -> None:
        """Output to a port sends the frame there as it came."""
        self.add(ApplyActions((Output(2), Output(3))))
        self.assertEqual(self.send(), {2: [FRAME], 3: [FRAME]})

    def test_not_back(self) -> None:
        """Output to the port where it came in does nothing; IN_PORT sends it back."""
        self.add(ApplyActions((Output(1), Output(2))))
        self.assertEqual(self.send(), {2: [FRAME]})
        self.add(ApplyActions((Output(Port.IN_PORT),)), in_port=1, priority=0xFFFF)
        self.assertEqual(self.send(), {1: [FRAME]})

    def test_no_port(self) -> None:
        """Output to a port that is not there does nothing, and what follows happens."""
        self.add(ApplyActions((Output(99), Output(Port.LOCAL), Output(2))))
        self.assertEqual(self.send(), {2: [FRAME]})

    def test_flood_and_all(self) -> None:
        """FLOOD leaves out the ports that do not take part, ALL does not."""
        self.driver.port_mod(3, NO_FLOOD, NO_FLOOD)
        flood = self.add(ApplyActions((Output(Port.FLOOD),)))
        self.assertEqual(set(self.send()), {2, 4})
        self.driver.submit([FakeOperation.modify(flood, (ApplyActions((Output(Port.ALL),)),))])
        self.assertEqual(set(self.send()), {2, 3, 4})

    def test_enqueue(self) -> None:
        """Enqueue is an output."""
        self.add(ApplyActions((Enqueue(2, 1),)))
        self.assertEqual(self.send(), {2: [FRAME]})

    def test_drop(self) -> None:
        """A rule without instructions drops, and counts."""
        rule = self.add(in_port=1)
        self.assertEqual(self.send(), {})
        self.assertEqual((rule.counters.packets, rule.counters.bytes), (1, len(FRAME)))


class TableTests(PipelineCase):
    """The way through the tables."""

    def test_goto(self) -> None:
        """A later table sees what the earlier ones have changed, and each counts."""
        self.add(
            ApplyActions((SetField(FIELDS["eth_dst"], 0x020000000009),)),
            WriteMetadata(0xAB00, 0xFF00),
            GotoTable(2),
        )
        last = self.add(
            ApplyActions((Output(2),)),
            table_id=2,
            eth_dst=0x020000000009,
            metadata=(0xAB00, 0xFFFF),
        )
        ((frame,),) = self.send().values()
        self.assertEqual(get("eth_dst", frame), 0x020000000009)
        self.assertEqual(last.counters.packets, 1)
        counters = self.successResultOf(self.driver.table_stats())
        self.assertEqual(
            [(counters[n].lookups, counters[n].matches) for n in range(4)],
            [(1, 1), (0, 0), (1, 1), (0, 0)],
        )

    def test_highest_priority(self) -> None:
        """Of several rules the one of highest priority is hit, and only that one counts."""
        low = self.add(ApplyActions((Output(2),)), priority=1)
        high = self.add(ApplyActions((Output(3),)), priority=2, in_port=1)
        self.assertEqual(set(self.send()), {3})
        self.assertEqual((low.counters.packets, high.counters.packets), (0, 1))

    def test_metadata_mask(self) -> None:
        """Metadata keeps the bits outside the mask."""
        self.add(WriteMetadata(0xFFFF, 0xFFFF), GotoTable(1))
        self.add(WriteMetadata(0, 0x0FF0), GotoTable(2), table_id=1)
        rule = self.add(table_id=2, metadata=0xF00F)
        self.send()
        self.assertEqual(rule.counters.packets, 1)

    def test_metadata_does_not_leave(self) -> None:
        """The next packet begins with no metadata."""
        self.add(WriteMetadata(1, 1), GotoTable(1), in_port=1)
        self.add(GotoTable(1), in_port=2)
        seen = self.add(table_id=1, metadata=1)
        self.send()
        self.send(in_port=2)
        self.assertEqual(seen.counters.packets, 1)

    def test_miss_dropped(self) -> None:
        """What hits no rule is dropped, in any table."""
        self.assertEqual(self.send(), {})
        self.add(WriteActions((Output(2),)), GotoTable(1))
        self.assertEqual(self.send(), {})
        self.assertEqual(self.host.packet_ins, [])

    def test_miss_to_controller(self) -> None:
        """With OpenFlow 1.0, what hits no rule in the first table goes to the controllers, with a
        cookie that no rule has; what misses in another is dropped."""
        self.host.miss_to_controller = True
        self.send()
        (event,) = self.host.packet_ins
        self.assertEqual(
            (event.data, event.in_port, event.reason, event.table_id, event.cookie),
            (FRAME, 1, PacketInReason.NO_MATCH, 0, NO_COOKIE),
        )
        self.assertIsNone(event.max_len)
        self.add(GotoTable(1))
        self.send()
        self.assertEqual(len(self.host.packet_ins), 1)

    def test_used(self) -> None:
        """A rule knows when it was hit last."""
        rule = self.add()
        self.host.reactor.advance(12)
        self.send()
        self.assertEqual(rule.counters.used, 12)

    def test_programs_are_bounded(self) -> None:
        """However many different instructions there are, only so many compiled ones are kept, and
        each packet still meets its own."""
        for number in range(MAX_PROGRAMS + 10):
            self.add(
                ApplyActions((SetField(FIELDS["eth_dst"], number), Output(2))),
                eth_type=0x800,
                ipv4_dst=number,
            )
            frame = FRAME[:30] + number.to_bytes(4, "big") + FRAME[34:]
            ((out,),) = self.send(frame).values()
            self.assertEqual(get("eth_dst", out), number)
        self.assertLessEqual(len(self.driver.pipeline._programs), MAX_PROGRAMS)


class ActionSetTests(PipelineCase):
    """What is written into the action set, and when it is executed."""

    def test_executed_at_the_end(self) -> None:
        """The set is executed where no goto follows, in the order of the specification."""
        self.add(WriteActions((Output(2), SetVlanVid(5), PushVlan(0x8100))), GotoTable(1))
        self.add(table_id=1)
        ((frame,),) = self.send().values()
        self.assertEqual(get("vlan_vid", frame), 0x1005)
        self.assertEqual(len(frame), len(FRAME) + 4)

    def test_overwritten(self) -> None:
        """A later write of the same kind, or field, takes the place of the earlier; enqueue and
        output are one kind."""
        self.add(
            WriteActions(
                (Output(2), SetField(FIELDS["eth_dst"], 1), SetField(FIELDS["eth_src"], 1))
            ),
            GotoTable(1),
        )
        self.add(WriteActions((SetField(FIELDS["eth_dst"], 2), Enqueue(3, 0))), table_id=1)
        sent = self.send()
        ((frame,),) = sent.values()
        self.assertEqual(set(sent), {3})
        self.assertEqual((get("eth_dst", frame), get("eth_src", frame)), (2, 1))

    def test_cleared(self) -> None:
        """Clear empties the set before the same rule writes to it."""
        self.add(WriteActions((Output(2), SetField(FIELDS["eth_dst"], 1))), GotoTable(1))
        self.add(ClearActions(), WriteActions((Output(3),)), table_id=1)
        self.assertEqual(self.send(), {3: [FRAME]})

    def test_rules_are_not_changed(self) -> None:
        """What one packet adds to its set, the next does not find there."""
        self.add(WriteActions((Output(2),)), GotoTable(1))
        self.add(WriteActions((SetField(FIELDS["eth_dst"], 1),)), table_id=1, in_port=1)
        self.add(table_id=1, in_port=3)
        self.send()
        self.assertEqual(self.send(in_port=3), {2: [FRAME]})

    def test_applied_at_once(self) -> None:
        """Applied actions happen before the set, and see the packet as it is then."""
        self.add(
            ApplyActions((Output(3),)), WriteActions((SetField(FIELDS["eth_dst"], 1), Output(2)))
        )
        sent = self.send()
        self.assertEqual(sent[3], [FRAME])
        self.assertEqual(get("eth_dst", sent[2][0]), 1)


class ControllerTests(PipelineCase):
    """Packets for the controllers."""

    def test_action(self) -> None:
        """An output to CONTROLLER has the rule's table and cookie, what is wanted of it, and the
        packet as it is then with all that it has gathered."""
        self.add(WriteMetadata(7, 0xFF), GotoTable(1))
        self.add(
            ApplyActions((SetVlanVid(5), Output(Port.CONTROLLER, 40))),
            table_id=1,
            cookie=0xBEEF,
            in_port=1,
        )
        self.send()
        (event,) = self.host.packet_ins
        self.assertEqual(
            (event.reason, event.table_id, event.cookie, event.max_len, event.in_port),
            (PacketInReason.ACTION, 1, 0xBEEF, 40, 1),
        )
        self.assertEqual(get("vlan_vid", event.data), 0x1005)
        self.assertEqual(METADATA.get(event.key), 7)

    def test_table_miss_rule(self) -> None:
        """From a table-miss rule the reason is NO_MATCH, with that rule's cookie."""
        self.add(ApplyActions((Output(Port.CONTROLLER, 0xFFFF),)), priority=0, cookie=1)
        self.send()
        (event,) = self.host.packet_ins
        self.assertEqual((event.reason, event.cookie), (PacketInReason.NO_MATCH, 1))

    def test_no_packet_in(self) -> None:
        """A port can be exempt from packet-ins for misses, and for nothing else."""
        self.host.miss_to_controller = True
        self.driver.port_mod(1, NO_PACKET_IN, NO_PACKET_IN)
        self.send()
        self.assertEqual(self.host.packet_ins, [])
        self.add(ApplyActions((Output(Port.CONTROLLER, 0xFFFF),)), in_port=1)
        self.send()
        self.assertEqual(len(self.host.packet_ins), 1)

    def test_invalid_ttl(self) -> None:
        """A packet whose TTL runs out goes to the controllers and nowhere else."""
        self.add(ApplyActions((DecNwTtl(), Output(2))), cookie=5)
        self.assertEqual(get("nw_ttl", self.send()[2][0]), 63)
        dying = FRAME[:22] + b"\x01" + FRAME[23:]
        self.assertEqual(self.send(dying), {})
        (event,) = self.host.packet_ins
        self.assertEqual(
            (event.reason, event.cookie, event.table_id, event.max_len),
            (PacketInReason.INVALID_TTL, 5, 0, None),
        )
        self.assertEqual(event.data, dying)


class PacketOutTests(PipelineCase):
    """Packets from the controllers."""

    def out(self, *actions: Action, in_port: int = Port.CONTROLLER) -> dict[int, list[bytes]]:
        """Send a packet-out; returns what goes out where."""
        self.driver.packet_out(FRAME, in_port, actions)
        return self.sent()

    def test_output(self) -> None:
        """Actions are executed in order."""
        sent = self.out(Output(1), SetVlanVid(5), Output(2))
        self.assertEqual(sent[1], [FRAME])
        self.assertEqual(get("vlan_vid", sent[2][0]), 0x1005)

    def test_in_port(self) -> None:
        """FLOOD does not go to the port it is said to come from, IN_PORT does."""
        self.assertEqual(set(self.out(Output(Port.FLOOD), in_port=2)), {1, 3, 4})
        self.assertEqual(set(self.out(Output(Port.IN_PORT), in_port=2)), {2})
        self.assertEqual(set(self.out(Output(Port.FLOOD))), {1, 2, 3, 4})
        self.assertEqual(self.out(Output(Port.IN_PORT)), {})

    def test_table(self) -> None:
        """TABLE sends a copy through the tables; what follows happens to the packet itself."""
        rule = self.add(ApplyActions((SetVlanVid(5), Output(3))), in_port=2)
        sent = self.out(Output(Port.TABLE), Output(4), in_port=2)
        self.assertEqual(get("vlan_vid", sent[3][0]), 0x1005)
        self.assertEqual(sent[4], [FRAME])
        self.assertEqual(rule.counters.packets, 1)

    def test_to_controller(self) -> None:
        """A packet-out to the controllers comes back with no rule's cookie."""
        self.out(Output(Port.CONTROLLER, 0xFFFF))
        (event,) = self.host.packet_ins
        self.assertEqual((event.reason, event.cookie), (PacketInReason.ACTION, NO_COOKIE))


class CompilerTests(PipelineCase):
    """What can be executed at all."""

    def test_every_action(self) -> None:
        """Each kind of OpenFlow action can be executed, on any frame, applied and written; those
        of Nicira have tests of their own."""
        # attrs makes each class anew for its slots; the first may not have been collected yet.
        kinds = {
            kind
            for kind in Action.__subclasses__()
            if "__slots__" in kind.__dict__ and kind.__module__ == Action.__module__
        }
        self.assertEqual(kinds - ACTIONS, set())
        self.assertEqual({type(action) for action in EXAMPLES}, kinds)
        for action in EXAMPLES:
            rule = self.add(ApplyActions((action, Output(3))), WriteActions((action, Output(4))))
            for frame in (FRAME, *ODD_FRAMES):
                self.send(frame)
            self.driver.submit([FakeOperation.delete(rule)])

    @given(
        st.lists(st.sampled_from(EXAMPLES), max_size=8),
        st.binary(max_size=80) | st.sampled_from(ODD_FRAMES),
    )
    def test_any_actions_on_any_frame(self, actions: list[Action], frame: bytes) -> None:
        """No list of actions, on no frame, raises anything."""
        self.driver.packet_out(frame, 1, (*actions, Output(2)))

    def test_cannot(self) -> None:
        """What cannot be executed is not compiled either."""
        odd: Any = object()
        self.assertRaises(KeyError, compile_actions, (odd,))
        self.assertRaises(TypeError, compile_instructions, (odd,))

    def test_offered(self) -> None:
        """What the driver says it can do is what can be compiled."""
        for table in self.driver.capabilities.tables:
            self.assertEqual((table.actions, table.write_actions), (ACTIONS, SET_ACTIONS))
            self.assertIn(MeterInstruction, table.instructions or ())
