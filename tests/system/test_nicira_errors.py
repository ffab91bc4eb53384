"""The errors for what is wrong with Nicira's messages and actions, beside those of Open vSwitch.

Both switches are sent the same bytes.  What the unit tests expect of the codec is among them, so
that these expectations are those of Open vSwitch, not ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from random import Random
from typing import Final, TypeAlias

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions
from agent.openflow.codec import encode
from agent.openflow.match import MATCH_ALL
from tests.openflow import samples_nicira as samples
from tests.openflow.test_nicira_actions import WRONG
from tests.system.agent import Controller
from tests.system.peer import PeerCase

VERSIONS: Final = (of.OFP10, of.OFP13)


def nx10(kind: int, code: int) -> tuple[int, ...]:
    """An error of Nicira's in 1.0."""
    return (0xB0C2, 0, 0x2320, kind, code)


KNOWN: Final = frozenset(
    {
        # MATCH_BAD_LEN has no number in 1.0: they say UNENCODABLE_ERROR, we BAD_LEN.
        (nx10(1, 521), (1, 6)),
        # An action that is too short for its fields is of a bad length; they miss the field.
        (nx10(1, 521), (2, 1)),
        (nx10(1, 521), nx10(1, 524)),
        ((4, 1), (2, 1)),
        ((4, 1), (2, 14)),
        # So does a field with another length than its own, in a match.
        (nx10(0, 263), (1, 6)),
        ((4, 6), (4, 1)),
        # What is reserved must be zero, and is looked at before the match; they do not always.
        (None, (2, 5)),
        ((2, 10), (2, 5)),
        # The header of a field to be written never says that there is a mask.
        (None, nx10(1, 523)),
        (None, (2, 13)),
        # Where there is no tag, there is no identifier; such a rule would match nothing.
        (None, nx10(1, 258)),
        # They have eight bits of the opcode of ARP.
        (nx10(1, 258), None),
    }
)
"""Pairs of errors, theirs and ours, which differ and may."""
UNKNOWN: Final = frozenset({(2, 3), (4, 6), nx10(0, 263)})
"""The error of whoever does not know an action, or a field; they have more, and in 1.3 fewer."""


Error: TypeAlias = tuple[int, ...] | None
"""Type and code, and those of Nicira's; None: there was none."""


def vendor(version: int, subtype: int, body: str) -> bytes:
    """A message of Nicira's with this body, in hexadecimal."""
    data = bytes.fromhex(body)
    return struct.pack("!BBHIII", version, 4, 16 + len(data), 9, 0x2320, subtype) + data


def flow_mod(version: int, actions: bytes) -> bytes:
    """A FLOW_MOD that adds a rule with these actions, whatever they are."""
    if version == of.OFP13:
        actions = struct.pack("!HHI", 4, 8 + len(actions), 0) + actions
    frame = encode(version, of.FlowMod(0, MATCH_ALL, xid=9, table_id=0))
    return frame[:2] + struct.pack("!H", len(frame) + len(actions)) + frame[4:] + actions


def nxt_flow_mod(match: str, length: int | None = None, actions: str = "") -> bytes:
    """An NXT_FLOW_MOD with this match."""
    data = bytes.fromhex(match)
    size = len(data) if length is None else length
    head = struct.pack("!QHHHHIHHH6x", 0, 0, 0, 0, 1, 0xFFFFFFFF, 0xFFFF, 0, size)
    padded = data.ljust(len(data) + 7 & ~7, b"\0")
    return vendor(of.OFP10, 13, (head + padded + bytes.fromhex(actions)).hex())


MESSAGES10: Final = [
    # Roles, formats, masks, ids: values that there are not, too short, too long.
    *(vendor(1, 10, body) for body in ("00000003", "ffffffff", "0000", "0000000000", "")),
    *(vendor(1, 12, body) for body in ("00000001", "00000003", "00", "")),
    *(vendor(1, 15, body) for body in ("0000000000000001", "00", "0000000000000102")),
    *(vendor(1, 16, body) for body in ("00000003", "00", "")),
    *(vendor(1, 18, body) for body in ("00", "", "00" * 8)),
    *(vendor(1, 19, body) for body in ("00" * 23, "00" * 25, "")),
    *(vendor(1, 20, body) for body in ("0000000000010005", "00", "00000000000000050000")),
    # Subtypes and vendors that there are not.
    *(vendor(1, number, "") for number in (0, 1, 9, 99, 0xFFFFFFFF)),
    struct.pack("!BBHIII", 1, 4, 16, 9, 0x2321, 10),
    struct.pack("!BBHI", 1, 4, 8, 9),
    struct.pack("!BBHII", 1, 4, 12, 9, 0x2320),
    # Matches: unknown fields, lengths, duplicates, prerequisites, masks, values.
    *(
        nxt_flow_mod(match)
        for match in (
            *("00000002 0001 00000002 0001", "00000204 000000000000", "0001fe04 00000001"),
            *("00000e04 01020304", "00000602 0800 00001201 06", "00000602 0800 00000c01 06"),
            *("00000602 0800 00000a01 01", "00010104 00000001"),
            *("00010108 00000001 00000002", "00000802 0001", "00000602 0806 00000e04 01020304"),
            *("00000602 86dd 00013604 00100000", "00000602 0800 00013401 04"),
            *("00000602 0800 00013801 04", "00013c08 0000000000000001", "00010004", "000100"),
            *("00000602 0800 00000d01 06", "00000602 0800 00000c01 06 00001302 0050"),
            *("00000602 0806 00001e02 0101", "00000602 86dd 00000c01 3a 00012a01 87 00013006"),
        )
    ),
    *(nxt_flow_mod("00000002 0001", length) for length in (0, 1, 5, 7, 9, 16, 0xFFFF)),
    nxt_flow_mod("", 0, "ffff0008 00002320"),
    vendor(1, 13, "00" * 31),
    vendor(1, 13, ""),
    # Statistics.
    *(
        struct.pack("!BBHIHHIII", 1, 16, 24 + len(body), 9, 0xFFFF, 0, 0x2320, number, 0) + body
        for number, body in (
            *((0, b""), (0, bytes(7)), (0, bytes(9)), (1, bytes(3)), (99, b"")),
            (0, bytes.fromhex("ffff0006ff0000000000010000000000")),
            (1, bytes.fromhex("ffff0008ff0000000001fe0400000001")),
        )
    ),
]
MESSAGES13: Final = [
    *(vendor(4, 10, body) for body in ("00000003", "0000", "")),
    *(vendor(4, 16, body) for body in ("00000003", "00")),
    *(vendor(4, 20, body) for body in ("0000000000010005", "00")),
    *(vendor(4, number, "") for number in (0, 1, 99)),
    *(struct.pack("!BBHIIIQ", 4, 24, 24, 9, role, 0, 0) for role in (4, 5, 0xFFFFFFFF)),
    struct.pack("!BBHII", 4, 24, 12, 9, 1),
]


