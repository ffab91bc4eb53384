"""Tests for :mod:`agent.openflow.text_nicira` and :mod:`agent.openflow.text_messages`.

The texts are those which ``ovs-ofctl`` 3.1 prints of what the codec writes; that they still are is
checked by :mod:`tests.system.test_nicira_text`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import actions as act
from agent.openflow import fields, messages
from agent.openflow import nx_actions as nx
from agent.openflow import nx_messages as nxm
from agent.openflow.actions import Action, ApplyActions, SetField
from agent.openflow.bundle_messages import BundleAdd, BundleControl, BundleType
from agent.openflow.codec import encode
from agent.openflow.constants import ALL_TABLES, ANY, OFP10, OFP13, PacketInReason, Port
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.nx_actions import Learn, LearnSpec, LearnTo, Subfield
from agent.openflow.text import format_actions
from agent.openflow.text_messages import format_message
from agent.openflow.text_nicira import format_subfield
from tests.openflow import strategies_nicira as nicira
from tests.openflow.samples_nicira import LEARN, REG0, REG1, REG2

IN_PORT = Subfield.whole(fields.NX_IN_PORT)
TUNNEL = Subfield.whole(fields.TUNNEL_ID)

ACTIONS: list[tuple[str, Action]] = [
    ("resubmit:3", nx.Resubmit(3)),
    ("resubmit:LOCAL", nx.Resubmit(Port.LOCAL)),
    ("resubmit(,7)", nx.Resubmit(table_id=7)),
    ("resubmit(LOCAL,9)", nx.Resubmit(Port.LOCAL, 9)),
    ("resubmit(,)", nx.Resubmit()),
    ("pop_queue", nx.PopQueue()),
    ("move:NXM_OF_IN_PORT[]->NXM_NX_REG0[16..31]", nx.RegMove(IN_PORT, Subfield(REG0, 16, 16))),
    (
        "move:NXM_NX_IPV6_SRC[64..127]->NXM_NX_TUN_ID[]",
        nx.RegMove(Subfield(fields.IPV6_SRC, 64, 64), TUNNEL),
    ),
    ("note:61.20.6e.6f.74.65", nx.Note(b"a note")),
    (
        "multipath(symmetric_l4,50,hrw,16,9,NXM_NX_REG1[4..7])",
        nx.Multipath(1, 50, 2, 15, 9, Subfield(REG1, 4, 4)),
    ),
    ("bundle(eth_src,0,active_backup,ofport,members:5,ANY)", nx.Bundle(0, 0, 0, (5, ANY))),
    (
        "bundle_load(symmetric_l3l4+udp,4,hrw,ofport,NXM_NX_REG2[],members:1)",
        nx.Bundle(1, 3, 4, (1,), Subfield.whole(REG2)),
    ),
    ("output:NXM_NX_REG1[5..13]", nx.OutputReg(Subfield(REG1, 5, 9))),
    ("CONTROLLER:128", nx.ControllerAction(128)),
    (
        "controller(reason=invalid_ttl,max_len=200,id=5)",
        nx.ControllerAction(200, 5, PacketInReason.INVALID_TTL),
    ),
    ("controller(reason=77)", nx.ControllerAction(reason=77)),
    ("controller(id=1)", nx.ControllerAction(controller_id=1)),
    ("dec_ttl(1,2,3)", nx.DecTtlCntIds((1, 2, 3))),
    ("exit", nx.Exit()),
    ("fin_timeout(idle_timeout=1,hard_timeout=2)", nx.FinTimeout(1, 2)),
    ("fin_timeout()", nx.FinTimeout()),
    ("push:OXM_OF_METADATA[3]", nx.StackPush(Subfield(fields.METADATA, 3, 1))),
    ("pop:NXM_NX_REG0[8..23]", nx.StackPop(Subfield(REG0, 8, 16))),
    ("write_metadata:0x5/0xff", nx.WriteMetadataAction(5, 0xFF)),
    ("write_metadata:0x5", nx.WriteMetadataAction(5, (1 << 64) - 1)),
    (
        "learn(table=1,idle_timeout=10,hard_timeout=20,fin_idle_timeout=3,fin_hard_timeout=4,"
        "priority=100,send_flow_rem,delete_learned,cookie=0x1122334455667788,"
        "eth_type=0x0800,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
        "NXM_OF_IP_DST[]=NXM_OF_IP_SRC[],NXM_NX_REG2[3..7]=0x15,"
        "load:NXM_OF_IN_PORT[]->NXM_NX_REG0[16..31],load:0x7->NXM_NX_REG1[0..2],"
        "output:NXM_OF_IN_PORT[])",
        LEARN,
    ),
    ("learn(table=0)", Learn(0, ())),
    (
        "learn(table=0,load:0->NXM_NX_REG0[])",
        Learn(0, (LearnSpec(LearnTo.LOAD, 0, Subfield.whole(REG0)),)),
    ),
]

LOADS: list[tuple[str, SetField]] = [
    ("set_field:0x5->reg0", SetField(REG0, 5)),
    ("load:0x5->NXM_NX_REG0[]", SetField(REG0, 5, 0xFFFFFFFF)),
    ("load:0->NXM_NX_REG0[31]", SetField(REG0, 0, 1 << 31)),
    ("load:0x5->NXM_NX_REG0[4..7]", SetField(REG0, 0x50, 0xF0)),
    ("set_field:0x5/0x55->reg0", SetField(REG0, 0x05, 0x55)),
    ("load:0x1234->OXM_OF_METADATA[48..63]", SetField(fields.METADATA, 0x1234 << 48, 0xFFFF << 48)),
    ("load:0x1005->NXM_OF_VLAN_TCI[]", SetField(fields.VLAN_TCI, 0x1005, 0xFFFF)),
    ("set_field:::5->ipv6_dst", SetField(fields.IPV6_DST, 5, (1 << 128) - 1)),
]
"""Set-fields; with a mask in one run they came as ``reg_load``, with another as ``reg_load2``."""


class ActionTests(SynchronousTestCase):
    """Nicira's actions as ``ovs-ofctl`` prints them."""

    def test_actions(self) -> None:
        """Each action in its words."""
        for text, action in ACTIONS + LOADS:
            self.assertEqual(format_actions((action,)), text)

    def test_complete(self) -> None:
        """There is a word for every action, and an example of it here."""
        words = {type(action) for _, action in ACTIONS}
        every = {kind for kind in vars(nx).values() if isinstance(kind, type)}
        self.assertEqual({kind for kind in every if issubclass(kind, Action)} - words, {Action})

    def test_no_bits(self) -> None:
        """A field of one bit that is read whole has no number in its brackets."""
        self.assertEqual(format_subfield(Subfield.whole(fields.MPLS_BOS)), "OXM_OF_MPLS_BOS[]")

    @given(nicira.ACTIONS10)
    def test_any(self, actions: act.Actions) -> None:
        """Each action is told, and those that differ look different."""
        words = [format_actions((action,)) for action in actions]
        self.assertEqual(format_actions(actions), ",".join(words) or "drop")

    @given(nicira.subfields(), nicira.subfields())
    def test_subfields(self, one: Subfield, other: Subfield) -> None:
        """Different bits look different."""
        self.assertEqual(format_subfield(one) == format_subfield(other), one == other)


