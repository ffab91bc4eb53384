"""Tests of :mod:`drivers.asic.fit`."""

from __future__ import annotations

import io
import random
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.asic.fit import Fit, Sample, fit, main, read, write
from drivers.asic.hardware import Hardware
from drivers.asic.profile import Jitter, Law, Profile, ProfileTable, load
from drivers.asic.tcam import Tcam
from drivers.testing import FakeOperation, FakeRule

laws = st.builds(
    Law,
    base=st.floats(1e-3, 50e-3),
    per_entry=st.sampled_from([0.0, 20e-6, 100e-6]),
    per_entry_from=st.sampled_from([0, 0, 100, 173]),
    move=st.sampled_from([0.0, 50e-6, 500e-6]),
).map(lambda law: law if law.per_entry else attrs.evolve(law, per_entry_from=0))


def installs(law: Law, jitter: float, seed: int, count: int = 400) -> list[Sample]:
    """Installs of rules of twenty priorities, measured on simulated hardware."""
    reach = Jitter(1 - 0.9 * jitter, 1.0, 1 + 0.9 * jitter)
    tables = (ProfileTable(0, count, count, "tcam0"),)
    profile = Profile("x", "x", "measured", tables, 1, reach, law, law, law)
    clock, table = Clock(), Tcam(0, count)
    hardware = Hardware(profile, {0: table}, seed)
    hardware.power_on(clock)
    samples = []
    priorities = random.Random(seed)
    for number in range(count):
        begun, moves = clock.seconds(), hardware.writer.moves
        operation = FakeOperation.add(FakeRule(Match.of(in_port=number), priorities.randrange(20)))
        hardware.submit([operation])
        (call,) = clock.getDelayedCalls()
        clock.advance(call.getTime() - begun)
        assert operation.succeeded
        samples.append(
            Sample("add", clock.seconds() - begun, number, hardware.writer.moves - moves)
        )
    return samples


class FitTests(SynchronousTestCase):
    """What is found in measurements."""

    def near(self, found: float, wanted: float, share: float) -> None:
        """Two numbers differ by no more than a share."""
        self.assertLessEqual(abs(found - wanted), share * wanted + 1e-9, (found, wanted))

    @settings(max_examples=20, deadline=None)
    @given(laws, st.integers(0, 99))
    def test_exact(self, law: Law, seed: int) -> None:
        """Installs that a profile costs without jitter give its parameters back."""
        found = fit(installs(law, 0.0, seed)).laws["add"]
        for name in ("base", "per_entry", "move"):
            self.near(getattr(found, name), getattr(law, name), 0.01)
        self.near(found.per_entry_from, law.per_entry_from, 0.02)

    @settings(max_examples=10, deadline=None)
    @given(laws, st.integers(0, 99))
    def test_jitter(self, law: Law, seed: int) -> None:
        """With jitter, what installs cost comes back within a few percent, and the jitter does."""
        samples = installs(law, 0.1, seed)
        found = fit(samples)
        for sample in samples[::20]:
            place = sample.resident, sample.moves
            self.near(found.laws["add"].seconds(*place), law.seconds(*place), 0.06)
        self.near(found.jitter.p5, 0.91, 0.04)
        self.near(found.jitter.p95, 1.09, 0.04)

    def test_written(self) -> None:
        """What is written is a profile that can be loaded, with what was found."""
        law = Law(5e-3, 20e-6, 550, 50e-6)
        text = write(Fit({"add": law}, Jitter(0.5, 1.0, 2.0), 1000), 'my "own"', "me")
        path = Path(self.mktemp() + ".toml")
        path.write_text(text)
        profile = load(str(path))
        self.assertEqual(
            (profile.name, profile.source, profile.kind), ('my "own"', "me", "measured")
        )
        self.assertEqual(profile.jitter, Jitter(0.5, 1.0, 2.0))
        for read_law in (profile.add, profile.modify, profile.delete):
            for name in ("base", "per_entry", "per_entry_from", "move"):
                self.near(getattr(read_law, name), getattr(law, name), 1e-6)
        self.assertEqual(text.count("Not measured"), 2)

    def test_kinds(self) -> None:
        """Each kind has its own law."""
        samples = [Sample("add", 0.010, n) for n in range(10)]
        samples += [Sample("modify", 0.030, n) for n in range(10)]
        found = fit(samples)
        self.near(found.laws["add"].base, 0.010, 1e-6)
        self.near(found.laws["modify"].base, 0.030, 1e-6)
        self.assertNotIn("delete", found.laws)

    def test_too_few(self) -> None:
        """A law is not fitted to next to nothing."""
        for samples in ([], [Sample("add", 0.01, n) for n in range(7)]):
            self.assertIn("8 or more", str(self.assertRaises(ValueError, fit, samples)))


class ReadTests(SynchronousTestCase):
    """What a CSV file may have."""

    def test_read(self) -> None:
        """Columns are found by name; others, empty lines and comments are passed over."""
        self.assertEqual(
            read(["# mine\n", "what, resident, ms, moves, kind\n", "\n", "x,3,1.5,2,delete\n",
                  "y,4,2,,\n"]),
            [Sample("delete", 0.0015, 3, 2), Sample("add", 0.002, 4, 0)],
        )  # fmt: skip

    def test_wrong(self) -> None:
        """What is wrong is told with its line, its column, and what is allowed."""
        for lines, said in (
            ([], "column 'ms'"),
            (["ms,moves"], "column 'resident'"),
            (["ms,resident", "1,2", "x,2"], "line 3: ms: 'x' must be a number above 0"),
            (["ms,resident", "0,2"], "line 2: ms: '0'"),
            (["ms,resident", "nan,2"], "line 2: ms: 'nan'"),
            (["ms,resident", "1,2.5"], "line 2: resident: '2.5' must be a whole number"),
            (["ms,resident", "1"], "line 2: resident: ''"),
            (["ms,resident,kind", "1,2,insert"], "kind: 'insert' must be one of add, modify"),
        ):
            self.assertIn(said, str(self.assertRaises(ValueError, read, lines)))


class MainTests(SynchronousTestCase):
    """The command."""

    def run_main(self, *arguments: str) -> tuple[int, str, str]:
        """Its exit status, and what it prints."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            status = main(arguments)
        return status, out.getvalue(), err.getvalue()

    def test_fits(self) -> None:
        """It prints a profile."""
        path = Path(self.mktemp() + ".csv")
        path.write_text("ms,resident\n" + "".join(f"{5 + n / 100},{n}\n" for n in range(50)))
        status, out, _ = self.run_main(str(path), "--name", "mine", "--size", "77")
        self.assertEqual(status, 0)
        profile = path.with_suffix(".toml")
        profile.write_text(out)
        found = load(str(profile))
        self.assertEqual((found.name, found.tables[0].size, found.source), ("mine", 77, path.name))
        self.assertAlmostEqual(found.add.per_entry, 10e-6, 9)

    def test_fails(self) -> None:
        """It says which file is wrong, and why."""
        path = Path(self.mktemp() + ".csv")
        status, out, err = self.run_main(str(path))
        self.assertEqual((status, out, err), (1, "", f"{path}: No such file or directory\n"))
        path.write_text("ms,resident\nx,1\n")
        status, _, err = self.run_main(str(path))
        self.assertEqual((status, err.startswith(f"{path}: line 2: ms: 'x'")), (1, True))
