"""Damaged messages of Nicira's, all the way through: framing, session, codec, switch and datapath.

Each message and each action is cut short anywhere, and mutated; vendors and subtypes are others;
resubmits and learned rules lead to themselves.  Whatever it is, the peer gets an error with the xid
of its request, or a reply, or none where the message is good after all; the connection goes on, or
is closed in an orderly way; and the packets that come meet whatever rules have been made.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from random import Random
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.connmgr import ConnectionManager
from agent.connmgr.framing import FrameProtocol
from agent.ofproto.ofproto import OFProto
from agent.openflow import messages as of
from agent.openflow.actions import Action, ApplyActions, Output
from agent.openflow.codec import decode, encode, encode_parts, header
from agent.openflow.fields import ETH_SRC
from agent.openflow.match import MATCH_ALL
from agent.openflow.nx_actions import Learn, LearnSpec, LearnTo, Resubmit, Subfield
from drivers.software.driver import SoftwareDriver, create
from drivers.software.memory import MemoryPort
from drivers.testing import FakeEntry
from drivers.testing.frames import FRAME
from tests.connmgr.fakes import Peer, TurnClock, connect
from tests.connmgr.managers import FakeBound
from tests.openflow import samples_nicira as samples
from tests.openflow.mutations import mutated

FUZZING: Final = os.environ.get("OFAGENT_TEST_PROFILE") == "fuzz"
COUNT: Final = 500_000 if FUZZING else 2_000
SEED: Final = int(os.environ.get("OFAGENT_TEST_SEED", "1"))

XID: Final = 0x1234
LONGEST: Final = 400
"""Bytes of a message beyond which cutting it short finds nothing new."""


def flow_mod(version: int, *actions: Action) -> bytes:
    """A rule that does this with every packet."""
    rule = of.FlowMod(0, MATCH_ALL, 7, (ApplyActions(actions),), 0, xid=XID)
    return encode(version, rule)


def own(version: int) -> list[bytes]:
    """Nicira's messages, and rules with one of Nicira's actions each."""
    messages = samples.only10(XID) if version == of.OFP10 else samples.only13(XID)
    frames = [frame for message in messages for frame in encode_parts(version, message)]
    actions = (*samples.ACTIONS, *(samples.ACTIONS10 if version == of.OFP10 else ()))
    return [*frames, *(flow_mod(version, action) for action in actions)]


def sized(frame: bytes) -> bytes:
    """The frame, its header telling how long it is."""
    return frame[:2] + struct.pack("!H", len(frame)) + frame[4:]


class BadInputTests(SynchronousTestCase):
    """A bridge with the software datapath, and somebody who sends anything."""

    def setUp(self) -> None:
        """Start it."""
        self.clock = TurnClock()
        entries = [FakeEntry(f"p{n}", n) for n in (1, 2)]
        self.driver: SoftwareDriver = create({"tables": 4}, entries, [])
        self.switch = OFProto("br0", 1, self.driver, self.clock)
        self.bound = FakeBound("ptcp:6653")
        self.manager = ConnectionManager(
            self.switch, self.clock, [1, 4], listeners=[(self.bound, 0.0)]
        )
        self.switch.observer = self.manager
        self.switch.start()
        self.manager.startService()
        self.refused = self.good = 0

    def tearDown(self) -> None:
        """Nothing is left in flight, and the bridge can end."""
        self.assertEqual(list(self.switch.ledger.groups), [])
        self.manager.stopService()
        self.switch.stop()

    def connect(self, version: int) -> Peer:
        """Somebody new, who gets all that can be had."""
        protocol = self.bound.factory.buildProtocol(None)
        assert isinstance(protocol, FrameProtocol)
        peer = connect(protocol)
        peer.version = version
        peer.send(of.Hello(frozenset({version})))
        peer.send(of.SetConfig(0, 0xFFFF))
        self.clock.turn(2)
        peer.transport.clear()
        return peer

    def inject(self) -> None:
        """Have a packet come in."""
        port = self.driver.port(1)
        assert isinstance(port, MemoryPort)
        port.inject(FRAME)
        self.clock.turn(2)

    def feed(self, version: int, frames: Iterable[bytes]) -> None:
        """Send each of these, and a packet to meet what it has done; see the module."""
        peer = self.connect(version)
        for number, frame in enumerate(frames):
            peer.send_bytes(frame + encode(version, of.EchoRequest(b"end", 0x7FFF)))
            self.clock.turn(4)
            self.clock.advance(0)
            self.inject()
            alive = self.check(peer, frame)
            if not alive or number % 50 == 49:
                if alive:
                    peer.transport.lose(ConnectionError())
                peer = self.connect(version)
                self.switch.flush()
                self.clock.turn(8)
        peer.transport.lose(ConnectionError())

    def check(self, peer: Peer, frame: bytes) -> bool:
        """Look at all that has come; returns whether the connection goes on."""
        version = peer.version
        logged = self.flushLoggedErrors()
        self.assertEqual(logged, [], f"{frame.hex()}: {logged}")
        data = peer.transport.value()
        peer.transport.clear()
        xid = header(frame)[3]
        ended = False
        while data:
            length = header(data)[2]
            message = decode(version, data[:length])
            data = data[length:]
            if isinstance(message, of.EchoReply) and message.xid == 0x7FFF:
                ended = True
            elif isinstance(message, of.ErrorMessage):
                self.refused += 1
                self.assertEqual(message.xid, xid, frame.hex())
        alive = peer.transport.connected and not peer.transport.disconnecting
        self.good += ended
        self.assertTrue(ended or not alive, frame.hex())
        return bool(alive) and ended

    def test_cut(self) -> None:
        """Each of Nicira's messages and actions, cut short anywhere."""
        for version in (of.OFP10, of.OFP13):
            frames = (
                sized(frame[:length])
                for frame in own(version)
                for length in range(8, min(len(frame), LONGEST))
            )
            self.feed(version, self.some(frames))
        self.assertGreater(self.refused, 1000)

    @staticmethod
    def some(frames: Iterator[bytes]) -> Iterator[bytes]:
        """All of them, or one of three: there are very many."""
        return (frame for number, frame in enumerate(frames) if FUZZING or number % 3 == 0)

    def test_mutated(self) -> None:
        """Nicira's messages and actions, and all others, with bytes that are other bytes."""
        for version in (of.OFP10, of.OFP13):
            random = Random(SEED)
            frames = []
            for _ in range(COUNT):
                frame = bytearray(random.choice(own_once(version)))
                for _ in range(random.choice((1, 1, 2))):
                    at = random.randrange(8, len(frame))
                    frame[at] = random.choice((0, 1, 0xFF, frame[at] ^ 1 << random.randrange(8)))
                frames.append(bytes(frame))
            self.feed(version, frames)
            wanted = bytes([version])
            found = (sized(frame) for frame in mutated(SEED, COUNT) if len(frame) >= 8)
            self.feed(version, (frame for frame in found if frame[:1] == wanted))
        self.assertGreater(self.refused, COUNT // 2)
        self.assertGreater(self.good, COUNT)

    def test_vendors(self) -> None:
        """Vendors and subtypes that there are not, in messages, statistics and actions."""
        for version in (of.OFP10, of.OFP13):
            stats, at = (16, 12) if version == of.OFP10 else (18, 16)
            frames = []
            for vendor in (0, 1, 0x2320, 0x2321, 0x4F4E4600, 0xFFFFFFFF):
                for subtype in (*range(40), 0xFFFF, 0xFFFFFFFF):
                    body = struct.pack("!II", vendor, subtype)
                    frames.append(struct.pack("!BBHI", version, 4, 16, XID) + body)
                    head = struct.pack("!BBHIHH", version, stats, at + 8, XID, 0xFFFF, 0)
                    frames.append(head.ljust(at, b"\0") + body)
                    frames.append(rule_of(version, action_of(vendor, subtype & 0xFFFF)))
            self.feed(version, frames)
        self.assertGreater(self.refused, 1000)

    def test_nested(self) -> None:
        """Resubmits and learned rules that lead to each other and to themselves end, at a depth; an
        action in the place of a specification is none."""
        whole = Subfield.whole(ETH_SRC)
        for version in (of.OFP10, of.OFP13):
            for actions in (
                (Resubmit(), Output(2)),
                (Resubmit(table_id=0), Resubmit(table_id=0), Output(2)),
                (Learn(0, (LearnSpec(LearnTo.MATCH, whole, whole),), priority=9), Resubmit()),
                (Learn(1, ()), Resubmit(table_id=1), Learn(0, (), priority=1), Resubmit()),
            ):
                self.feed(version, [flow_mod(version, *actions)] * 3)
            inner = flow_mod(version, Learn(1, ()))[-32:]
            for depth in (1, 2, 100, 1000):
                body = inner * depth
                nested = inner[:2] + struct.pack("!H", 32 + len(body)) + inner[4:] + body
                before = self.refused
                self.feed(version, [rule_of(version, nested)])
                self.assertEqual(self.refused, before + 1)


_own: dict[int, list[bytes]] = {}


def own_once(version: int) -> list[bytes]:
    """Like :func:`own`, made once."""
    if version not in _own:
        _own[version] = own(version)
    return _own[version]


def action_of(vendor: int, subtype: int) -> bytes:
    """An action of a vendor, without anything in it."""
    return struct.pack("!HHIH6x", 0xFFFF, 16, vendor, subtype)


def rule_of(version: int, actions: bytes) -> bytes:
    """A FLOW_MOD with these bytes for actions."""
    frame = encode(version, of.FlowMod(0, MATCH_ALL, 7, table_id=0, xid=XID))
    if version == of.OFP13:
        actions = struct.pack("!HHI", 4, 8 + len(actions), 0) + actions
    return sized(frame + actions)
