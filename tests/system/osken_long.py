"""os-ken's switch tests of groups and meters: ``make osken-long``.

Not a part of ``make system-test``: each of the 51 cases sends packets for half a minute, some of
them 20,000 a second, and measures to a tenth what comes out.  That takes twenty minutes on two idle
cores, and longer on busy ones.

The tester sends by sleeping ten milliseconds at a time, so it never sends all that it wants to, and
less on a busy machine, where the switch may lose packets, too.  It needs some 97%: of what a meter
of half the rate lets pass without a mark (its rate, and its burst once), cases want nine tenths
again with a mark.  The kernel's counters say what was really sent, and the report does.

So a case whose throughput is wrong is run again where time passes more slowly, for the tester and
for the switch alike: in :data:`SLOWER` times the time, at that part of the rate.  Whoever computes
wrongly does so there as well.  This needs Debian's package ``faketime``; without it, the case is
run again as it was.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from tests.system.osken import Case, File, OskenCase, Rig, read_suite, slow_time, split

WRONG_RATE: Final = "Received unexpected throughput"
ATTEMPTS: Final = 3
SLOWER: Final = 16
ALONE: Final = 100_000
"""A case that sends more packets than this is run alone."""
AT_ONCE: Final = 4
SLOW_AT_ONCE: Final = 12


class LongTests(OskenCase):
    """The software driver passes every case."""

    rigs = AT_ONCE

    def measure(self, rigs: list[Rig], files: list[File], timeout: float) -> dict[Case, str]:
        """Run files of one case at once, each in a rig of its own; returns what came of them."""
        end = time.monotonic() + timeout
        before = [rig.sent() for rig in rigs[: len(files)]]
        for rig, file in zip(rigs, files, strict=False):
            rig.run([file])
        found = {}
        for rig, file, count in zip(rigs, files, before, strict=False):
            ((case, why),) = rig.wait(end).items()
            sent = (rig.sent() - count) / file.packets
            time_was = " in slow time" if rig.clock else ""
            self.say(f"{case.file} {case.name}")
            self.say(f"    {sent:.1%} sent{time_was}: {why or 'passed'}")
            found[case] = why
        return found

    def say(self, text: str) -> None:
        """Have a line in the report."""
        sys.stdout.write(f"\n{text}")
        sys.stdout.flush()

    def check(self, suite: str, count: int) -> None:
        """All cases of a suite pass.

        :param count: of cases.
        """
        directory = self.new_directory()
        left = [one for file in read_suite(suite) for one in split(file, directory)]
        results: dict[Case, str] = {}
        rigs = [Rig(self, "13") for _ in range(self.rigs)]
        for files in self.rounds(left, len(rigs), ALONE):
            results |= self.measure(rigs, files, 90)
        for _ in range(1, ATTEMPTS):
            left = [file for file in left if WRONG_RATE in results[file.cases[0]]]
            if left and slow_time(SLOWER) and not rigs[0].clock:
                rigs = [Rig(self, "13", SLOWER) for _ in left[:SLOW_AT_ONCE]]
            for files in self.rounds(left, len(rigs), ALONE * SLOWER if rigs[0].clock else 0):
                results |= self.measure(rigs, files, 90 * SLOWER)
        self.assertEqual(len(results), count)
        failed = {case: why for case, why in results.items() if why}
        self.say(f"{suite}: {count - len(failed)} of {count} cases passed")
        self.assertEqual(failed, {})

    def rounds(self, files: list[File], at_once: int, alone: int) -> list[list[File]]:
        """What is run at once, one after the other.

        :param at_once: how many at most.
        :param alone: a file that sends more packets than this is run alone.
        """
        many = [file for file in files if file.packets <= alone]
        found = [many[at : at + at_once] for at in range(0, len(many), at_once)]
        return found + [[file] for file in files if file.packets > alone]

    def test_group(self) -> None:
        """Groups copy packets, and distribute them by weight."""
        self.check("of13/group", 15)

    def test_meter(self) -> None:
        """Meters drop and mark packets that come too fast, and no others."""
        self.check("of13/meter", 36)
