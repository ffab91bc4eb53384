"""Replies in several messages, and requests which are refused."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from construct import Padding
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import errors, fields, messages
from agent.openflow.actions import ApplyActions, Enqueue, Output, SetField, WriteActions
from agent.openflow.codec import MAX_LENGTH, decode, encode, encode_parts, header
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.match import Match
from agent.openflow.messages import OFP10, OFP13, FlowStats, FlowStatsReply
from agent.openflow.multipart import Multipart, Stat
from agent.openflow.stats13 import STATISTICS
from tests.openflow.samples import OUTPUT, XID


def _flow(number: int) -> FlowStats:
    match = Match.of(in_port=1, eth_type=0x800, ipv4_dst=number)
    return FlowStats(0, 1, 2, 3, 4, 5, 0, number, 7, 8, match, OUTPUT)


class ReplyTests(SynchronousTestCase):
    """Replies longer than a message."""

    def test_split(self) -> None:
        """A long reply is several full messages with MORE, and one without: nothing is lost."""
        flows = [_flow(number) for number in range(2000)]
        for version in (OFP10, OFP13):
            parts = list(encode_parts(version, FlowStatsReply(flows, XID)))
            found: list[FlowStats] = []
            for number, part in enumerate(parts):
                reply = decode(version, part)
                assert isinstance(reply, FlowStatsReply)
                self.assertEqual(reply.xid, XID)
                self.assertEqual(reply.more, number < len(parts) - 1)
                if reply.more:
                    self.assertGreater(len(part), MAX_LENGTH - 200)
                found += reply.flows
            self.assertEqual(found, flows)
            self.assertEqual(encode(version, FlowStatsReply(flows, XID)), b"".join(parts))

    def test_exact(self) -> None:
        """Elements which just fill a message stay one; a single byte more makes two."""
        # 16 bytes of header and 64 of each port: 1023 ports leave 47 bytes, too few for another.
        ports = [messages.PortDesc(n, n, str(n)) for n in range(1, 1024)]
        (part,) = encode_parts(OFP13, messages.PortDescReply(ports, XID))
        self.assertEqual(len(part), 16 + 1023 * 64)
        first, second = encode_parts(OFP13, messages.PortDescReply([*ports, ports[0]], XID))
        self.assertEqual((first[11], len(first)), (1, len(part)))
        self.assertEqual((second[11], len(second)), (0, 16 + 64))

    def test_empty(self) -> None:
        """An empty reply is one message, of any list in both versions."""
        for version, size in ((OFP10, 12), (OFP13, 16)):
            for reply in (
                FlowStatsReply([], XID),
                messages.TableStatsReply([], XID),
                messages.PortStatsReply([], XID),
                messages.QueueStatsReply([], XID),
                messages.PortDescReply([], XID),
            ):
                data = encode(version, reply)
                self.assertEqual((len(data), data[11]), (size, 0))
                self.assertEqual(decode(version, data), reply)

    def test_more(self) -> None:
        """What the sender knows not to be the end has MORE in its last message too."""
        for version in (OFP10, OFP13):
            data = encode(version, FlowStatsReply([_flow(1)], XID, more=True))
            self.assertEqual(decode(version, data), FlowStatsReply([_flow(1)], XID, more=True))

    def test_lazy(self) -> None:
        """Entries are made as they are needed: the first message before the last entry."""
        made = 0

        def flows() -> Iterator[FlowStats]:
            nonlocal made
            for made in range(5000):
                yield _flow(made)

        next(encode_parts(OFP13, FlowStatsReply(flows(), XID)))
        self.assertLess(made, 1000)

    def test_too_long_for_any(self) -> None:
        """An element that fits no message is a ValueError; what fills one just so is not."""
        statistics = Multipart(
            OFP13, 18, 19, Padding(4), [attrs.evolve(_DESC, encode_reply=_pieces)]
        )
        reply = messages.DescReply("", "", "", "", "", XID)
        reply.mfr_desc = "x" * (MAX_LENGTH - 16)
        self.assertEqual([len(part) for part in statistics.parts(reply)], [16 + 1, MAX_LENGTH])
        reply.mfr_desc += "x"
        self.assertRaises(ValueError, list, statistics.parts(reply))


_DESC = next(one for one in STATISTICS if one.number == Stat.DESC)


def _pieces(reply: messages.DescReply) -> tuple[bytes, ...]:
    return (b"y", reply.mfr_desc.encode())


class OversizeTests(SynchronousTestCase):
    """Rules which one version can say and another has no room for."""

    def test_flow_mod(self) -> None:
        """A rule that no statistics message could show is refused when it comes."""
        apply = ApplyActions((SetField(fields.IPV6_SRC, 1),) * 2048)
        for outputs in (1018, 1019):
            instructions = (apply, WriteActions((Output(1),) * outputs))
            data = encode(OFP13, messages.FlowMod(0, Match(), 1, instructions))
            if outputs == 1018:
                message = decode(OFP13, data)
                assert isinstance(message, messages.FlowMod)
                flow = attrs.evolve(_flow(1), match=Match(), instructions=message.instructions)
                reply = FlowStatsReply([flow], XID)
                self.assertEqual(decode(OFP13, encode(OFP13, reply)), reply)
            else:
                error = self.assertRaises(OpenFlowError, decode, OFP13, data)
                self.assertEqual(error.code, errors.TOO_MANY)

    def test_actions_grow(self) -> None:
        """A rule of 1.0 that is too long in 1.3 is shown there without instructions."""
        for count in (1637, 2048):  # too long for a message, too long for an instruction
            instructions = (ApplyActions((Enqueue(1, 2),) * count),)
            flow = attrs.evolve(_flow(1), instructions=instructions)
            reply = FlowStatsReply([_flow(0), flow, _flow(2)], XID)
            self.assertEqual(decode(OFP10, encode(OFP10, reply)), reply)
            shown = decode(OFP13, encode(OFP13, reply))
            assert isinstance(shown, FlowStatsReply)
            self.assertEqual(
                [shown_flow.instructions for shown_flow in shown.flows], [OUTPUT, (), OUTPUT]
            )

    def test_unspeakable_port(self) -> None:
        """An output to a port that 1.0 has no number for is left out there, not the rest."""
        instructions = (ApplyActions((Output(1), Output(0x10000), Output(2))),)
        flow = attrs.evolve(_flow(1), instructions=instructions)
        shown = decode(OFP10, encode(OFP10, FlowStatsReply([flow], XID)))
        wanted = attrs.evolve(flow, instructions=(ApplyActions((Output(1), Output(2))),))
        self.assertEqual(shown, FlowStatsReply([wanted], XID))


class RequestTests(SynchronousTestCase):
    """Requests which are refused."""

    def assert_refused(self, code: ErrorCode, data: bytes) -> None:
        """``data`` is refused with ``code``."""
        data = data[:2] + len(data).to_bytes(2, "big") + data[4:]
        error = self.assertRaises(OpenFlowError, decode, data[0], data)
        self.assertEqual(error.code, code)

    def both(self, number: int, flags: int = 0, body: bytes = b"") -> Iterator[bytes]:
        """A request and a reply in both versions."""
        for version, kinds, padding in ((1, (16, 17), 0), (4, (18, 19), 4)):
            for kind in kinds:
                head = bytes([version, kind, 0, 0, 0, 0, 0, 9])
                yield head + bytes([number >> 8, number & 0xFF, 0, flags]) + bytes(padding) + body

    def test_unknown(self) -> None:
        """Statistics which a version does not have are BAD_STAT."""
        for data in self.both(99):
            self.assert_refused(errors.BAD_STAT, data)

    def test_experimenter(self) -> None:
        """Those of an experimenter are BAD_EXPERIMENTER."""
        for data in self.both(Stat.EXPERIMENTER, body=bytes(8)):
            self.assert_refused(errors.BAD_EXPERIMENTER, data)

    def test_too_short(self) -> None:
        """Less than the header of statistics is REQUEST_BAD_LEN."""
        for data in self.both(Stat.DESC):
            self.assert_refused(errors.REQUEST_BAD_LEN, data[:-1])
            self.assert_refused(errors.REQUEST_BAD_LEN, data[:8])

    def test_lengths(self) -> None:
        """A request, or an element of a reply, that is not as long as it must be."""
        for number in (Stat.DESC, Stat.AGGREGATE, Stat.FLOW, Stat.TABLE, Stat.PORT, Stat.QUEUE):
            for data in self.both(number, body=bytes(3)):
                self.assert_refused(errors.REQUEST_BAD_LEN, data)

    def test_parts(self) -> None:
        """A request that is to be continued is refused in 1.3; 1.0 has no such flag."""
        for data in self.both(Stat.DESC, flags=1):
            if data[1] == 18:
                self.assert_refused(errors.MULTIPART_BUFFER_OVERFLOW, data)
            elif data[1] == 16:
                data = data[:2] + b"\0\x0c" + data[4:]
                self.assertEqual(decode(OFP10, data), messages.DescRequest(9))

    def test_flow_entries(self) -> None:
        """An entry of flow statistics whose length is nothing, too little, or too much."""
        for version, size in ((OFP10, 12), (OFP13, 16)):
            good = encode(version, FlowStatsReply([_flow(1), _flow(2)], XID))
            for length in (0, 1, 47, 56, 88, len(good) - size + 8, 0xFFF8):
                if length != int.from_bytes(good[size : size + 2], "big"):
                    bad = good[:size] + length.to_bytes(2, "big") + good[size + 2 :]
                    self.assertRaises(OpenFlowError, decode, version, bad)
            self.assertEqual(header(good)[2], len(good))