XID = 0x2A
RULE = (ApplyActions((act.Output(3),)),)
ROLE_TEXT = "role=primary generation_id=7"
ASYNC = messages.AsyncConfig((1 << 0 | 1 << 1, 1 << 2), (7, 0), (1 << 3, 1 << 2))
ASYNC_TEXT = """
 primary:
       PACKET_IN: no_match action
     PORT_STATUS: add delete modify
    FLOW_REMOVED: group_delete
     ROLE_STATUS: (off)
    TABLE_STATUS: (off)
  REQUESTFORWARD: (off)

 secondary:
       PACKET_IN: invalid_ttl
     PORT_STATUS: (off)
    FLOW_REMOVED: delete
     ROLE_STATUS: (off)
    TABLE_STATUS: (off)
  REQUESTFORWARD: (off)"""

OLD: list[tuple[str, Any]] = [
    (
        "NXT_FLOW_MOD (xid=0x2a): MOD_STRICT table:9 priority=7,reg0=0x1 cookie:0x9 "
        "cookie:0x5/0xff idle:1 hard:2 buf:0x5 out_port:3 send_flow_rem check_overlap "
        "actions=output:3",
        messages.FlowMod(
            0x0902,
            Match.of(reg0=1),
            7,
            RULE,
            0xFF,
            5,
            0xFF,
            1,
            2,
            5,
            3,
            flags=3,
            xid=XID,
            nxm=True,
            new_cookie=9,
        ),
    ),
    (
        "OFPT_FLOW_MOD (xid=0x2a): ADD in_port=1 cookie:0x5 actions=drop",
        messages.FlowMod(0, Match.of(in_port=1), cookie=5, xid=XID),
    ),
    (
        "NXT_FLOW_REMOVED (xid=0x2a): priority=9,reg0=0x1 reason=hard table_id=2 cookie:0x5 "
        "duration3.500s idle10 pkts1 bytes2",
        messages.FlowRemoved(Match.of(reg0=1), 5, 9, 1, 2, 3, 500_000_000, 10, 0, 1, 2, XID, True),
    ),
    (
        "OFPT_FLOW_REMOVED (xid=0x2a): in_port=1 reason=idle duration3s idle10 pkts1 bytes2",
        messages.FlowRemoved(Match.of(in_port=1), 0, 0x8000, 0, 2, 3, 0, 10, 0, 1, 2, XID),
    ),
    (
        "NXT_PACKET_IN (xid=0x2a): table_id=2 cookie=0x3 total_len=60 reg0=0x5,in_port=3 "
        "(via action) data_len=4 buffer=0x00000009",
        messages.PacketIn(9, 60, 1, 2, 3, Match.of(in_port=3, reg0=5), bytes(4), XID, True),
    ),
    (
        "OFPT_PACKET_IN (xid=0x2a): total_len=4 in_port=3 (via no_match) data_len=4 (unbuffered)",
        messages.PacketIn(0xFFFFFFFF, 4, 0, 0, 0, Match.of(in_port=3), bytes(4), XID),
    ),
    (
        "NXST_FLOW request (xid=0x2a): table=1 out_port=4 reg0=0x1",
        messages.FlowStatsRequest(1, 4, match=Match.of(reg0=1), xid=XID, nxm=True),
    ),
    ("OFPST_AGGREGATE request (xid=0x2a): ", messages.AggregateRequest(xid=XID)),
    (
        "NXST_FLOW reply (xid=0x2a): flags=[more]\n"
        " cookie=0x6, duration=2.000000003s, table=1, n_packets=7, n_bytes=8, idle_timeout=4, "
        "hard_timeout=5, idle_age=1, hard_age=9, priority=3,in_port=1 "
        "actions=output:3\n"
        " cookie=0x0, duration=2s, table=1, n_packets=0, n_bytes=0, actions=drop",
        messages.FlowStatsReply(
            [
                messages.FlowStats(1, 2, 3, 3, 4, 5, 0, 6, 7, 8, Match.of(in_port=1), RULE, 1, 9),
                messages.FlowStats(1, 2, 0, 0x8000, 0, 0, 0, 0, 0, 0, MATCH_ALL, (), None, 2),
            ],
            XID,
            True,
            True,
        ),
    ),
    ("OFPST_FLOW reply (xid=0x2a): ", messages.FlowStatsReply([], XID)),
    (
        "NXST_AGGREGATE reply (xid=0x2a): packet_count=1 byte_count=2 flow_count=3",
        messages.AggregateReply(1, 2, 3, XID, True),
    ),
    ("NXT_ROLE_REQUEST (xid=0x2a): role=secondary", messages.RoleRequest(3, None, XID)),
    ("NXT_ROLE_REPLY (xid=0x2a): role=equal", messages.RoleReply(1, None, XID)),
    ("NXT_SET_FLOW_FORMAT (xid=0x2a): format=nxm", nxm.SetFlowFormat(2, XID)),
    ("NXT_SET_FLOW_FORMAT (xid=0x2a): format=openflow10", nxm.SetFlowFormat(0, XID)),
    ("NXT_SET_PACKET_IN_FORMAT (xid=0x2a): format=nxt_packet_in", nxm.SetPacketInFormat(1, XID)),
    ("NXT_SET_PACKET_IN_FORMAT (xid=0x2a): format=standard", nxm.SetPacketInFormat(0, XID)),
    ("NXT_FLOW_MOD_TABLE_ID (xid=0x2a): enable", nxm.FlowModTableId(True, XID)),
    ("NXT_FLOW_MOD_TABLE_ID (xid=0x2a): disable", nxm.FlowModTableId(False, XID)),
    ("NXT_FLOW_AGE (xid=0x2a):", nxm.FlowAge(XID)),
    ("NXT_SET_CONTROLLER_ID (xid=0x2a): id=7", nxm.SetControllerId(7, XID)),
    (f"NXT_SET_ASYNC_CONFIG (xid=0x2a):{ASYNC_TEXT}", messages.SetAsync(ASYNC, XID)),
    (
        "NXST_FLOW_MONITOR request (xid=0x2a):\n"
        " id=5 flags=initial,add,own out_port=3 table=1 in_port=1\n"
        " id=6 flags=delete",
        nxm.FlowMonitorRequest(
            (
                nxm.FlowMonitor(5, 1 | 2 | 32, 3, 1, Match.of(in_port=1)),
                nxm.FlowMonitor(6, 4, ANY, ALL_TABLES, MATCH_ALL),
            ),
            XID,
        ),
    ),
    (
        "NXST_FLOW_MONITOR reply (xid=0x2a): flags=[more]\n"
        " event=ADDED table=1 idle_timeout=2 hard_timeout=3 cookie=0x5 in_port=1 "
        "actions=output:3\n"
        " event=DELETED reason=eviction table=1 cookie=0\n"
        " event=ABBREV xid=0x99",
        nxm.FlowMonitorReply(
            [
                nxm.FlowUpdate(0, 1, Match.of(in_port=1), 5, 5, 2, 3, 0, RULE),
                nxm.FlowUpdate(1, 1, MATCH_ALL, 5, 0, 0, 0, 5),
                nxm.FlowUpdateAbbrev(0x99),
            ],
            XID,
            True,
        ),
    ),
    ("NXT_FLOW_MONITOR_CANCEL (xid=0x2a): id=5", nxm.FlowMonitorCancel(5, XID)),
    ("NXT_FLOW_MONITOR_PAUSED (xid=0x2a):", nxm.FlowMonitorPaused(XID)),
    ("NXT_FLOW_MONITOR_RESUMED (xid=0x2a):", nxm.FlowMonitorResumed(XID)),
    ("OFPT_BARRIER_REQUEST (xid=0x2a):", messages.BarrierRequest(XID)),
]
"""Messages of 1.0."""

