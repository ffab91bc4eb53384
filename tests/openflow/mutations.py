"""Frames, and what becomes of them when they are damaged: food for every decoder.

Deterministic: the same seed gives the same frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from agent.openflow.codec import MAX_LENGTH, MIN_LENGTH, encode_parts
from agent.openflow.frame import HEADER
from tests.openflow.samples import MESSAGES

CORPUS: Final[tuple[bytes, ...]] = tuple(
    frame
    for version, messages in MESSAGES.items()
    for message in messages
    for frame in encode_parts(version, message)
)
"""The frames of every sample."""

_LIMITS: Final = (0, 1, 3, 4, 7, 8, 9, 16, 0x7FFF, 0x8000, 0xFFF8, 0xFFFF)
"""Numbers which lengths, types and counts should be afraid of."""


def _flip(random: Random, frame: bytearray) -> None:
    """Flip one to four bits, anywhere."""
    for _ in range(random.randint(1, 4)):
        frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)


def _cut(random: Random, frame: bytearray) -> None:
    """Lose the end."""
    del frame[random.randrange(len(frame)) :]


def _grow(random: Random, frame: bytearray) -> None:
    """Get some bytes more, at the end or in the middle."""
    at = random.choice((len(frame), random.randrange(len(frame))))
    frame[at:at] = random.randbytes(random.choice((1, 2, 4, 8, 40)))


def _number(random: Random, frame: bytearray) -> None:
    """Put a number of 16 bits where one may be: a length, a type, a port."""
    if len(frame) > MIN_LENGTH + 2:
        at = random.randrange(MIN_LENGTH, len(frame) - 1) & ~1
        wanted = random.choice((*_LIMITS, len(frame), len(frame) - at))
        frame[at : at + 2] = (wanted & 0xFFFF).to_bytes(2, "big")


def _nudge(random: Random, frame: bytearray) -> None:
    """Make one byte a little more or less."""
    at = random.randrange(len(frame))
    frame[at] = (frame[at] + random.choice((-8, -4, -1, 1, 4, 8))) % 256


def _splice(random: Random, frame: bytearray) -> None:
    """Go on as another frame does."""
    other = random.choice(CORPUS)
    at = random.randrange(len(frame))
    frame[at:] = other[min(at, len(other)) & ~7 :]


def _repeat(random: Random, frame: bytearray) -> None:
    """Say something twice."""
    start = random.randrange(len(frame)) & ~7
    frame[start:start] = frame[start : start + random.choice((8, 16, 24))]


_MUTATORS: Final[tuple[Callable[[Random, bytearray], None], ...]] = (
    _flip,
    _cut,
    _grow,
    _number,
    _nudge,
    _splice,
    _repeat,
)


def mutated(seed: int, count: int) -> Iterator[bytes]:
    """``count`` damaged frames.

    Of most the length in the header is right again, or no decoder would look beyond it.
    """
    random = Random(seed)
    for _ in range(count):
        frame = bytearray(random.choice(CORPUS))
        for _ in range(random.choice((1, 1, 2))):
            if frame:
                random.choice(_MUTATORS)(random, frame)
        if len(frame) >= MIN_LENGTH and random.random() < 0.9:
            version, kind, _, xid = HEADER.unpack_from(frame)
            length = min(len(frame), MAX_LENGTH)
            frame[:MIN_LENGTH] = HEADER.pack(version, kind, length, xid)
        yield bytes(frame)
