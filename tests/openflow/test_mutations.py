"""Whatever the bytes, the codec gives a message or a typed error, and nothing else."""

from __future__ import annotations

import os
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.codec import MIN_LENGTH, VERSIONS, decode, encode, encode_error
from agent.openflow.errors import OpenFlowError
from agent.openflow.messages import OFP13, Hello
from tests.openflow.mutations import CORPUS, mutated

FUZZING: Final = os.environ.get("OFAGENT_TEST_PROFILE") == "fuzz"
COUNT: Final = 20_000_000 if FUZZING else 100_000
SEED: Final = int(os.environ.get("OFAGENT_TEST_SEED", "1"))
"""Another seed gives other frames; the one that failed is in the message of the failure."""


class MutationTests(SynchronousTestCase):
    """The samples, damaged in every way."""

    timeout = 24 * 3600 if FUZZING else 120

    def test_typed_errors(self) -> None:
        """A damaged frame is refused with an error that can be sent, or it is a message.

        The message can be encoded; read and written again, it is the same bytes.
        """
        good = refused = 0
        for number, frame in enumerate(mutated(SEED, COUNT)):
            version = frame[0] if frame and frame[0] in VERSIONS else OFP13
            try:
                try:
                    message = decode(version, frame)
                except OpenFlowError as error:
                    refused += 1
                    encode_error(version, error.code, frame)
                    continue
                good += 1
                if not isinstance(message, Hello) or message.versions:
                    data = encode(version, message)
                    self.assertEqual(encode(version, decode(version, data)), data)
            except Exception as error:
                self.fail(f"seed {SEED}, frame {number}, {frame.hex()}: {error!r}")
        # Were all refused, or none, the mutations would miss what they are for.
        self.assertGreater(good, COUNT // 10)
        self.assertGreater(refused, COUNT // 10)

    def test_every_length(self) -> None:
        """Each sample cut short anywhere, its header saying so or not, is refused or a message."""
        for frame in CORPUS:
            for length in range(min(len(frame), 600)):
                cut = frame[:length]
                self.assert_typed(frame[0], cut)
                if length >= MIN_LENGTH:
                    self.assert_typed(frame[0], cut[:2] + length.to_bytes(2, "big") + cut[4:])

    def test_every_byte(self) -> None:
        """Each byte of each sample put to the least and the greatest is refused or a message."""
        for frame in CORPUS:
            for at in range(min(len(frame), 600)):
                for value in (b"\x00", b"\xff"):
                    self.assert_typed(frame[0], frame[:at] + value + frame[at + 1 :])

    def assert_typed(self, version: int, frame: bytes) -> None:
        """``frame`` is a message or an :exc:`OpenFlowError`."""
        try:
            decode(version, frame)
        except OpenFlowError:
            pass
        except Exception as error:
            self.fail(f"{frame.hex()}: {error!r}")