ADDED = (
    "OFPT_FLOW_MOD (OF1.3) (xid=0x2a): ADD table:2 cookie:0x5 actions=drop",
    messages.FlowMod(0, MATCH_ALL, table_id=2, cookie=5, cookie_mask=7, xid=XID),
)

NEW: list[tuple[str, Any]] = [
    (
        "ONFT_BUNDLE_CONTROL (OF1.3) (xid=0x2a):\n"
        " bundle_id=0x12 type=COMMIT_REPLY flags=atomic ordered",
        BundleControl(0x12, BundleType.COMMIT_REPLY, 3, XID),
    ),
    (
        "ONFT_BUNDLE_CONTROL (OF1.3) (xid=0x2a):\n bundle_id=0 type= flags=0x4",
        BundleControl(0, 9, 4, XID),
    ),
    (
        "ONFT_BUNDLE_ADD_MESSAGE (OF1.3) (xid=0x2a):\n bundle_id=0x1 flags=0\n" + ADDED[0],
        BundleAdd(1, encode(OFP13, ADDED[1]), 0, XID),
    ),
    (
        "OFPT_FLOW_MOD (OF1.3) (xid=0x2a): ADD table:2 cookie:0x5 actions=drop",
        messages.FlowMod(0, MATCH_ALL, table_id=2, cookie=5, cookie_mask=7, xid=XID),
    ),
    (
        "OFPT_FLOW_MOD (OF1.3) (xid=0x2a): DEL table:255 cookie:0x5/0x7 actions=drop",
        messages.FlowMod(3, MATCH_ALL, table_id=255, cookie=5, cookie_mask=7, xid=XID),
    ),
    (
        "OFPT_FLOW_REMOVED (OF1.3) (xid=0x2a): in_port=1 reason=delete table_id=2 duration3s "
        "idle0 hard11 pkts1 bytes2",
        messages.FlowRemoved(Match.of(in_port=1), 0, 0x8000, 2, 2, 3, 0, 0, 11, 1, 2, XID),
    ),
    (
        "OFPST_FLOW reply (OF1.3) (xid=0x2a):\n"
        " cookie=0x6, duration=2.0005s, table=1, n_packets=7, n_bytes=8, "
        "send_flow_rem no_packet_counts no_byte_counts actions=output:3",
        messages.FlowStatsReply(
            [
                messages.FlowStats(
                    *(1, 2, 500_000, 0x8000, 0, 0, 1 | 8 | 16, 6, 7, 8, MATCH_ALL, RULE)
                )
            ],
            XID,
        ),
    ),
    ("NXT_ROLE_REQUEST (OF1.3) (xid=0x2a): role=equal", messages.RoleRequest(1, None, XID)),
    (f"OFPT_ROLE_REQUEST (OF1.3) (xid=0x2a): {ROLE_TEXT}", messages.RoleRequest(2, 7, XID)),
    ("OFPT_ROLE_REQUEST (OF1.3) (xid=0x2a): role=nochange", messages.RoleRequest(0, 7, XID)),
    (f"OFPT_ROLE_REPLY (OF1.3) (xid=0x2a): {ROLE_TEXT}", messages.RoleReply(2, 7, XID)),
    (
        "OFPT_ROLE_REPLY (OF1.3) (xid=0x2a): role=equal",
        messages.RoleReply(1, (1 << 64) - 1, XID),
    ),
    (f"OFPT_SET_ASYNC (OF1.3) (xid=0x2a):{ASYNC_TEXT}", messages.SetAsync(ASYNC, XID)),
    ("OFPT_GET_ASYNC_REQUEST (OF1.3) (xid=0x2a):", messages.GetAsyncRequest(XID)),
    ("NXT_FLOW_AGE (OF1.3) (xid=0x2a):", nxm.FlowAge(XID)),
    ("ONFT_FLOW_MONITOR_PAUSED (OF1.3) (xid=0x2a):", nxm.FlowMonitorPaused(XID)),
    ("ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x2a):", nxm.FlowMonitorReply([], XID)),
]
"""Messages of 1.3."""


