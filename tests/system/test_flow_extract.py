"""The flow keys of frames beside those that Open vSwitch reads from them.

Needs ``ovs-ofctl`` (Debian: openvswitch-common); no daemon, no root.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from agent.packet.describe import describe
from agent.packet.flowkey import flow_key
from tests.packet.frames import CORPUS
from tests.packet.ovsflow import same
from tests.system import need

OFPP_ANY: Final = 0xFFFFFFFF
MUTATIONS: Final = 5_000


def write_pcap(path: Path, frames: Iterable[bytes]) -> None:
    """Write frames into a capture file."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def mutated(seed: int) -> Iterator[bytes]:
    """Frames of the corpus with some bytes changed, always the same ones."""
    chance = random.Random(seed)
    corpus = sorted(CORPUS.values())
    for _ in range(MUTATIONS):
        frame = bytearray(chance.choice(corpus))
        for _ in range(chance.randrange(1, 4)):
            frame[chance.randrange(len(frame))] = chance.choice((0, 1, 255, chance.randrange(256)))
        yield bytes(frame)


class FlowExtractTests(SynchronousTestCase):
    """``ovs-ofctl parse-pcap`` and :func:`flow_key` agree."""

    def setUp(self) -> None:
        """Find the program."""
        need(shutil.which("ovs-ofctl"), "ovs-ofctl: install openvswitch-common")

    def check(self, frames: list[bytes]) -> None:
        """Let both describe frames."""
        path = Path(self.mktemp())
        write_pcap(path, frames)
        result = subprocess.run(
            ["ovs-ofctl", "parse-pcap", path], capture_output=True, text=True, check=True
        )
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), len(frames))
        for frame, theirs in zip(frames, lines, strict=True):
            ours = describe(flow_key(frame, OFPP_ANY))
            self.assertTrue(same(ours, theirs), f"{frame.hex()}\n{ours}\n{theirs}")

    def test_truncated(self) -> None:
        """They agree on the corpus, cut short at every byte."""
        self.check([data[:end] for data in CORPUS.values() for end in range(1, len(data) + 1)])

    def test_mutated(self) -> None:
        """They agree on frames with bytes changed at random."""
        self.check(list(mutated(1)))
