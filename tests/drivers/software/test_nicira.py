"""Tests of :mod:`drivers.software.nicira`."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from agent.openflow import nx_actions as nx
from agent.openflow.actions import (
    Action,
    Output,
    SetField,
    WriteActions,
)
from agent.openflow.constants import ANY, PacketInReason
from agent.openflow.constants import Port as Reserved
from agent.openflow.fields import FIELDS, IN_PORT, NX_IN_PORT, REGS, VLAN_TCI
from agent.openflow.match import Match
from agent.openflow.nx_actions import Subfield
from agent.packet.compose import compose
from agent.packet.flowkey import flow_key
from drivers.software import run as limits
from drivers.software.nicira import STEPS
from drivers.software.program import ACTIONS, SET_ACTIONS
from drivers.testing.frames import FRAME, ODD_FRAMES
from tests.drivers.software.nicira import ETH_DST, ETH_SRC, LOW, NiciraCase, get, load

EXAMPLES: tuple[Action, ...] = (
    nx.Resubmit(),
    nx.Resubmit(9, 2),
    nx.PopQueue(),
    nx.RegMove(ETH_SRC, ETH_DST),
    nx.RegMove(LOW, Subfield(FIELDS["tcp_dst"], 0, 16)),
    nx.RegMove(Subfield(VLAN_TCI, 0, 12), Subfield(REGS[0], 20, 12)),
    nx.RegMove(LOW, Subfield.whole(NX_IN_PORT)),
    nx.Note(b"note"),
    nx.Multipath(1, 50, 0, 3, 0, LOW),
    nx.Bundle(1, 0, 0, (1, 2, 3)),
    nx.Bundle(0, 0, 0, (77, ANY), LOW),
    nx.OutputReg(LOW),
    nx.ControllerAction(),
    nx.DecTtlCntIds((1, 2)),
    nx.Exit(),
    nx.FinTimeout(1, 2),
    nx.StackPush(ETH_SRC),
    nx.StackPop(ETH_DST),
    nx.StackPop(Subfield(VLAN_TCI, 0, 16)),
    nx.WriteMetadataAction(5, 0xFF),
    nx.Learn(1, (nx.LearnSpec(nx.LearnTo.MATCH, ETH_SRC, ETH_DST),)),
)
"""One of each kind of action, and more of those that write."""


class AllTests(NiciraCase):
    """All actions together."""

    def test_all(self) -> None:
        """There is a step for each, and an example here."""
        kinds = {
            kind
            for kind in Action.__subclasses__()
            if "__slots__" in kind.__dict__ and kind.__module__ == nx.__name__
        }
        self.assertEqual(set(STEPS), kinds)
        self.assertEqual({type(action) for action in EXAMPLES}, kinds)
        self.assertLessEqual(kinds, ACTIONS)

    def test_sets(self) -> None:
        """Of these, an action set may have those that only change the packet."""
        self.assertEqual(SET_ACTIONS & frozenset(STEPS), {nx.RegMove, nx.DecTtlCntIds})

    @given(
        st.lists(st.sampled_from(EXAMPLES), max_size=8),
        st.lists(st.sampled_from(EXAMPLES), max_size=3),
        st.binary(max_size=80) | st.sampled_from((FRAME, *ODD_FRAMES)),
    )
    def test_any_actions_on_any_frame(
        self, actions: list[Action], again: list[Action], frame: bytes
    ) -> None:
        """No list of actions, on no frame, raises anything or takes for ever, wherever from."""
        self.setUp()
        self.patch(limits, "MAX_RESUBMITS", 50)
        self.apply(*actions, load(0, 2), *again)
        self.apply(*again, table_id=2)
        self.driver.packet_out(frame, 1, tuple(actions))
        self.port(1).inject(frame)
        key = flow_key(frame, 1)
        self.driver.trace(frame, key)


class FieldTests(NiciraCase):
    """What reads and writes bits of fields."""

    def frame(self, *actions: Action, frame: bytes = FRAME) -> bytes:
        """The frame as it is after these actions."""
        self.apply(*actions, Output(2))
        return self.send(frame)[2][0]

    def test_move(self) -> None:
        """Bits are copied from one place to another."""
        frame = self.frame(nx.RegMove(ETH_SRC, ETH_DST))
        self.assertEqual(get("eth_dst", frame), get("eth_src", FRAME))
        frame = self.frame(
            load(0, 0xABCD0000),
            nx.RegMove(Subfield(REGS[0], 20, 8), Subfield(FIELDS["ipv4_src"], 8, 8)),
        )
        self.assertEqual(get("ipv4_src", frame), get("ipv4_src", FRAME) & ~0xFF00 | 0xBC00)

    def test_move_to_a_tag(self) -> None:
        """To write a tag with the bit that says it is there makes one."""
        frame = self.frame(load(0, 0x1005), nx.RegMove(LOW, Subfield(VLAN_TCI, 0, 16)))
        self.assertEqual(get("vlan_tci", frame), 0x1005)

    def test_absent(self) -> None:
        """What a packet does not have reads as zero, and is not written."""
        arp = compose(Match.of(eth_type=0x806, arp_op=1))
        tcp_dst = Subfield(FIELDS["tcp_dst"], 0, 16)
        self.assertEqual(self.frame(load(0, 7), nx.RegMove(LOW, tcp_dst), frame=arp), arp)
        frame = self.frame(
            load(0, 7),
            nx.RegMove(tcp_dst, LOW),
            nx.RegMove(Subfield(REGS[0], 0, 16), Subfield(FIELDS["arp_op"], 0, 16)),
            frame=arp,
        )
        self.assertEqual(get("arp_op", frame), 0)

    def test_in_port(self) -> None:
        """A packet whose ingress port is written comes from there."""
        self.assertEqual(
            self.goes(load(0, 0), nx.RegMove(LOW, Subfield.whole(NX_IN_PORT)), Output(1)), [1]
        )
        for write in (
            SetField(NX_IN_PORT, 3),
            SetField(IN_PORT, 3),
            nx.RegMove(LOW, Subfield.whole(NX_IN_PORT)),
        ):
            self.apply(
                load(0, 3), write, Output(Reserved.FLOOD), Output(Reserved.IN_PORT), nx.Resubmit()
            )
            self.apply(Output(3), Output(1), in_port=3, priority=0xFFFF)
            self.port(1).inject(FRAME)
            self.assertEqual([len(self.port(n).sent) for n in (1, 2, 3, 4)], [2, 1, 1, 1], write)
            self.send(in_port=4)

    def test_local(self) -> None:
        """With 16 bits, a reserved port is that of OpenFlow 1.0."""
        self.apply(SetField(NX_IN_PORT, 0xFFFE), nx.Resubmit(table_id=1))
        self.apply(Output(2), table_id=1, in_port=Reserved.LOCAL)
        self.assertEqual(set(self.send()), {2})

    def test_metadata(self) -> None:
        """Metadata can be written by an action."""
        self.apply(nx.WriteMetadataAction(0xAB, 0xFF), nx.Resubmit(table_id=1))
        self.apply(Output(2), table_id=1, metadata=(0xAB, 0xFFFF))
        self.assertEqual(set(self.send()), {2})

    def test_stack(self) -> None:
        """What was pushed is popped in the opposite order, and what does not fit is cut off."""
        frame = self.frame(
            nx.StackPush(ETH_SRC),
            nx.StackPush(ETH_DST),
            nx.StackPop(ETH_SRC),
            nx.StackPop(Subfield(FIELDS["eth_dst"], 8, 8)),
        )
        self.assertEqual(get("eth_src", frame), get("eth_dst", FRAME))
        self.assertEqual(get("eth_dst", frame), get("eth_dst", FRAME) | 0x0100)

    def test_stack_underflow(self) -> None:
        """To pop from an empty stack does nothing."""
        self.assertEqual(self.frame(nx.StackPop(ETH_SRC)), FRAME)

    def test_action_set(self) -> None:
        """In an action set, fields are moved at the place of set-field."""
        self.add(WriteActions((Output(2), nx.RegMove(ETH_SRC, ETH_DST))))
        self.assertEqual(get("eth_dst", self.send()[2][0]), get("eth_src", FRAME))


class OutputTests(NiciraCase):
    """What sends packets somewhere."""

    def test_output_reg(self) -> None:
        """The port is in a field, and may be a reserved one."""
        for value, ports in (
            (2, [2]),
            (1, []),
            (77, []),
            (0xFFF8, [1]),
            (0xFFFA, [2, 3, 4]),
            (0xFFFB, [2, 3, 4]),
            (0xFFFC, [2, 3, 4]),
            (0xFFF9, []),
            (0xFFFF, []),
        ):
            self.assertEqual(self.goes(load(0, value), nx.OutputReg(LOW)), ports, hex(value))

    def test_output_reg_of_1_3(self) -> None:
        """With 32 bits it may be a reserved port of OpenFlow 1.3."""
        whole = nx.OutputReg(Subfield.whole(REGS[0]))
        self.assertEqual(self.goes(load(0, Reserved.FLOOD), whole), [2, 3, 4])

    def test_output_reg_to_controllers(self) -> None:
        """The controllers get as much as they were promised."""
        self.goes(load(0, 0xFFFD), nx.OutputReg(LOW, 50))
        (event,) = self.host.packet_ins
        self.assertEqual((event.max_len, event.reason), (50, PacketInReason.ACTION))

    def test_controller(self) -> None:
        """One of the controllers is told, with the reason that was asked for."""
        self.apply(nx.ControllerAction(60, 7, PacketInReason.INVALID_TTL), Output(2), cookie=5)
        self.assertEqual(set(self.send()), {2})
        (event,) = self.host.packet_ins
        self.assertEqual(
            (event.max_len, event.controller_id, event.reason, event.cookie),
            (60, 7, PacketInReason.INVALID_TTL, 5),
        )

    def test_dec_ttl(self) -> None:
        """When a TTL runs out, each of the controllers named is told."""
        frame = compose(Match.of(eth_type=0x800, nw_ttl=2))
        self.assertEqual(self.goes(nx.DecTtlCntIds((3, 4)), Output(2), frame=frame), [2])
        dying = compose(Match.of(eth_type=0x800, nw_ttl=1))
        self.assertEqual(self.goes(nx.DecTtlCntIds((3, 4)), Output(2), frame=dying), [])
        self.assertEqual(
            [(event.controller_id, event.reason) for event in self.host.packet_ins],
            [(3, PacketInReason.INVALID_TTL), (4, PacketInReason.INVALID_TTL)],
        )

    def test_nothing(self) -> None:
        """Notes and queues do nothing to a packet."""
        self.assertEqual(self.goes(nx.Note(b"x"), nx.PopQueue(), Output(2)), [2])


class ChoiceTests(NiciraCase):
    """What chooses by a hash."""

    def chosen(
        self, action: Action, then: Callable[[], Action] = lambda: nx.OutputReg(LOW)
    ) -> set[int]:
        """Where packets of some flows go."""
        self.apply(action, then())
        found = set()
        for n in range(60):
            sent = self.send(compose(Match.of(eth_src=n + 1, eth_dst=9, eth_type=0x800)))
            self.assertEqual(sum(map(len, sent.values())), len(sent))
            found |= set(sent)
        return found

    def test_multipath(self) -> None:
        """A link is chosen for each flow, and all links are."""
        for algorithm in nx.MultipathAlgorithm:
            path = nx.Multipath(nx.HashFields.ETH_SRC, 0, algorithm, 4, 5, LOW)
            self.assertEqual(self.chosen(path), {2, 3, 4}, algorithm)

    def test_bundle(self) -> None:
        """A port is chosen for each flow, of those that are live."""
        bundle = nx.Bundle(nx.BundleAlgorithm.HRW, nx.HashFields.ETH_SRC, 0, (2, 77, 3, 4))
        self.assertEqual(self.chosen(bundle, lambda: nx.Note(b"")), {2, 3, 4})
        self.port(3).set_link(False)
        self.assertEqual(self.chosen(bundle, lambda: nx.Note(b"")), {2, 4})

    def test_active_backup(self) -> None:
        """The first live port has everything."""
        bundle = nx.Bundle(nx.BundleAlgorithm.ACTIVE_BACKUP, nx.HashFields.ETH_SRC, 0, (3, 4))
        self.assertEqual(self.goes(bundle), [3])
        self.port(3).set_link(False)
        self.assertEqual(self.goes(bundle), [4])
        self.port(4).set_link(False)
        self.assertEqual(self.goes(bundle), [])

    def test_no_port(self) -> None:
        """No port is a member that is always live: there, packets are dropped."""
        bundle = nx.Bundle(nx.BundleAlgorithm.ACTIVE_BACKUP, nx.HashFields.ETH_SRC, 0, (ANY, 2))
        self.assertEqual(self.goes(bundle), [])

    def test_bundle_load(self) -> None:
        """The port can be written to a field instead; no port is 0xffff."""
        for members, ports in (((2, 3), [2]), ((77,), [])):
            bundle = nx.Bundle(nx.BundleAlgorithm.ACTIVE_BACKUP, 0, 0, members, LOW)
            self.assertEqual(self.goes(load(0, 4), bundle, nx.OutputReg(LOW)), ports)
        self.apply(nx.Bundle(0, 0, 0, (77,), LOW), nx.Resubmit(table_id=1))
        self.apply(Output(2), table_id=1, reg0=0xFFFF)
        self.assertEqual(set(self.send()), {2})


class AgentTests(NiciraCase):
    """What is the agent's to do."""

    def test_learn(self) -> None:
        """The agent is asked for a rule after this packet; equal ones are made of one object."""
        spec = nx.LearnSpec(nx.LearnTo.MATCH, ETH_SRC, ETH_DST)
        out = nx.LearnSpec(nx.LearnTo.OUTPUT, Subfield.whole(NX_IN_PORT))
        self.assertEqual(self.goes(nx.Learn(1, (spec, out), cookie=5), Output(2)), [2])
        self.send()
        one, two = self.host.learned
        self.assertEqual(one, two)
        self.assertIs(one.instructions, two.instructions)
        self.assertEqual(one.match, Match.of(eth_dst=get("eth_src", FRAME)))
        self.assertEqual((one.table_id, one.cookie), (1, 5))

    def test_fin_timeout(self) -> None:
        """At the end of a connection of TCP the agent shortens the rule's timeouts."""
        rule = self.apply(nx.FinTimeout(5, 9), Output(2))
        for flags, ends in ((0x10, False), (0x11, True), (0x04, True), (0x02, False)):
            frame = compose(Match.of(eth_type=0x800, ip_proto=6, tcp_flags=flags))
            self.assertEqual(set(self.send(frame)), {2})
            self.assertEqual(self.host.reduced, [(rule, 5, 9)] if ends else [], hex(flags))
            self.host.reduced.clear()
        self.send(FRAME)
        self.driver.packet_out(
            compose(Match.of(eth_type=0x800, ip_proto=6, tcp_flags=1)), 1, (nx.FinTimeout(5, 9),)
        )
        self.assertEqual(self.host.reduced, [])