class MessageTests(SynchronousTestCase):
    """Messages as ``ovs-ofctl`` prints them."""

    def test_messages(self) -> None:
        """Each message in its words."""
        for version, texts in ((OFP10, OLD), (OFP13, NEW)):
            for text, message in texts:
                self.assertEqual(format_message(version, message), text)

    def test_unknown(self) -> None:
        """A message without words is written as Python does it."""
        text = format_message(OFP10, messages.FeaturesRequest(XID))
        self.assertEqual(text, "FeaturesRequest (xid=0x2a): FeaturesRequest(xid=42)")

    def test_unknown_numbers(self) -> None:
        """A number without a name is told as a number."""
        for message, end in (
            (nxm.SetFlowFormat(7), "format=7"),
            (nxm.SetPacketInFormat(7), "format=7"),
            (messages.RoleRequest(7, None), "role=7"),
            (messages.FlowMod(9, MATCH_ALL), "cmd:9 actions=drop"),
            (messages.FlowMod(9, MATCH_ALL, cookie=(1 << 64) - 1), "cmd:9 actions=drop"),
        ):
            self.assertEqual(format_message(OFP10, message).partition("): ")[2], end)

    @given(
        st.sampled_from([OFP10, OFP13]).flatmap(lambda v: st.tuples(st.just(v), nicira.message(v)))
    )
    def test_any(self, drawn: tuple[int, Any]) -> None:
        """Whatever is in a message, it is told, with its xid."""
        version, message = drawn
        self.assertIn(f"(xid={message.xid:#x}):", format_message(version, message))
