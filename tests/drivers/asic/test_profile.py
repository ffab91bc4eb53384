"""Tests of :mod:`drivers.asic.profile` and of the profiles that come with the agent."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.asic.hardware import Hardware
from drivers.asic.profile import Jitter, Law, Profile, load, profile_names, profile_path
from drivers.asic.tcam import Tcam
from drivers.interfaces import OptionError
from drivers.testing import FakeOperation, FakeRule

GOOD = """
name = "hundred"
source = "made up for a test"
kind = "made up"
tables = [{ id = 0, size = 1000 }]
parallel = 1
jitter = 0.0
[add]
base_ms = 100.0
per_entry_us = 2.0
move_us = 3.0
[modify]
base_ms = 100.0
[delete]
base_ms = 100.0
"""


def install_rate(profile: Profile, count: int, resident: int = 0) -> float:
    """Installs a second of rules of one priority, sent all at once."""
    clock = Clock()
    table = Tcam(0, profile.tables[0].size)
    for number in range(resident):
        rule = FakeRule(Match.of(in_port=100_000 + number))
        table.take(rule)
        table.write(rule, True)
    hardware = Hardware(profile, {0: table}, 1)
    hardware.power_on(clock)
    operations = [FakeOperation.add(FakeRule(Match.of(in_port=n))) for n in range(count)]
    hardware.submit(operations)
    while not operations[-1].done:
        clock.advance(max(0.0, clock.getDelayedCalls()[0].getTime() - clock.seconds()))
    return count / clock.seconds()


class ProfileTests(SynchronousTestCase):
    """Reading profiles."""

    def write(self, text: str) -> str:
        """The path of a file with this text."""
        path = Path(self.mktemp() + ".toml")
        path.write_text(text)
        return str(path)

    def refused(self, text: str) -> str:
        """What is said of a profile with this text."""
        path = self.write(text)
        error: OptionError = self.assertRaises(OptionError, load, path)
        self.assertEqual((error.key, error.value), ("profile", path))
        self.assertIn(path, error.allowed)
        self.assertEqual(len(str(error).splitlines()), 1)
        return str(error)

    def test_good(self) -> None:
        """A profile with the agreed keys is read, times in seconds."""
        profile = load(self.write(GOOD))
        self.assertEqual((profile.name, profile.kind, profile.parallel), ("hundred", "made up", 1))
        self.assertEqual(profile.add, Law(0.1, 2e-6, 0, 3e-6))
        self.assertEqual(profile.delete, Law(0.1))
        (table,) = profile.tables
        self.assertEqual((table.table_id, table.size, table.announced), (0, 1000, 1000))
        self.assertEqual(profile.jitter, Jitter())

    def test_more(self) -> None:
        """So is one with the keys that say how entries lie and are written."""
        text = GOOD.replace("parallel = 1", 'layout = "dense"\nfree = "gaps"\nmoves = "cut"')
        text = text.replace("[add]", 'batch = 8\nwhen_full = "spill"\n[add]\nbatched_ms = 5')
        text = text.replace("[modify]", '[modify]\nhow = "delete and add"')
        profile = load(self.write(text + "[software]\nbase_ms = 1\n"))
        self.assertEqual((profile.layout, profile.free, profile.cuts), ("dense", "gaps", True))
        self.assertEqual((profile.how, profile.batch), ("delete and add", 8))
        self.assertEqual((profile.add.batched, profile.software), (0.005, Law(0.001)))

    def test_slow_path(self) -> None:
        """A profile may say how slow and how narrow the way to the CPU is; else it is not slow."""
        profile = load(self.write("packet_in_ms = 5\npacket_in_queue = 3\n" + GOOD))
        self.assertEqual((profile.packet_in, profile.packet_in_queue), (0.005, 3))
        self.assertEqual(load(self.write(GOOD)).packet_in, 0.0)

    def test_refused(self) -> None:
        """What is wrong is refused in one line that has the file, the key and what is allowed."""
        for old, new, said in (
            ('name = "hundred"', "", "name = None: missing"),
            ('name = "hundred"', "name = 1", "name = 1: must be a string"),
            ('"made up"', '"rumour"', "kind = 'rumour': must be one of \"measured\""),
            ("[{ id = 0, size = 1000 }]", "[]", "there must be table 0"),
            ("[{ id = 0, size = 1000 }]", "3", "tables = 3: must be a list of tables"),
            ("[{ id = 0, size = 1000 }]", "[1]", "must be a list of tables"),
            ("{ id = 0,", "{ id = 1,", "there must be table 0"),
            ("{ id = 0,", "{ id = 255,", "tables[0].id = 255: must be a whole number"),
            ("size = 1000", "size = 0", "tables[0].size = 0"),
            ("size = 1000", "bulk = 1", "tables[0].size = None: missing"),
            ("size = 1000", "size = 9, bulk = 1", "tables[0].bulk = 1: unknown; known are id"),
            ("parallel = 1", "parallel = 0", "parallel = 0: must be a whole number from 1"),
            ("parallel = 1", "parallel = true", "parallel = True"),
            ("jitter = 0.0", "jitter = 1.5", "jitter = 1.5: must be a number from 0 to 1, or"),
            ("jitter = 0.0", "jitter = [1, 2]", "jitter = [1, 2]"),
            ("jitter = 0.0", "jitter = [3, 2, 1]", "ascending"),
            ("jitter = 0.0", 'jitter = "much"', "jitter = 'much'"),
            ("base_ms = 100.0\nper", "base_ms = -1\nper", "add.base_ms = -1: must be a number"),
            ("base_ms = 100.0\nper", "base_ms = nan\nper", "add.base_ms = nan"),
            ("base_ms = 100.0\nper", "per", "add.base_ms = None: missing"),
            ("move_us", "moves_us", "add.moves_us = 3.0: unknown; known are base_ms"),
            ("[modify]\nbase_ms = 100.0\n", "", "modify = None: missing"),
            ("parallel = 1", "packet_in_ms = -1", "packet_in_ms = -1: must be a number from 0"),
            ("parallel = 1", "packet_in_queue = 0", "packet_in_queue = 0: must be a whole number"),
            ("parallel = 1", "turbo = 1", "turbo = 1: unknown; known are name"),
            ("parallel = 1", "parallel =", "must be TOML"),
            ("parallel = 1", 'layout = "heap"', 'must be one of "chunked", "dense"'),
            ("parallel = 1", 'free = "gaps"', 'unless layout = "dense"'),
            ("parallel = 1", 'moves = "jump"', 'must be one of "copy", "cut"'),
            ("parallel = 1", "batch = 0", "batch = 0: must be a whole number from 1"),
            ("parallel = 1", 'when_full = "spill"', "software = None: missing"),
            ("parallel = 1", 'when_full = "burst"', 'must be one of "reject", "spill"'),
            ("[modify]", '[modify]\nhow = "magic"', "modify.how = 'magic': must be one of"),
            (
                "[modify]",
                '[modify]\nhow = "constant"\nmove_us = 1',
                "modify.how = 'constant': must be another",
            ),
            ("move_us = 3.0", "batched_ms = 101", "add.batched_ms = 101: must be a number from 0"),
        ):
            self.assertIn(old, GOOD)
            self.assertIn(said, self.refused(GOOD.replace(old, new, 1)))

    def test_unreadable(self) -> None:
        """A file that is not there, or is no text, is refused like one with something wrong."""
        error = self.assertRaises(OptionError, load, "/no/such/profile.toml")
        self.assertIn("/no/such/profile.toml: No such file", str(error))
        path = self.mktemp() + ".toml"
        Path(path).write_bytes(b"\xff\xfe")
        self.assertIn("UTF-8", str(self.assertRaises(OptionError, load, path)))

    def test_names(self) -> None:
        """A name is looked up among ours, and a wrong one is told which there are."""
        self.assertEqual(profile_path("quanta").name, "quanta.toml")
        self.assertEqual(str(profile_path("a/b")), "a/b")
        for name in ("nonesuch", "..", "*"):
            error = self.assertRaises(OptionError, profile_path, name)
            self.assertIn(", ".join(profile_names()), str(error))

    def test_one_place(self) -> None:
        """What the package has is what ``etc/profiles`` has."""
        root = Path(__file__).resolve().parents[3]
        self.assertEqual(
            profile_names(), sorted(path.stem for path in (root / "etc/profiles").glob("*.toml"))
        )

    @given(st.floats(0, 1), st.floats(0, 1))
    def test_jitter_share(self, reach: float, quantile: float) -> None:
        """A jitter that is one share never makes anything longer or shorter by more."""
        text = GOOD.replace("jitter = 0.0", f"jitter = {reach:.6f}")
        share = Profile.read(tomllib.loads(text)).jitter.share(quantile)
        self.assertTrue(1 - reach - 1e-6 <= share <= 1 + reach + 1e-6)

    def test_jitter_percentiles(self) -> None:
        """A jitter that is three shares has them at percentiles 5, 50 and 95."""
        jitter = Jitter(0.25, 1.0, 3.0)
        for quantile, share in ((0.05, 0.25), (0.5, 1.0), (0.95, 3.0)):
            self.assertAlmostEqual(jitter.share(quantile), share)
        self.assertGreaterEqual(Jitter(0.0, 1.0, 3.0).share(0.0), 0.0)

    def test_law(self) -> None:
        """An operation costs its base, its moves, and the residents beyond those that are free."""
        law = Law(1.0, 0.5, 10, 0.25)
        self.assertEqual(law.seconds(10, 0), 1.0)
        self.assertEqual(law.seconds(12, 3), 1.0 + 2 * 0.5 + 3 * 0.25)
        self.assertEqual(law.seconds(10, 0, batched=True), 1.0)
        self.assertEqual(Law(1.0, batched=0.5).seconds(0, 0, batched=True), 0.5)


class OurProfilesTests(SynchronousTestCase):
    """The profiles that come with the agent say what they claim."""

    def test_all_good(self) -> None:
        """Each can be read, has its file's name and says where its figures are from."""
        self.assertLessEqual({"quanta", "hp", "monaco"}, set(profile_names()))
        for name in profile_names():
            profile = load(name)
            self.assertEqual(profile.name, name)
            self.assertTrue(profile.source)

    def test_measured(self) -> None:
        """What was measured comes out of the simulation: time of a single install at percentiles
        5, 50 and 95, within 6%; room; and the latency of packet-ins."""
        for name, size, percentiles, packet_in in (
            ("quanta", 1917, (5.4, 42, 87), 25.7),
            ("hp", 1500, (35, 70, 157), 16.5),
            ("monaco", 511, (6.8, 12.6, 48), 8.8),
        ):
            profile = load(name)
            self.assertAlmostEqual(profile.packet_in * 1e3, packet_in)
            self.assertEqual((profile.kind, profile.tables[0].size), ("measured", size))
            for quantile, measured in zip((0.05, 0.5, 0.95), percentiles, strict=True):
                time = profile.add.base * profile.jitter.share(quantile) * 1e3
                self.assertTrue(abs(time / measured - 1) < 0.06, f"{name}: {time} ms")

    def test_measured_rates(self) -> None:
        """So do the rates: Quanta's near empty and at 1750 entries within 6%; Monaco's."""
        quanta = load("quanta")
        self.assertTrue(abs(install_rate(quanta, 500) / 98 - 1) < 0.06)
        self.assertTrue(abs(install_rate(quanta, 100, 1700) / 60 - 1) < 0.06)
        self.assertTrue(70 <= install_rate(load("monaco"), 500) <= 95)
