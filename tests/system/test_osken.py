"""os-ken's switch tests of OpenFlow 1.0 and 1.3, but for the long ones (``make osken-long``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs
from os_ken.lib.packet import sctp
from scapy.layers.sctp import crc32c
from twisted.trial.unittest import SynchronousTestCase

from tests.system.osken import (
    CHECKSUMS,
    Case,
    File,
    OskenCase,
    deal,
    need_osken,
    read_log,
    suites,
)
from tests.system.osken_cases import CasesCase, read_trials

PROFILE: Final = """
name = "slow"
source = "made up for a test"
kind = "made up"
tables = [{ id = 0, size = 100 }, { id = 1, size = 100 }]
[add]
base_ms = 20.0
[modify]
base_ms = 20.0
[delete]
base_ms = 20.0
"""


class SwitchTests(OskenCase):
    """The software driver passes every case that is right."""

    def check(self, suite: str, count: int) -> None:
        """Run a suite, all of whose cases must pass; but the wrong ones must not, and must differ
        from what is expected in nothing but the checksum.

        :param count: of cases.
        """
        results = self.run_suite(suite, timeout=240)
        self.assertEqual(len(results), count)
        failed = {case: why for case, why in results.items() if why}
        wrong = {
            case: f"Received incorrect packet: sctp(csum={CHECKSUMS[case.file]})"
            for case in results
            if case.file in CHECKSUMS
        }
        different = failed.items() ^ wrong.items()
        self.assertEqual(failed, wrong, "\n".join(map(str, sorted(different, key=str))))

    def test_of10(self) -> None:
        """Every case of OpenFlow 1.0 passes, also the eight that os-ken never runs: it takes two
        files of the same description for one, here they go to different testers."""
        self.check("of10", 192)

    def test_match(self) -> None:
        """Every case of OpenFlow 1.3 about matches passes."""
        self.check("of13/match", 714)

    def test_action(self) -> None:
        """Every case of OpenFlow 1.3 about actions passes, but for the wrong ones."""
        self.check("of13/action", 226)


class AsicSwitchTests(SwitchTests):
    """So does the simulated ASIC, which is slow: a rule is tested as soon as a barrier has been
    answered, and by then it must be in the hardware."""

    def setUp(self) -> None:
        """Describe the hardware."""
        super().setUp()
        profile = self.directory / "slow.toml"
        profile.write_text(PROFILE)
        self.driver = f'name = "asic"\nprofile = "{profile}"'


class JudgeTests(CasesCase):
    """The judge for slow machines says of every case what os-ken's tester says."""

    def test_software(self) -> None:
        """All cases pass, the wrong ones with the checksum that comes out instead."""
        self.start_bridges('name = "software"')
        (judge,) = self.judges
        for suite, count in (("of13/match", 714), ("of13/action", 226)):
            results = {trial.case: judge.judge(trial) for trial in read_trials(suite)}
            self.assertEqual(len(results), count)
            self.assertEqual({case: why for case, why in results.items() if why}, {})

    def test_wrong(self) -> None:
        """It says so when something else comes out, is told, or is matched."""
        self.start_bridges('name = "software"')
        (judge,) = self.judges
        trials = read_trials("of13/match")
        for kind, change, told in (
            ("egress", {"egress": b"else"}, "came out"),
            ("egress", {"requests": ()}, "nothing came out"),
            ("packet_in", {"packet_in": b"else"}, "told"),
            ("packet_in", {"requests": ()}, "no packet-in"),
        ):
            trial = next(each for each in trials if getattr(each, kind) is not None)
            self.assertIn(told, judge.judge(attrs.evolve(trial, **change)))
        hit = next(each for each in trials if each.egress is not None)
        missed = attrs.evolve(hit, egress=None, missed=(0,))
        self.assertEqual(judge.judge(missed), "it was matched")


class WrongCaseTests(SynchronousTestCase):
    """What is said to be wrong with cases is so."""

    def setUp(self) -> None:
        """See that os-ken is there."""
        need_osken()

    def test_sctp(self) -> None:
        """Neither the packet which a case sends nor the one which it expects has the checksum that
        it should have, and what comes out is wrong by as much as what went in."""
        for name, came_out in CHECKSUMS.items():
            cases = [part for part in json.loads((suites() / name).read_text()) if "tests" in part]
            self.assertEqual(len(cases), 4, name)
            for case in cases:
                (test,) = case["tests"]
                sent, right_sent = self.checksums(test["ingress"][-1])
                expected, right = self.checksums(test["egress"][-1])
                self.assertNotEqual(sent, right_sent, name)
                self.assertNotEqual(expected, right, name)
                self.assertEqual(came_out ^ right, sent ^ right_sent, name)

    def checksums(self, text: str) -> tuple[int, int]:
        """What a case says that the checksum is, and what it is.

        :param text: the header as it stands in the case.
        """
        # As os-ken itself reads its cases.
        header: Any = eval(text, vars(sctp))
        packet = header.serialize(b"", None)
        blank = packet[:8] + bytes(4) + packet[12:]
        self.assertEqual(header.csum, crc32c(str(bytearray(blank)).encode()))
        return header.csum, crc32c(blank)


def file(description: str, seconds: float, *names: str) -> File:
    """A file of cases which does not exist."""
    cases = tuple(Case(f"{description}.json", name) for name in names)
    return File(Path(f"{description}.json"), description, cases, seconds)


class ResultTests(SynchronousTestCase):
    """How files are dealt to testers, and what they say is read."""

    def test_deal(self) -> None:
        """All files are dealt, those of one description apart, and no tester has much more to do
        than another; nor is there one without work."""
        files = [file("same", 1), file("same", 1), file("a", 5), file("b", 3), file("c", 3)]
        hands = deal(files, 3)
        self.assertCountEqual([file for hand in hands for file in hand], files)
        self.assertEqual([sum(file.seconds for file in hand) for hand in hands], [5, 4, 4])
        for hand in hands:
            self.assertLessEqual([file.description for file in hand].count("same"), 1)
        self.assertEqual(deal(files[2:3], 3), [files[2:3]])

    def test_read_log(self) -> None:
        """Each case is read with its reason; one that was not run has no result, and what comes
        after the end is no result."""
        files = [file("00_IN_PORT", 1, "one", "two", "three"), file("01_OUT", 1, "one", "never")]
        first, second = (file.cases for file in files)
        lines = [
            "--- Test start ---",
            "01_OUT",
            f"    {'one':<100} OK",
            "dpid=0000000000000001 : Leave target SW.",
            "00_IN_PORT",
            f"    {'one':<100} OK",
            f"    {'two':<100} ERROR",
            "        Failed to add flows: barrier request timeout.",
            f"    {'three':<100} ERROR",
            "---  Test end  ---",
            f"    {'never':<100} OK",
        ]
        self.assertEqual(
            read_log(lines, files),
            {
                second[0]: "",
                first[0]: "",
                first[1]: "Failed to add flows: barrier request timeout.",
                first[2]: "for no reason that was given",
            },
        )

    def test_read_log_order(self) -> None:
        """A result of a case that is not the next is not taken for that."""
        lines = ["01_OUT", f"    {'two':<100} OK\n"]
        self.assertRaises(AssertionError, read_log, lines, [file("01_OUT", 1, "one", "two")])
