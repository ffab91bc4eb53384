"""What OpenFlow 1.0 has of its own, and what is refused in its messages."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, messages
from agent.openflow.actions import (
    ApplyActions,
    GotoTable,
    GroupAction,
    Output,
    WriteActions,
    WriteMetadata,
)
from agent.openflow.codec import decode, encode
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.frame import Type10
from agent.openflow.match import Match
from agent.openflow.messages import ANY, NO_BUFFER, OFP10, FlowMod, FlowModFlags, Port
from agent.openflow.nx_actions import Resubmit, WriteMetadataAction
from tests.openflow.samples import SIX_FIELDS, XID


def frame(kind: int, body: bytes) -> bytes:
    """A frame of 1.0."""
    return bytes([OFP10, kind]) + (8 + len(body)).to_bytes(2, "big") + XID.to_bytes(4, "big") + body


class RefusedTests(SynchronousTestCase):
    """Messages which are refused."""

    def assert_refused(self, code: ErrorCode, data: bytes) -> None:
        """``data`` is refused with ``code``."""
        error = self.assertRaises(OpenFlowError, decode, OFP10, data)
        self.assertEqual(error.code, code)

    def test_lengths(self) -> None:
        """Messages of fixed length which are a byte longer or shorter."""
        for sample in (
            messages.GetConfigReply(0, 0),
            messages.SetConfig(0, 0),
            messages.PortStatus(0, messages.PortDesc(1, 1, "a")),
            messages.PortMod(1, 1, 0, 0),
            messages.QueueGetConfigRequest(1),
            messages.FlowRemoved(SIX_FIELDS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
            messages.FeaturesReply(1, 0, 1, ports=(messages.PortDesc(1, 1, "a"),)),
            messages.DescRequest(),
            messages.DescReply("", "", "", "", ""),
            messages.FlowStatsRequest(),
            messages.AggregateRequest(),
            messages.AggregateReply(0, 0, 0),
            messages.TableStatsRequest(),
            messages.TableStatsReply([messages.TableStats(0, 0, 0, 0)]),
            messages.PortStatsRequest(),
            messages.PortStatsReply([messages.PortStats(1)]),
            messages.QueueStatsRequest(),
            messages.QueueStatsReply([messages.QueueStats(1, 1)]),
        ):
            body = encode(OFP10, sample)[8:]
            kind = encode(OFP10, sample)[1]
            self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body + b"\0"))
            self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body[:-1]))

    def test_too_short(self) -> None:
        """Messages of any length which are shorter than their fixed part."""
        for kind, least in (
            (Type10.PACKET_IN, 10),
            (Type10.FEATURES_REPLY, 24),
            (Type10.PACKET_OUT, 8),
            (Type10.FLOW_MOD, 64),
        ):
            for size in (0, least - 1):
                self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, bytes(size)))

    def test_flow_mod_actions(self) -> None:
        """Actions which are cut short, or of which there are none of that type."""
        body = encode(OFP10, FlowMod(0, SIX_FIELDS))[8:]
        self.assert_refused(errors.REQUEST_BAD_LEN, frame(Type10.FLOW_MOD, body + bytes(4)))
        self.assert_refused(errors.ACTION_BAD_LEN, frame(Type10.FLOW_MOD, body + bytes(8)))
        unknown = bytes.fromhex("0055 0008 00000000")
        self.assert_refused(errors.ACTION_BAD_TYPE, frame(Type10.FLOW_MOD, body + unknown))

    def test_flow_mod_flags(self) -> None:
        """Flags that only later versions have, or none, are BAD_FLAGS."""
        data = bytearray(encode(OFP10, FlowMod(0, SIX_FIELDS)))
        for bit in range(3, 16):
            data[70:72] = (1 << bit).to_bytes(2, "big")
            self.assert_refused(errors.FLOW_MOD_BAD_FLAGS, bytes(data))

    def test_packet_out_actions(self) -> None:
        """A list of actions that is longer than the message."""
        body = bytes.fromhex("ffffffff 0001 0009 0000 0008 0001 0000")
        self.assert_refused(errors.REQUEST_BAD_LEN, frame(Type10.PACKET_OUT, body))

    def test_packet_out_port(self) -> None:
        """An ingress port that no packet can have come in by is BAD_PORT."""
        for port in (0xFF00, 0xFFF7, 0xFFF8, 0xFFF9, 0xFFFA, 0xFFFB, 0xFFFC):
            body = bytes(4) + port.to_bytes(2, "big") + bytes(2)
            self.assert_refused(errors.REQUEST_BAD_PORT, frame(Type10.PACKET_OUT, body))


class FlowTests(SynchronousTestCase):
    """Flows, which later versions write otherwise."""

    def test_flow_mod_values(self) -> None:
        """There is no table, no cookie mask and no group: they have the values of "any"."""
        data = encode(OFP10, FlowMod(0, SIX_FIELDS, xid=XID))
        self.assertEqual(
            decode(OFP10, data),
            FlowMod(
                0,
                SIX_FIELDS,
                0x8000,
                (),
                table_id=0xFF,
                cookie_mask=0,
                buffer_id=NO_BUFFER,
                out_port=ANY,
                out_group=ANY,
                xid=XID,
            ),
        )

    def test_command(self) -> None:
        """The command keeps all its 16 bits."""
        data = encode(OFP10, FlowMod(0x0503, SIX_FIELDS))
        self.assertEqual(data[56:58], b"\x05\x03")
        message = decode(OFP10, data)
        assert isinstance(message, FlowMod)
        self.assertEqual(message.command, 0x0503)

    def test_emergency(self) -> None:
        """EMERG has the bit which means RESET_COUNTS later; that is not sent."""
        data = bytearray(encode(OFP10, FlowMod(0, SIX_FIELDS, flags=FlowModFlags.EMERG)))
        self.assertEqual(data[70:72], b"\0\x04")
        message = decode(OFP10, bytes(data))
        assert isinstance(message, FlowMod)
        self.assertEqual(message.flags, FlowModFlags.EMERG)
        data = bytearray(encode(OFP10, FlowMod(0, SIX_FIELDS, flags=FlowModFlags.RESET_COUNTS)))
        self.assertEqual(data[70:72], b"\0\0")

    def test_same_actions(self) -> None:
        """Equal actions in different messages are one object, which saves memory and time."""
        actions = (ApplyActions((Output(1), Output(2))),)
        first, second = (
            decode(OFP10, encode(OFP10, FlowMod(0, SIX_FIELDS, priority, actions)))
            for priority in (1, 2)
        )
        assert isinstance(first, FlowMod)
        assert isinstance(second, FlowMod)
        self.assertIs(first.instructions, second.instructions)

    def test_later_instructions(self) -> None:
        """A rule of 1.3 is shown with the actions that it applies and writes, as far as 1.0 can.

        Groups, metadata and other tables have no words but Nicira's.
        """
        instructions = (
            ApplyActions((Output(1), GroupAction(5))),
            WriteActions((Output(2),)),
            WriteMetadata(5, 7),
            GotoTable(3),
        )
        flow = messages.FlowStats(3, 1, 2, 3, 4, 5, 0, 6, 7, 8, SIX_FIELDS, instructions)
        reply = decode(OFP10, encode(OFP10, messages.FlowStatsReply([flow])))
        assert isinstance(reply, messages.FlowStatsReply)
        (shown,) = reply.flows
        actions = (Output(1), GroupAction(5), Output(2), WriteMetadataAction(5, 7))
        self.assertEqual(shown.instructions, (ApplyActions((*actions, Resubmit(table_id=3))),))

    def test_removed_reason(self) -> None:
        """Reasons that 1.0 does not know are those of a deletion."""
        for reason, wanted in ((0, 0), (1, 1), (2, 2), (3, 2), (5, 2)):
            removed = messages.FlowRemoved(SIX_FIELDS, 0, 0, reason, 0, 0, 0, 0, 0, 0, 0)
            reply = decode(OFP10, encode(OFP10, removed))
            assert isinstance(reply, messages.FlowRemoved)
            self.assertEqual(reply.reason, wanted)


class PortTests(SynchronousTestCase):
    """Ports, which have 16 bits."""

    def test_packet_out(self) -> None:
        """No port, and the controller's, are both no ingress port."""
        for port in (0xFFFF, 0xFFFD):
            body = bytes.fromhex("00000007") + port.to_bytes(2, "big") + bytes(2)
            message = decode(OFP10, frame(Type10.PACKET_OUT, body))
            self.assertEqual(message, messages.PacketOut(7, Port.CONTROLLER, (), b"", XID))

    def test_packet_in(self) -> None:
        """The match of a PACKET_IN is its ingress port, reserved ports mapped."""
        data = frame(Type10.PACKET_IN, bytes.fromhex("00000007 0040 fffe 00 00 abcd"))
        match = Match.of(in_port=Port.LOCAL)
        self.assertEqual(
            decode(OFP10, data), messages.PacketIn(7, 64, 0, 0, 0, match, b"\xab\xcd", XID)
        )

    def test_queue_statistics(self) -> None:
        """All ports is OFPP_ALL when queues are asked for, and OFPP_NONE is taken for it."""
        data = encode(OFP10, messages.QueueStatsRequest())
        self.assertEqual(data[12:14], b"\xff\xfc")
        for port in (b"\xff\xfc", b"\xff\xff"):
            self.assertEqual(
                decode(OFP10, data[:12] + port + data[14:]), messages.QueueStatsRequest()
            )

    def test_many_ports(self) -> None:
        """A features reply has as many ports as fit; the others can be asked for."""
        ports = [messages.PortDesc(n, n, str(n)) for n in range(1, 2001)]
        reply = decode(OFP10, encode(OFP10, messages.FeaturesReply(1, 0, 1, ports=tuple(ports))))
        assert isinstance(reply, messages.FeaturesReply)
        self.assertEqual(reply.ports, tuple(ports[:1364]))
