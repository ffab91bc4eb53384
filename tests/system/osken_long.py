"""os-ken's switch tests of groups and meters: ``make osken-long``.

Not a part of ``make system-test``: each of the 51 cases sends packets for half a minute, some of
them 20,000 a second, and measures to a tenth what comes out.  That takes a quarter of an hour, and
a machine with two cores and little else to do.

The tester sends by sleeping ten milliseconds at a time, so it never sends all that it wants to, and
less on a busy machine.  The kernel's counters say what it really sent: if a case fails and that was
not enough, nothing was measured and the case is run again, by itself, up to :data:`ATTEMPTS` times.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from tests.system.osken import Case, File, OskenCase, Rig, read_suite, split

ENOUGH: Final = 0.967
"""The share of its packets that the tester must have sent.

Of what a meter of half the rate lets pass without a mark (its rate, and its burst once: a second of
thirty), a case wants nine tenths again with a mark: (1 + 1/30 + 0.9) / 2.
"""
ATTEMPTS: Final = 4
ALONE: Final = 100_000
"""A case that sends more packets than this is run alone."""
AT_ONCE: Final = 4


class LongTests(OskenCase):
    """The software driver passes every case."""

    rigs = AT_ONCE

    def setUp(self) -> None:
        """Build the rigs: each is used for many cases, one after the other."""
        super().setUp()
        self.pool = [Rig(self, "13") for _ in range(self.rigs)]

    def measure(self, files: list[File]) -> dict[Case, str]:
        """Run files of one case at once, each in a rig of its own; returns what came of them."""
        end = time.monotonic() + 90
        rigs = self.pool[: len(files)]
        before = [rig.sent() for rig in rigs]
        for rig, file in zip(rigs, files, strict=True):
            rig.run([file])
        found = {}
        for rig, file, count in zip(rigs, files, before, strict=True):
            ((case, why),) = rig.wait(end).items()
            sent = (rig.sent() - count) / file.packets
            if why and sent < ENOUGH:
                why = f"not measured: this machine is too busy for the tester; {why}"
            sys.stdout.write(f"\n{case.file} {case.name}\n    {sent:.1%} sent: {why or 'passed'}")
            sys.stdout.flush()
            found[case] = why
        return found

    def check(self, suite: str, count: int) -> None:
        """All cases of a suite pass.

        :param count: of cases.
        """
        directory = self.new_directory()
        left = [one for file in read_suite(suite) for one in split(file, directory)]
        results: dict[Case, str] = {}
        for attempt in range(ATTEMPTS):
            at_once = 1 if attempt else AT_ONCE
            slow = [file for file in left if file.packets <= ALONE]
            rounds = [slow[at : at + at_once] for at in range(0, len(slow), at_once)]
            rounds += [[file] for file in left if file.packets > ALONE]
            for files in rounds:
                results |= self.measure(files)
            left = [file for file in left if results[file.cases[0]].startswith("not measured")]
        self.assertEqual(len(results), count)
        failed = {case: why for case, why in results.items() if why}
        sys.stdout.write(f"\n{suite}: {count - len(failed)} of {count} cases passed\n")
        self.assertEqual(failed, {})

    def test_group(self) -> None:
        """Groups copy packets, and distribute them by weight."""
        self.check("of13/group", 15)

    def test_meter(self) -> None:
        """Meters drop and mark packets that come too fast, and no others."""
        self.check("of13/meter", 36)
