"""Tests of :mod:`agent.admin.commands_trace`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from agent.admin.commands_trace import TraceCommands
from agent.admin.unixctl import CommandRegistry
from agent.ofproto.ofproto import OFProto
from agent.openflow.actions import (
    ApplyActions,
    DecNwTtl,
    GotoTable,
    Instruction,
    Output,
    SetField,
    WriteActions,
)
from agent.openflow.fields import FIELDS
from agent.openflow.match import Match
from agent.openflow.messages import FlowMod, FlowModCommand, Port
from drivers.asic.driver import create as create_asic
from drivers.software.driver import create as create_software
from drivers.testing import FakeEntry, ScriptableDriver
from tests.admin.agents import CommandCase, FakeAgent, FakeBridge
from tests.ofproto.stage import Observer, Requester

ENTRIES = [FakeEntry(f"p{n}", n) for n in (1, 2, 3, 4)]
TCP = (
    "vlan_tci=0x0000,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,"
    "nw_dst=10.0.0.1,nw_tos=0,nw_ecn=0,nw_ttl={ttl},nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"
)


class TraceCase(CommandCase):
    """A bridge with one of the drivers that forward themselves."""

    def setUp(self) -> None:
        """A software driver."""
        self.clock = Clock()
        self.start(create_software({"tables": 3}, ENTRIES, []))

    def start(self, driver: Any) -> None:
        """Start a switch, and make an agent of it."""
        self.switch = OFProto("br0", 1, driver, self.clock, miss_to_controller=False)
        self.switch.observer = Observer()
        self.switch.start()
        self.registry = CommandRegistry()
        other = OFProto("br1", 2, ScriptableDriver(), self.clock)
        agent = FakeAgent({"br0": FakeBridge(self.switch), "br1": FakeBridge(other)})
        TraceCommands(agent, self.clock).register(self.registry)

    def send(self, command: FlowModCommand, *instructions: Instruction, **fields: Any) -> None:
        """Send a FLOW_MOD; the driver gets it."""
        own = {key: fields.pop(key) for key in ("table_id", "priority", "cookie") if key in fields}
        request = FlowMod(int(command), Match.of(**fields), instructions=instructions, **own)
        self.switch.handle(request, Requester())
        self.clock.advance(0)

    def add(self, *instructions: Instruction, **fields: Any) -> None:
        """Add a rule."""
        self.send(FlowModCommand.ADD, *instructions, **fields)

    def trace(self, *arguments: str) -> list[str]:
        """The lines of the answer."""
        result = self.registry.execute("ofproto/trace", ["br0", *arguments])
        self.clock.advance(0)
        return self.successResultOf(result).split("\n")


class AnswerTests(TraceCase):
    """What is answered."""

    def test_as_open_vswitch(self) -> None:
        """The answer is what Open vSwitch answers, but for what it would learn if that were for
        real."""
        self.add(
            ApplyActions((SetField(FIELDS["eth_dst"], 9), DecNwTtl(), Output(2))),
            GotoTable(1),
            eth_type=0x800,
            ipv4_dst=0x0A000001,
            priority=10,
            cookie=5,
        )
        self.add(ApplyActions((Output(Port.NORMAL),)), table_id=1, priority=0)
        flow = "in_port=1,tcp,nw_dst=10.0.0.1,nw_ttl=64,dl_src=00:00:00:00:00:01"
        self.assertEqual(
            self.trace(flow),
            [
                f"Flow: tcp,in_port=1,{TCP.format(ttl=64)}",
                "",
                'bridge("br0")',
                "-------------",
                " 0. ip,nw_dst=10.0.0.1, priority 10, cookie 0x5",
                "    set_field:00:00:00:00:00:09->eth_dst",
                "    dec_ttl",
                "    output:2",
                "    goto_table:1",
                " 1. priority 0",
                "    NORMAL",
                "     -> would learn that 00:00:00:00:00:01 is on port p1 in VLAN 0",
                "     -> no learned MAC for destination, flooding",
                "",
                "Final flow: tcp,in_port=1,"
                + TCP.format(ttl=63).replace(
                    "dl_dst=00:00:00:00:00:00", "dl_dst=00:00:00:00:00:09"
                ),
                "Datapath actions: set(eth(dst=00:00:00:00:00:09)),set(ipv4(ttl=63)),2,2,3,4",
            ],
        )

    def test_deeper(self) -> None:
        """What follows a table that another leads to is told apart from what that one does."""
        self.add(WriteActions((Output(2),)), GotoTable(1))
        self.add(WriteActions((SetField(FIELDS["eth_src"], 5),)), GotoTable(2), table_id=1)
        self.add(table_id=2)
        self.assertEqual(
            self.trace("in_port=1,arp")[4:-3],
            [
                " 0. priority 32768",
                "    write_actions(output:2)",
                "     -> action set is: output:2",
                "    goto_table:1",
                "     1. priority 32768",
                "            write_actions(set_field:00:00:00:00:00:05->eth_src)",
                "             -> action set is: set_field:00:00:00:00:00:05->eth_src,output:2",
                "            goto_table:2",
                "         2. priority 32768",
                "            drop",
                "--. Executing action set:",
                "    set_field:00:00:00:00:00:05->eth_src",
                "    output:2",
            ],
        )

    def test_drop(self) -> None:
        """A packet that is dropped as it came."""
        self.assertEqual(
            self.trace("in_port=2,arp")[4:],
            [" 0. No match.", "    drop", "", "Final flow: unchanged", "Datapath actions: drop"],
        )

    def test_warnings(self) -> None:
        """Warnings and errors have their own marks."""
        self.add(ApplyActions((Output(77), Output(Port.NORMAL))))
        self.assertEqual(
            self.trace("in_port=9")[5:-3],
            [
                "    output:77",
                "     >> Nonexistent output port",
                "    NORMAL",
                "     >>>> received packet on unknown port 9 <<<<",
                "     >> no input bundle, dropping",
            ],
        )

    def test_port_by_name(self) -> None:
        """A port can be called by its name."""
        self.assertIn("in_port=3,", self.trace("in_port=p3,arp")[0])

    def test_packet(self) -> None:
        """Of a packet that is given, FLOW says only where it comes in and what is no part of it."""
        packet = (
            "000000000001000000000002080045000028000000004011000001020304050607080035003500140000"
        )
        first = self.trace(
            "in_port=4,metadata=5,tcp,nw_src=9.9.9.9", packet + "112233445566778899aabbcc"
        )[0]
        self.assertEqual(
            first,
            "Flow: udp,metadata=0x5,in_port=4,vlan_tci=0x0000,dl_src=00:00:00:00:00:02,"
            "dl_dst=00:00:00:00:00:01,nw_src=1.2.3.4,nw_dst=5.6.7.8,nw_tos=0,nw_ecn=0,nw_ttl=64,"
            "nw_frag=no,tp_src=53,tp_dst=53",
        )

    def test_generate(self) -> None:
        """A packet is made anyhow."""
        self.add(ApplyActions((Output(2),)))
        self.assertEqual(self.trace("in_port=1,tcp"), self.trace("in_port=1,tcp", "-generate"))

    def test_long(self) -> None:
        """A way through very many tables is told without wandering out of sight."""
        self.start(create_software({}, ENTRIES, []))
        for number in range(253):
            self.add(GotoTable(number + 1), table_id=number)
        lines = self.trace("in_port=1,arp")
        self.assertEqual(len(lines), 4 + 2 * 254 + 3)
        self.assertEqual(lines[-5], "253. No match.")


class HardwareTests(TraceCase):
    """The answer about hardware that is slow."""

    def setUp(self) -> None:
        """An ASIC which needs a tenth of a second for each operation."""
        self.clock = Clock()
        self.start(create_asic({"profile": "hundred"}, ENTRIES, []))

    def test_not_yet(self) -> None:
        """A rule that has not reached the hardware does not forward, and is told of."""
        self.add(ApplyActions((Output(2),)), in_port=1)
        self.assertEqual(
            self.trace("in_port=1,arp")[4:7],
            [
                " 0. No match.",
                "     >> the hardware is not up to date; the agent's table says: "
                "table=0, in_port=1,actions=output:2",
                "    drop",
            ],
        )
        self.clock.advance(0.1)
        self.assertEqual(
            self.trace("in_port=1,arp")[4:6], [" 0. in_port=1, priority 32768", "    output:2"]
        )

    def test_modified(self) -> None:
        """And so is a rule that does something else there."""
        self.add(ApplyActions((Output(2),)))
        self.clock.advance(0.1)
        self.send(FlowModCommand.MODIFY, ApplyActions((Output(3),)))
        lines = self.trace("in_port=1,arp")
        self.assertIn("the agent's table says: table=0, actions=output:3", lines[5])
        self.assertEqual(lines[6], "    output:2")
        self.clock.advance(0.1)
        self.assertEqual(self.trace("in_port=1,arp")[5], "    output:3")

    def test_higher(self) -> None:
        """And so is a rule that is hit because a better one is not there yet."""
        self.add(ApplyActions((Output(2),)), priority=1)
        self.clock.advance(0.1)
        self.add(ApplyActions((Output(3),)), priority=2)
        self.assertIn("the hardware is not up to date", self.trace("in_port=1,arp")[5])

    def test_deleted(self) -> None:
        """A rule that is to go, and still forwards, is told of."""
        self.add(ApplyActions((Output(2),)))
        self.clock.advance(0.1)
        self.send(FlowModCommand.DELETE)
        self.assertEqual(
            self.trace("in_port=1,arp")[4:7],
            [
                " 0. priority 32768",
                "     >> the hardware still has this rule; the agent's table says: no match",
                "    output:2",
            ],
        )


class RefusalTests(TraceCase):
    """What cannot be answered."""

    def test_bridge(self) -> None:
        """A bridge that is not there, or whose driver cannot say, is named."""
        self.assertEqual(
            self.command_refused("ofproto/trace", "br9", "arp"),
            'BRIDGE: there is no bridge "br9" (there are: br0, br1)',
        )
        self.assertEqual(
            self.command_refused("ofproto/trace", "br1", "arp"),
            "BRIDGE: no driver that can tell what it would do: br1 (scriptable)",
        )

    def test_flow(self) -> None:
        """Of a flow that is wrong, the token is named."""
        self.assertEqual(
            self.command_refused("ofproto/trace", "br0", "in_port=1,foo"),
            "FLOW: foo: unknown field foo",
        )

    def test_packet(self) -> None:
        """A packet must be one."""
        for packet, why in (
            ("xyz", "must be hexadecimal digits, two a byte, or -generate"),
            ("112233", "too short for Ethernet"),
            ("00" * 65537, "longer than 65536 bytes"),
        ):
            self.assertEqual(
                self.command_refused("ofproto/trace", "br0", "in_port=1", packet),
                f"PACKET: {why}",
            )
