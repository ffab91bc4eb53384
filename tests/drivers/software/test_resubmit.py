"""Tests of ``resubmit``, and of what one packet may cause: :mod:`drivers.software.run`."""

from __future__ import annotations

from typing import Any

from agent.openflow import nx_actions as nx
from agent.openflow.actions import (
    ApplyActions,
    DecNwTtl,
    GotoTable,
    GroupAction,
    MeterInstruction,
    Output,
    SetField,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.constants import PacketInReason
from agent.openflow.constants import Port as Reserved
from agent.openflow.fields import FIELDS, REGS
from agent.openflow.group_messages import Bucket, GroupType
from agent.openflow.match import Match
from agent.openflow.nx_actions import Subfield
from agent.packet.compose import compose
from agent.packet.flowkey import flow_key
from drivers.software import run as limits
from drivers.testing import FakeGroup, FakeOperation
from drivers.testing.frames import FRAME
from tests.drivers.software.nicira import ETH_DST, ETH_SRC, LOW, NiciraCase, get, load


class ResubmitTests(NiciraCase):
    """NXAST_RESUBMIT and NXAST_RESUBMIT_TABLE."""

    def test_goes_on(self) -> None:
        """The actions of the rule in the other table are done, then those that follow."""
        self.apply(Output(2), nx.Resubmit(table_id=1), Output(4))
        other = self.apply(SetField(FIELDS["eth_dst"], 9), Output(3), table_id=1)
        sent = self.send()
        self.assertEqual([get("eth_dst", sent[n][0]) for n in (2, 3, 4)], [2 | 2 << 40, 9, 9])
        self.assertEqual((other.counters.packets, other.counters.bytes), (1, len(FRAME)))

    def test_miss(self) -> None:
        """Where there is no rule, nothing happens; not even with OpenFlow 1.0."""
        self.host.miss_to_controller = True
        self.apply(nx.Resubmit(table_id=1), nx.Resubmit(9, 0), Output(2), in_port=1)
        self.assertEqual(set(self.send()), {2})
        self.assertEqual(self.host.packet_ins, [])

    def test_same_table(self) -> None:
        """Without a table it is that of the rule, also if that was resubmitted to."""
        self.apply(nx.Resubmit(table_id=1))
        self.apply(nx.Resubmit(7), Output(2), table_id=1, priority=1)
        self.apply(Output(3), table_id=1, in_port=7, priority=2)
        self.assertEqual(set(self.send()), {2, 3})

    def test_other_port(self) -> None:
        """Another ingress port is for the lookup alone."""
        self.apply(nx.Resubmit(3, 1))
        self.add(
            ApplyActions((Output(3), Output(Reserved.IN_PORT))), GotoTable(2), table_id=1, in_port=3
        )
        self.apply(Output(4), table_id=2, in_port=1)
        self.assertEqual(set(self.send()), {1, 3, 4})

    def test_goto_and_metadata(self) -> None:
        """The rule that is resubmitted to has all of its instructions executed."""
        self.apply(nx.Resubmit(table_id=1), nx.Resubmit(table_id=3))
        self.add(WriteMetadata(5, 0xFF), GotoTable(2), table_id=1)
        self.apply(Output(2), table_id=2, metadata=5)
        self.apply(Output(3), table_id=3, metadata=5)
        self.assertEqual(set(self.send()), {2, 3})

    def test_action_set(self) -> None:
        """What it writes to the action set is executed in the end, once."""
        self.add(ApplyActions((nx.Resubmit(table_id=1), Output(3))), WriteActions((Output(4),)))
        self.add(WriteActions((Output(2), SetField(FIELDS["eth_dst"], 9))), table_id=1)
        sent = self.send()
        self.assertEqual(set(sent), {3, 4})
        self.assertEqual(get("eth_dst", sent[3][0]), 2 | 2 << 40)
        self.assertEqual(get("eth_dst", sent[4][0]), 9)

    def test_whose_packet_in(self) -> None:
        """A packet-in is that of the rule whose action it is."""
        to_controller = Output(Reserved.CONTROLLER, 0xFFFF)
        self.apply(nx.Resubmit(table_id=1), to_controller, cookie=5)
        self.apply(to_controller, table_id=1, cookie=6)
        self.send()
        self.assertEqual(
            [(event.cookie, event.table_id) for event in self.host.packet_ins], [(6, 1), (5, 0)]
        )

    def test_exit(self) -> None:
        """EXIT ends all lists of actions, but not the action set."""
        self.add(ApplyActions((nx.Resubmit(table_id=1), Output(2))), GotoTable(3))
        self.add(
            ApplyActions((nx.Resubmit(table_id=2), Output(2))),
            WriteActions((Output(4),)),
            table_id=1,
        )
        self.add(WriteActions((Output(3),)), GotoTable(4), table_id=2)
        self.apply(nx.Exit(), Output(2), table_id=4)
        self.apply(Output(2), table_id=3)
        self.assertEqual(set(self.send()), {3})

    def test_exit_at_once(self) -> None:
        """EXIT in the first rule ends its list, and it does not go on to another table."""
        self.add(
            ApplyActions((Output(2), nx.Exit(), Output(3))),
            WriteActions((Output(4),)),
            GotoTable(1),
        )
        self.apply(Output(3), table_id=1)
        self.assertEqual(set(self.send()), {2})

    def test_ttl(self) -> None:
        """A TTL that runs out ends only the actions that were resubmitted to."""
        frame = compose(Match.of(eth_type=0x800, nw_ttl=1))
        self.apply(nx.Resubmit(table_id=1), Output(3))
        self.apply(DecNwTtl(), Output(2), table_id=1)
        self.assertEqual(set(self.send(frame)), {3})
        (event,) = self.host.packet_ins
        self.assertEqual(event.reason, PacketInReason.INVALID_TTL)

    def test_meter(self) -> None:
        """A packet that a meter drops goes no further, whoever resubmitted it."""
        self.apply(nx.Resubmit(table_id=1), Output(3))
        self.add(MeterInstruction(1), ApplyActions((Output(2),)), table_id=1)
        self.assertEqual(set(self.send()), {2, 3})
        self.patch(self.driver.pipeline.meters, "admits", lambda run, number: False)
        self.assertEqual(self.send(), {})

    def test_packet_out(self) -> None:
        """A packet-out can be resubmitted, too."""
        self.apply(Output(2), in_port=3)
        self.apply(Output(4), table_id=1, in_port=1)
        self.driver.packet_out(FRAME, 1, (nx.Resubmit(3), nx.Resubmit(table_id=1)))
        self.assertEqual([len(self.port(n).sent) for n in (2, 4)], [1, 1])


class LimitTests(NiciraCase):
    """What one packet may cause."""

    def test_depth(self) -> None:
        """A rule that resubmits to itself ends at a depth, and the packet is dropped there."""
        rule = self.apply(nx.Resubmit(), Output(2))
        self.assertEqual(self.send(), {})
        self.assertEqual(rule.counters.packets, limits.MAX_DEPTH + 1)
        self.assertEqual(self.driver.pipeline.gave_up, 1)

    def test_number(self) -> None:
        """A tree of resubmits ends at a number."""
        rules = [
            self.apply(nx.Resubmit(table_id=n + 1), nx.Resubmit(table_id=n + 1), table_id=n)
            for n in range(4)
        ]
        self.patch(limits, "MAX_RESUBMITS", 9)
        rules.append(self.apply(Output(2), table_id=4))
        self.send()
        self.assertEqual(sum(rule.counters.packets for rule in rules), 1 + 9)
        self.assertEqual(self.driver.pipeline.gave_up, 1)

    def test_copies(self) -> None:
        """The copies that groups make have no more than the packet itself."""
        buckets = (Bucket(actions=(GroupAction(2), Output(2))),) * 3
        group = FakeGroup(1, GroupType.ALL, buckets)
        self.driver.submit([FakeOperation.add(group)])
        rule = self.apply(nx.Resubmit(table_id=1), nx.Resubmit(table_id=1), GroupAction(1))
        budgets = set()

        def spy(run: Any, number: int) -> None:
            budgets.add(id(run.more.budget))

        self.apply(Output(3), table_id=1)
        execute = self.driver.pipeline.groups.execute
        self.patch(
            self.driver.pipeline.groups,
            "execute",
            lambda run, number: spy(run, number) if number == 2 else execute(run, number),
        )
        self.send()
        self.assertEqual(len(budgets), 1)
        self.assertEqual(rule.counters.packets, 1)

    def test_next_packet(self) -> None:
        """The next packet begins anew."""
        self.patch(limits, "MAX_RESUBMITS", 1)
        self.apply(nx.Resubmit(table_id=1))
        self.apply(Output(2), table_id=1)
        for _ in range(3):
            self.assertEqual(set(self.send()), {2})

    def test_stack(self) -> None:
        """The stack holds so many values, and no more."""
        self.patch(limits, "MAX_STACK", 2)
        push = nx.StackPush(LOW)
        self.assertEqual(self.goes(push, push, Output(2)), [2])
        self.assertEqual(self.goes(push, push, push, Output(2)), [])


class TraceTests(NiciraCase):
    """What is told of these actions."""

    def test_way(self) -> None:
        """Resubmitted packets are told of behind the action, and what follows behind that."""
        self.add(ApplyActions((nx.Resubmit(table_id=1), nx.RegMove(ETH_SRC, ETH_DST), Output(2))))
        self.apply(load(0, 5), nx.RegMove(LOW, Subfield(REGS[1], 4, 16)), table_id=1)
        trace = self.driver.trace(FRAME, flow_key(FRAME, 1))
        (top,) = trace.nodes
        self.assertEqual(
            [node.text for node in top.below],
            [
                "resubmit(,1)",
                " 1. priority 32768",
                "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
                "NXM_OF_ETH_DST[] is now 02:00:00:00:00:01",
                "output:2",
            ],
        )
        self.assertEqual(
            [node.text for node in top.below[1].below],
            [
                "set_field:0x5->reg0",
                "move:NXM_NX_REG0[0..15]->NXM_NX_REG1[4..19]",
                "NXM_NX_REG1[4..19] is now 0x5",
            ],
        )

    def test_no_effect(self) -> None:
        """Nothing is learned, and no timeout is changed."""
        self.apply(nx.Learn(1, ()), nx.FinTimeout(1, 1), nx.Resubmit())
        frame = compose(Match.of(eth_type=0x800, ip_proto=6, tcp_flags=1))
        trace = self.driver.trace(frame, flow_key(frame, 1))
        texts = [node.text for node in trace.walk()]
        self.assertIn("suppressing side effects, so learn action ignored", texts)
        self.assertEqual(texts[-1], f"over max translation depth {limits.MAX_DEPTH}")
        self.assertEqual((self.host.learned, self.host.reduced), ([], []))
        self.assertEqual(self.driver.pipeline.gave_up, 0)
