"""Tests of :mod:`drivers.software.trace`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.openflow.actions import (
    Action,
    ApplyActions,
    ClearActions,
    DecMplsTtl,
    DecNwTtl,
    GotoTable,
    Instruction,
    Output,
    PopVlan,
    PushMpls,
    PushVlan,
    SetField,
    SetQueue,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.fields import FIELDS
from agent.openflow.match import Match
from agent.openflow.messages import PacketInReason, Port
from agent.openflow.text_parse import parse_flow
from agent.packet.compose import compose
from agent.packet.flowkey import flow_key
from drivers.abilities import ITracing, Trace, TraceKind, TraceNode
from drivers.software import recorder
from drivers.software.driver import SoftwareDriver, create
from drivers.software.memory import MemoryPort
from drivers.software.port import NO_FWD, PORT_DOWN
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.frames import FRAME, ODD_FRAMES

SET = SetField(FIELDS["eth_dst"], 9)
MARKS = {
    TraceKind.TABLE: "",
    TraceKind.ACTION: "",
    TraceKind.DETAIL: "-> ",
    TraceKind.WARNING: ">> ",
    TraceKind.ERROR: ">>>> ",
}

STEPS = st.sampled_from(
    (
        Output(1),
        Output(2),
        Output(3),
        Output(77),
        Output(Port.IN_PORT),
        Output(Port.FLOOD),
        Output(Port.ALL),
        Output(Port.NORMAL),
        Output(Port.CONTROLLER, 99),
        SET,
        DecNwTtl(),
        PushVlan(0x8100),
        PopVlan(),
        SetQueue(2),
    )
)


def texts(nodes: list[TraceNode]) -> list[Any]:
    """Lines with the lines below them, if any, in lists."""
    found: list[Any] = []
    for node in nodes:
        found.append(MARKS[node.kind] + node.text)
        if node.below:
            found.append(texts(node.below))
    return found


class TraceCase(SynchronousTestCase):
    """A datapath of four ports, for an agent that does not speak OpenFlow 1.0."""

    def setUp(self) -> None:
        """No rules yet."""
        entries = [FakeEntry(f"p{n}", n) for n in (1, 2, 3, 4)]
        self.driver: SoftwareDriver = create({"tables": 4}, entries, [])
        self.host = FakeHost(reactor=Clock(), miss_to_controller=False)
        self.driver.start(self.host)

    def add(self, *instructions: Instruction, **fields: Any) -> FakeRule:
        """Add a rule; ``table_id``, ``priority`` and ``cookie`` besides the fields it matches."""
        own = {key: fields.pop(key) for key in ("table_id", "priority", "cookie") if key in fields}
        rule = FakeRule(Match.of(**fields), instructions=instructions, **own)
        self.driver.submit([FakeOperation.add(rule)])
        return rule

    def trace(self, flow: str) -> Trace:
        """Trace a packet."""
        key = parse_flow(flow)
        return self.driver.trace(compose(key), key)

    def told(self, *actions: Action, flow: str = "in_port=1,ip,nw_ttl=9") -> list[Any]:
        """What is told of these actions, and what they come to."""
        self.add(ApplyActions(actions))
        trace = self.trace(flow)
        (_, lines) = texts(trace.nodes)
        return [*lines, trace.actions]


class WayTests(TraceCase):
    """The way through the tables."""

    def test_interface(self) -> None:
        """The driver says that it can be asked."""
        verifyObject(ITracing, self.driver)

    def test_tables(self) -> None:
        """Each table says what is hit, and what that does is below."""
        self.add(ApplyActions((SET, Output(2))), GotoTable(1), eth_type=0x800, priority=10)
        self.add(table_id=1, eth_dst=9, cookie=0xAB, priority=3)
        trace = self.trace("in_port=1,ip")
        self.assertEqual(
            texts(trace.nodes),
            [
                " 0. ip, priority 10",
                [
                    "set_field:00:00:00:00:00:09->eth_dst",
                    "output:2",
                    "goto_table:1",
                    " 1. dl_dst=00:00:00:00:00:09, priority 3, cookie 0xab",
                    ["drop"],
                ],
            ],
        )
        self.assertEqual(trace.actions, ["set(eth(dst=00:00:00:00:00:09))", "2"])
        self.assertEqual(FIELDS["eth_dst"].get(trace.key), 9)

    def test_lookups(self) -> None:
        """Each lookup says by what it was made and what was hit."""
        rule = self.add(WriteMetadata(5, 0xFF), GotoTable(2))
        trace = self.trace("in_port=1,ip")
        first, _, _, second, _ = trace.walk()
        self.assertEqual((first.table_id, first.key), (0, parse_flow("in_port=1,ip")))
        assert first.rule is not None
        self.assertEqual(first.rule.handle, rule.handle)
        self.assertEqual((second.table_id, second.rule), (2, None))
        self.assertEqual(second.key, parse_flow("in_port=1,ip,metadata=5"))

    def test_no_match(self) -> None:
        """A packet that hits nothing is dropped."""
        self.assertEqual(texts(self.trace("in_port=1,ip").nodes), [" 0. No match.", ["drop"]])

    def test_miss_to_controller(self) -> None:
        """With OpenFlow 1.0 it goes to the controllers, if that happens in the first table."""
        self.host.miss_to_controller = True
        trace = self.trace("in_port=1,ip")
        self.assertEqual(texts(trace.nodes), [" 0. No match.", ["CONTROLLER:65535"]])
        self.assertEqual(
            trace.actions,
            [
                "userspace(controller(reason=0,rule_cookie=0xffffffffffffffff,"
                "controller_id=0,max_len=65535))"
            ],
        )
        self.add(GotoTable(1))
        self.assertEqual(texts(self.trace("in_port=1,ip").nodes)[1][2], ["drop"])

    def test_metadata(self) -> None:
        """Fields that are no part of a frame can be said of the packet."""
        self.add(metadata=7, reg1=5)
        self.assertEqual(
            texts(self.trace("in_port=1,metadata=7,reg1=5").nodes)[0],
            " 0. reg1=0x5,metadata=0x7, priority 32768",
        )


class ActionSetTests(TraceCase):
    """What is told of the action set."""

    def test_written(self) -> None:
        """What it is after each change is told, and that it is executed."""
        self.add(WriteActions((Output(4), SetQueue(3))), GotoTable(1))
        self.add(
            ApplyActions((Output(2),)),
            WriteActions((Output(3),)),
            WriteMetadata(0xA0, 0xF0),
            table_id=1,
        )
        trace = self.trace("in_port=1,arp")
        self.assertEqual(
            texts(trace.nodes),
            [
                " 0. priority 32768",
                [
                    "write_actions(output:4,set_queue:3)",
                    "-> action set is: set_queue:3,output:4",
                    "goto_table:1",
                    " 1. priority 32768",
                    [
                        "output:2",
                        "write_actions(output:3)",
                        "-> action set is: set_queue:3,output:3",
                        "write_metadata:0xa0/0xf0",
                    ],
                    "--. Executing action set:",
                    ["set_queue:3", "output:3"],
                ],
            ],
        )
        self.assertEqual(trace.actions, ["2", "3"])

    def test_cleared(self) -> None:
        """What is cleared is told, and what is written after that."""
        self.add(WriteActions((Output(4),)), GotoTable(1))
        self.add(ClearActions(), GotoTable(2), table_id=1)
        self.add(ClearActions(), WriteActions((Output(2),)), table_id=2)
        lines = texts(self.trace("in_port=1,arp").nodes)
        self.assertEqual(
            lines[1][4:],
            [
                [
                    "clear_actions",
                    "-> action set was: output:4",
                    "goto_table:2",
                    " 2. priority 32768",
                    [
                        "clear_actions",
                        "-> action set was empty",
                        "write_actions(output:2)",
                        "-> action set is: output:2",
                    ],
                ],
                "--. Executing action set:",
                ["output:2"],
            ],
        )

    def test_clear_and_write(self) -> None:
        """What a rule writes after it has cleared has nothing of what was there before."""
        self.add(WriteActions((SetQueue(1),)), GotoTable(1))
        self.add(ClearActions(), WriteActions((Output(2),)), table_id=1)
        lines = texts(self.trace("in_port=1,arp").nodes)
        self.assertEqual(lines[1][4][3], "-> action set is: output:2")


class RemarkTests(TraceCase):
    """What is told of actions that do not do what they seem to."""

    def test_output(self) -> None:
        """Where a packet cannot go is told with the reason."""
        self.driver.port_mod(2, PORT_DOWN, PORT_DOWN)
        self.driver.port_mod(3, NO_FWD, NO_FWD)
        port = self.driver.port(4)
        port.set_link(False)
        self.assertEqual(
            self.told(Output(1), Output(77), Output(2), Output(3), Output(4)),
            [
                "output:1",
                ">> skipping output to input port",
                "output:77",
                ">> Nonexistent output port",
                "output:2",
                ">> port p2 is down, skipping output",
                "output:3",
                ">> OFPPC_NO_FWD set on p3, skipping output",
                "output:4",
                ">> port p4 has no link",
                ["4"],
            ],
        )

    def test_back(self) -> None:
        """To send a packet back where it came from needs a port."""
        back = Output(Port.IN_PORT)
        self.assertEqual(self.told(back), ["IN_PORT", ["1"]])
        self.assertEqual(
            self.told(back, flow="in_port=77"), ["IN_PORT", ">> Nonexistent output port", []]
        )

    def test_many(self) -> None:
        """FLOOD and ALL are told port by port."""
        self.assertEqual(
            self.told(Output(Port.FLOOD), Output(Port.ALL)),
            ["FLOOD", "ALL", ["2", "3", "4", "2", "3", "4"]],
        )

    def test_normal(self) -> None:
        """Of NORMAL it is told what it would learn, and why the packet goes where it goes."""
        flow = "in_port=3,dl_vlan=5,dl_src=02:00:00:00:00:03,dl_dst=02:00:00:00:00:04"
        self.assertEqual(
            self.told(Output(Port.NORMAL), flow=flow),
            [
                "NORMAL",
                "-> would learn that 02:00:00:00:00:03 is on port p3 in VLAN 5",
                "-> no learned MAC for destination, flooding",
                ["1", "2", "4"],
            ],
        )
        self.assertEqual(self.driver.learned_addresses(), [])
        self.driver.pipeline.addresses.learn(5, 0x020000000003, 3, 0)
        self.driver.pipeline.addresses.learn(5, 0x020000000004, 4, 0)
        self.assertEqual(
            self.told(Output(Port.NORMAL), flow=flow),
            ["NORMAL", "-> forwarding to learned port", ["4"]],
        )

    def test_normal_from_nowhere(self) -> None:
        """And from a port that is not there it goes nowhere."""
        self.assertEqual(
            self.told(Output(Port.NORMAL), flow="in_port=77"),
            [
                "NORMAL",
                ">>>> received packet on unknown port 77",
                ">> no input bundle, dropping",
                [],
            ],
        )

    def test_controller(self) -> None:
        """What a controller would be told is told."""
        self.add(ApplyActions((Output(Port.CONTROLLER, 40),)), cookie=0xBEEF)
        self.assertEqual(
            self.trace("in_port=1").actions,
            ["userspace(controller(reason=1,rule_cookie=0xbeef,controller_id=0,max_len=40))"],
        )

    def test_ttl(self) -> None:
        """A TTL that runs out is told, of which protocol it was, and ends the way."""
        for flow, action, what in (
            ("ip,nw_ttl=1", DecNwTtl(), "IPv4"),
            ("ipv6,nw_proto=59,nw_ttl=1", DecNwTtl(), "IPv6"),
        ):
            self.assertEqual(
                self.told(action, Output(2), flow=f"in_port=1,{flow}")[1],
                f">> {what} decrement TTL exception",
            )
        lines = self.told(PushMpls(0x8847), DecMplsTtl(), Output(2), flow="in_port=1,ip,nw_ttl=1")
        self.assertEqual(lines[2], ">> MPLS decrement TTL exception")
        self.assertNotIn("output:2", lines)
        self.assertIn(f"reason={int(PacketInReason.INVALID_TTL)}", lines[-1][-1])

    def test_too_long(self) -> None:
        """A way that is too long is told as far as there is room for."""
        self.patch(recorder, "MAX_NODES", 5)
        self.add(ApplyActions((Output(2),) * 20))
        trace = self.trace("in_port=1")
        lines = [node.text for node in trace.walk()]
        self.assertEqual(lines[-1], "the rest of the way is too long to be told")
        self.assertEqual(len(lines), 5)
        self.assertEqual(trace.actions, ["2"] * 20)


class NoEffectTests(TraceCase):
    """A trace is without consequences, and true."""

    def sent(self) -> list[str]:
        """Where frames went."""
        found = []
        for number in (1, 2, 3, 4):
            port = self.driver.port(number)
            assert isinstance(port, MemoryPort)
            found += [str(number)] * len(port.sent)
            port.sent.clear()
        return found

    @given(
        st.lists(STEPS, max_size=5),
        st.lists(STEPS, max_size=3),
        st.lists(STEPS, max_size=4),
        st.sampled_from((FRAME, *ODD_FRAMES)),
    )
    def test_no_effect(
        self, apply: list[Action], write: list[Action], then: list[Action], frame: bytes
    ) -> None:
        """Whatever the rules do and the frame is, the trace does nothing; and when the frame comes
        in, it goes where the trace has said."""
        self.setUp()
        rules = [
            self.add(ApplyActions(tuple(apply)), WriteActions(tuple(write)), GotoTable(1)),
            self.add(ApplyActions(tuple(then)), table_id=1),
        ]
        trace = self.driver.trace(frame, flow_key(frame, 1))
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.host.packet_ins, [])
        for rule in rules:
            self.assertEqual(
                (rule.counters.packets, rule.counters.bytes, rule.counters.used), (0, 0, 0)
            )
        counted = self.successResultOf(self.driver.table_stats())
        self.assertEqual([(one.lookups, one.matches) for one in counted.values()], [(0, 0)] * 4)
        self.assertEqual(self.driver.learned_addresses(), [])
        for stats in self.successResultOf(self.driver.port_stats()):
            self.assertEqual((stats.tx_packets, stats.tx_dropped), (0, 0))
        port = self.driver.port(1)
        assert isinstance(port, MemoryPort)
        port.inject(frame)
        self.assertEqual(sorted(one for one in trace.actions if one.isdecimal()), self.sent())
        self.assertEqual(
            len([one for one in trace.actions if one.startswith("userspace")]),
            len(self.host.packet_ins),
        )