def action_mistakes(version: int) -> Iterator[bytes]:
    """Actions that the unit tests know to be wrong, and all there are, cut short and stretched."""
    for digits, _ in WRONG:
        yield flow_mod(version, bytes.fromhex(digits))
    for action in (*samples.ACTIONS, *(samples.ACTIONS10 if version == of.OFP10 else ())):
        whole = encode(version, of.FlowMod(0, MATCH_ALL, 1, (ApplyActions((action,)),), xid=9))
        data = whole[72:] if version == of.OFP10 else whole[64:]
        length = len(data)
        yield flow_mod(version, data)
        for size in (0, 1, 4, 7, 8, length - 8, length + 8, 0xFFF8, 0xFFFF):
            if size not in (length, *([] if length > 16 else [8])):
                yield flow_mod(version, data[:2] + struct.pack("!H", size) + data[4:])


def mutations(version: int, count: int) -> Iterator[bytes]:
    """Actions with one byte another than it was."""
    random = Random(version)
    for _ in range(count):
        action = random.choice(samples.ACTIONS)
        frame = bytearray(encode(version, of.FlowMod(0, MATCH_ALL, 1, (ApplyActions((action,)),))))
        frame[random.randrange(72, len(frame))] ^= 1 << random.randrange(8)
        frame[4:8] = struct.pack("!I", 9)
        yield bytes(frame)


class ErrorTests(PeerCase):
    """The same mistakes, the same errors."""

    def setUp(self) -> None:
        """Start both."""
        super().setUp()
        self.start_peer()

    def answers(self, controller: Controller, frame: bytes) -> list[tuple[int, ...]]:
        """The errors that a message is answered with; one about it has its xid."""
        barrier = encode(controller.version, of.BarrierRequest(0x1234))
        controller.socket.sendall(frame + barrier)
        found = []
        while not isinstance(message := controller.next().message, of.BarrierReply):
            if isinstance(message, of.ErrorMessage):
                self.assertEqual(message.xid, 9, frame.hex())
                numbers: tuple[int, ...] = (message.type, message.code)
                if message.type == 0xB0C2:
                    numbers += struct.unpack_from("!IHH", message.data)
                elif message.type == 0xFFFF:
                    numbers += struct.unpack_from("!I", message.data)
                found.append(numbers)
        self.assertLess(len(found), 2, frame.hex())
        return found

    def compare(self, version: int, frames: Iterable[bytes]) -> int:
        """Send both switches all of these; returns how many were refused."""
        differing = []
        refused = 0
        for frame, wanted, found in self.pairs(version, frames):
            refused += found is not None
            if wanted != found and (wanted, found) not in KNOWN and wanted not in UNKNOWN:
                differing.append((frame.hex(), wanted, found))
        self.assertEqual(differing, [])
        return refused

    def pairs(self, version: int, frames: Iterable[bytes]) -> Iterator[tuple[bytes, Error, Error]]:
        """What both answer: each message, their error, and ours."""
        theirs = self.connect(self.peer, version)
        ours = self.connect("br0", version)
        for frame in frames:
            wanted, found = (
                next(iter(self.answers(controller, frame)), None) for controller in (theirs, ours)
            )
            yield frame, wanted, found

    def test_messages(self) -> None:
        """Nicira's messages."""
        self.assertGreater(self.compare(of.OFP10, MESSAGES10), len(MESSAGES10) * 2 // 3)
        self.assertGreater(self.compare(of.OFP13, MESSAGES13), len(MESSAGES13) // 2)

    def test_actions(self) -> None:
        """Nicira's actions."""
        for version in VERSIONS:
            self.assertGreater(self.compare(version, action_mistakes(version)), len(WRONG))

    def test_mutations(self) -> None:
        """Actions that were damaged on the way: what they refuse we do, mostly for the same reason
        (when several things are wrong, the reason depends on what is looked at first)."""
        for version in VERSIONS:
            results = list(self.pairs(version, mutations(version, 400)))
            refused = [(frame, error, ours) for frame, error, ours in results if error is not None]
            self.assertGreater(len(refused), 100)
            lenient = [
                frame.hex()
                for frame, error, ours in refused
                if ours is None and error not in UNKNOWN
            ]
            self.assertEqual(lenient, [])
            alike = sum(error == ours for _, error, ours in refused)
            self.assertGreater(alike, 0.8 * len(refused))
