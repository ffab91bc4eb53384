"""Tests of :mod:`drivers.tcflower.runs`, and of reading filters by columns."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import attrs
from twisted.trial.unittest import SynchronousTestCase

from drivers.tcflower import pack
from drivers.tcflower.actions import SHOT, Gact, Mirred
from drivers.tcflower.dump import CLOCK, Reader, Reading, payloads
from drivers.tcflower.filters import Filter
from drivers.tcflower.netlink import messages
from drivers.tcflower.runs import runs
from tests.drivers.tcflower.telling import Installed, filter_message

NUMBERS = ("handle", "bytes", "flags", "in_hw_count")


class RunTests(SynchronousTestCase):
    """Datagrams as runs."""

    def datagram(self, chosen: random.Random) -> bytes:
        """Messages of some lengths, types and sequence numbers; the last may be cut off."""
        parts = []
        for _ in range(chosen.randrange(12)):
            length = chosen.choice((16, 17, 20, 24))
            kind, sequence = chosen.choice(((44, 1), (44, 2), (3, 1)))
            message = pack.HEADER.pack(length, kind, 2, sequence, 0) + bytes(length - 16)
            parts += [message + bytes(-length & 3)] * chosen.choice((1, 1, 2, 5))
        whole = b"".join(parts)
        return whole[: chosen.choice((len(whole), chosen.randrange(len(whole) + 1)))]

    def test_all(self) -> None:
        """Runs are the messages of a datagram, in order, and each run is as long as it can be."""
        chosen = random.Random(5)
        for _ in range(300):
            data = self.datagram(chosen)
            found = list(runs(data))
            listed = [
                (kind, flags, sequence, at, run.length)
                for kind, flags, sequence, run in found
                for at in run.places()
            ]
            wanted = list(messages(data))
            # The padding of the last may be cut off; then it is left out.
            self.assertIn(listed, (wanted, wanted[:-1]))
            if wanted and wanted[-1][3] + (wanted[-1][4] + 3 & ~3) <= len(data):
                self.assertEqual(listed, wanted)
            heads = [(*head, run.length) for *head, run in found]
            self.assertNotIn(True, [one == two for one, two in itertools.pairwise(heads)])


class RowTests(SynchronousTestCase):
    """Filters as rows."""

    def filters(self, chosen: random.Random) -> Iterator[Installed]:
        """Filters of some kinds at some places, the same many times or not."""
        handle = 0
        for _ in range(40):
            pref, chain = chosen.choice(((1, 0), (2, 0), (2, 7)))
            action = chosen.choice((Gact(SHOT), Mirred(3), Mirred(4)))
            cookie = chosen.choice((b"", b"0123456789abcdef"))
            for _ in range(chosen.choice((1, 2, 9))):
                handle += 1
                wanted = Filter.of(chain, pref, (action,), eth_type=0x800, ipv4_dst=handle)
                wanted = attrs.evolve(wanted, handle=handle, cookie=cookie)
                options = payloads(pack.options(wanted))
                installed = Installed(wanted.place, options, chosen.choice((8, 9)))
                installed.packets = chosen.choice((0, 1, 0xFFFFFFFF))
                installed.octets = chosen.choice((0, 7, 1 << 32, (1 << 64) - 1))
                installed.age = chosen.choice((0, 150, 1 << 40))
                installed.in_hw_count = chosen.choice((0, 0, 0, 2))
                yield installed

    def test_rows(self) -> None:
        """By columns one reads what one reads message by message, whichever follow each other, in
        whole dumps and in terse ones."""
        for seed in range(20):
            terse = bool(seed % 2)
            parts = [
                filter_message(one, 5, terse=terse) for one in self.filters(random.Random(seed))
            ]
            # What the kernel says of a chain and pref before it says of the filters there.
            header = pack.string(pack.KIND, "flower") + pack.attribute(pack.CHAIN, bytes(4))
            parts.insert(30, pack.message(44, 2, 0, 5, (0, 1, 3), header))
            data = b"".join(parts)
            reader, found, longest = Reader(), [], 0
            for _, _, _, run in runs(data):
                while run.count:
                    rows = reader.rows(run)
                    if rows is None:
                        found += said(reader.read(run.data, run.at, run.length))
                        run = run.after(1)
                        continue
                    columns = map(rows.column, NUMBERS)
                    ages = rows.column("age") if rows.has("age") else [None] * rows.count
                    found += [
                        (*rows.place, *numbers, age)
                        for *numbers, age in zip(*columns, rows.packets(), ages, strict=True)
                    ]
                    longest = max(longest, rows.count)
                    run = run.after(rows.count)
            other = Reader()
            wanted = [
                one
                for *_, at, length in messages(data)
                for one in said(other.read(data, at, length))
            ]
            self.assertEqual(found, wanted)
            self.assertEqual(len(found), len(parts) - 1)
            self.assertGreater(longest, 3)
            self.assertEqual({one[-1] is None for one in found}, {terse})


def said(one: Reading | None) -> list[tuple[int | None, ...]]:
    """What was read of a message, if it was a filter's."""
    if one is None:
        return []
    age = None if one.age is None else round(one.age * CLOCK)
    numbers = [getattr(one, name) for name in NUMBERS]
    return [(one.chain, one.pref, *numbers, one.packets, age)]
