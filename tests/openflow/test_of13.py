"""What OpenFlow 1.3 has of its own, and what is refused in its messages."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, messages
from agent.openflow.codec import decode, encode
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.frame import Type13
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import ANY, OFP13, FlowMod, FlowModFlags, Message, Port
from tests.openflow.samples import OUTPUT, SIX_FIELDS, XID


def frame(kind: int, body: bytes) -> bytes:
    """A frame of 1.3."""
    return bytes([OFP13, kind]) + (8 + len(body)).to_bytes(2, "big") + XID.to_bytes(4, "big") + body


def _split(message: Message) -> tuple[int, bytes]:
    """Type and body of a message."""
    data = encode(OFP13, message)
    return data[1], data[8:]


class RefusedTests(SynchronousTestCase):
    """Messages which are refused."""

    def assert_refused(self, code: ErrorCode, data: bytes) -> None:
        """``data`` is refused with ``code``."""
        error = self.assertRaises(OpenFlowError, decode, OFP13, data)
        self.assertEqual(error.code, code)

    def test_lengths(self) -> None:
        """Messages of fixed length which are a byte longer or shorter."""
        masks = messages.AsyncConfig((0, 0), (0, 0), (0, 0))
        for sample in (
            messages.FeaturesReply(1, 0, 1),
            messages.GetConfigReply(0, 0),
            messages.SetConfig(0, 0),
            messages.PortStatus(0, messages.PortDesc(1, 1, "a")),
            messages.PortMod(1, 1, 0, 0),
            messages.TableMod(0, 0),
            messages.QueueGetConfigRequest(1),
            messages.RoleRequest(0),
            messages.RoleReply(0),
            messages.GetAsyncReply(masks),
            messages.SetAsync(masks),
            messages.DescRequest(),
            messages.DescReply("", "", "", "", ""),
            messages.AggregateReply(0, 0, 0),
            messages.TableStatsRequest(),
            messages.TableStatsReply([messages.TableStats(0, 0, 0, 0)]),
            messages.PortStatsRequest(),
            messages.PortStatsReply([messages.PortStats(1)]),
            messages.PortDescRequest(),
            messages.PortDescReply([messages.PortDesc(1, 1, "a")]),
            messages.QueueStatsRequest(),
            messages.QueueStatsReply([messages.QueueStats(1, 1)]),
        ):
            kind, body = _split(sample)
            self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body + b"\0"))
            self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body[:-1]))
        self.assert_refused(errors.REQUEST_BAD_LEN, frame(Type13.GET_ASYNC_REQUEST, b"\0"))

    def test_after_match(self) -> None:
        """Messages which should end with their match, and go on."""
        for sample in (
            messages.FlowRemoved(SIX_FIELDS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
            messages.FlowStatsRequest(match=SIX_FIELDS),
            messages.AggregateRequest(match=SIX_FIELDS),
        ):
            kind, body = _split(sample)
            self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body + bytes(8)))

    def test_too_short(self) -> None:
        """Messages of any length which are shorter than their fixed part."""
        for kind, least in (
            (Type13.FLOW_MOD, 48),
            (Type13.FLOW_REMOVED, 48),
            (Type13.PACKET_IN, 26),
            (Type13.PACKET_OUT, 16),
        ):
            for size in (0, least - 1):
                self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, bytes(size)))

    def test_packet_in_cut(self) -> None:
        """A PACKET_IN without the two bytes behind its match."""
        match = Match.of(in_port=1)
        kind, body = _split(messages.PacketIn(0, 0, 0, 0, 0, match, b""))
        self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body[:-1]))

    def test_flow_mod_cut(self) -> None:
        """A match, or instructions, which are cut short."""
        kind, body = _split(FlowMod(0, SIX_FIELDS, instructions=OUTPUT))
        self.assert_refused(errors.INST_BAD_LEN, frame(kind, body[:-8]))
        self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body + bytes(4)))
        self.assert_refused(errors.MATCH_BAD_LEN, frame(kind, body[:56]))

    def test_flow_mod_flags(self) -> None:
        """Flags that 1.3 does not have are BAD_FLAGS, the one of emergency flows among them."""
        data = bytearray(encode(OFP13, FlowMod(0, MATCH_ALL)))
        for bit in range(5, 16):
            data[44:46] = (1 << bit).to_bytes(2, "big")
            self.assert_refused(errors.FLOW_MOD_BAD_FLAGS, bytes(data))

    def test_flow_entry(self) -> None:
        """A match that reaches beyond its entry of flow statistics."""
        flow = messages.FlowStats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, SIX_FIELDS, ())
        kind, body = _split(messages.FlowStatsReply([flow, flow]))
        body = body[:8] + (56).to_bytes(2, "big") + body[10:]
        self.assert_refused(errors.REQUEST_BAD_LEN, frame(kind, body))

    def test_packet_out(self) -> None:
        """A list of actions longer than the message; an ingress port that is none."""
        body = bytes.fromhex("ffffffff 00000001 0011 000000000000 0000 0010 00000001") + bytes(8)
        self.assert_refused(errors.REQUEST_BAD_LEN, frame(Type13.PACKET_OUT, body))
        for port in (Port.MAX, Port.IN_PORT, Port.TABLE, Port.NORMAL, Port.FLOOD, Port.ALL):
            body = bytes(4) + port.to_bytes(4, "big") + bytes(8)
            self.assert_refused(errors.REQUEST_BAD_PORT, frame(Type13.PACKET_OUT, body))

    def test_role(self) -> None:
        """A role that is none is BAD_ROLE."""
        body = bytes.fromhex("00000004 00000000") + bytes(8)
        self.assert_refused(errors.ROLE_BAD_ROLE, frame(Type13.ROLE_REQUEST, body))


class ValueTests(SynchronousTestCase):
    """What may surprise in values."""

    def test_no_port(self) -> None:
        """ANY as ingress port of a PACKET_OUT is no ingress port."""
        body = bytes.fromhex("00000007 ffffffff 0000 000000000000")
        message = decode(OFP13, frame(Type13.PACKET_OUT, body))
        self.assertEqual(message, messages.PacketOut(7, Port.CONTROLLER, (), b"", XID))

    def test_any_command(self) -> None:
        """The command is a number: whether it is one that exists is not for the codec to say."""
        message = decode(OFP13, encode(OFP13, FlowMod(99, MATCH_ALL)))
        self.assertEqual(message, FlowMod(99, MATCH_ALL))

    def test_no_emergency(self) -> None:
        """The flag of 1.0 is not sent in 1.3."""
        message = FlowMod(0, MATCH_ALL, flags=FlowModFlags.EMERG | FlowModFlags.RESET_COUNTS)
        wanted = FlowMod(0, MATCH_ALL, flags=FlowModFlags.RESET_COUNTS)
        self.assertEqual(decode(OFP13, encode(OFP13, message)), wanted)

    def test_removed_reason(self) -> None:
        """Reasons that 1.3 does not know are those of a deletion."""
        for reason, wanted in ((2, 2), (3, 3), (4, 2), (5, 2)):
            removed = messages.FlowRemoved(SIX_FIELDS, 0, 0, reason, 0, 0, 0, 0, 0, 0, 0)
            reply = decode(OFP13, encode(OFP13, removed))
            assert isinstance(reply, messages.FlowRemoved)
            self.assertEqual(reply.reason, wanted)

    def test_same_instructions(self) -> None:
        """Equal instructions in different messages are one object."""
        first, second = (
            decode(OFP13, encode(OFP13, FlowMod(0, SIX_FIELDS, priority, OUTPUT)))
            for priority in (1, 2)
        )
        assert isinstance(first, FlowMod)
        assert isinstance(second, FlowMod)
        self.assertIs(first.instructions, second.instructions)

    def test_defaults(self) -> None:
        """Requests of everything have the numbers that mean all."""
        data = encode(OFP13, messages.FlowStatsRequest())
        self.assertEqual(data[16], 0xFF)
        self.assertEqual(data[20:28], ANY.to_bytes(4, "big") * 2)
