"""Tests of ``.ci/totals.py``, which says at the end of CI what happened."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

SCRIPT = Path(__file__).parents[1] / ".ci" / "totals.py"

PASSED = "tests.x\n  test_a ... [OK]\n\nRan 3 tests in 0.1s\n\nPASSED (skips=1, successes=2)\n"
FAILED = (
    "Ran 9 tests in 0.1s\n\nFAILED (skips=1, expectedFailures=1, failures=2, errors=1, "
    "unexpectedSuccesses=1, successes=3)\n"
)


def load() -> ModuleType:
    """The script as a module; it is in no package."""
    spec = importlib.util.spec_from_file_location("totals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TotalsTests(SynchronousTestCase):
    """The last line is true, and so is the exit status."""

    def setUp(self) -> None:
        """Load the script."""
        self.totals = load()

    def run_script(self, logs: dict[str, str], failed: str = "") -> tuple[list[str], int]:
        """What it prints for these logs, and its exit status."""
        directory = Path(self.mktemp())
        directory.mkdir()
        for name, text in logs.items():
            (directory / name).write_text(text)
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        paths = [str(directory / name) for name in logs]
        status = self.totals.main(["--failed", failed, *paths])
        return output.getvalue().splitlines(), status

    def test_sum(self) -> None:
        """The numbers of all runs are added up; an expected failure has passed."""
        lines, status = self.run_script({"test": PASSED, "system-test": PASSED})
        self.assertEqual((lines, status), (["4 passed, 0 failed, 2 skipped"], 0))
        lines, status = self.run_script({"test": PASSED, "system-test": FAILED}, "system-test")
        self.assertEqual((lines, status), (["6 passed, 4 failed, 2 skipped"], 1))

    def test_several_runs(self) -> None:
        """A log may be of several runs, and all of them count."""
        lines, status = self.run_script({"system-test": PASSED + FAILED}, "system-test")
        self.assertEqual((lines, status), (["6 passed, 4 failed, 2 skipped"], 1))

    def test_no_tests(self) -> None:
        """A run without tests counts nothing."""
        lines, status = self.run_script({"test": "Ran 0 tests in 0.000s\n\nPASSED\n"})
        self.assertEqual((lines, status), (["0 passed, 0 failed, 0 skipped"], 0))

    def test_last_summary(self) -> None:
        """What a test itself prints is not taken for the summary."""
        lines, _ = self.run_script({"test": "FAILED (failures=7)\n\nPASSED\n" + PASSED})
        self.assertEqual(lines, ["2 passed, 0 failed, 1 skipped"])

    def test_broken_off(self) -> None:
        """A run without a summary has failed."""
        lines, status = self.run_script({"test": "make: *** [test] Error 1\n"}, "test")
        expected = ["test: broke off without a summary", "0 passed, 1 failed, 0 skipped"]
        self.assertEqual((lines, status), (expected, 1))

    def test_failed_run(self) -> None:
        """A run that ended with an error has failed, even if its summary says otherwise."""
        lines, status = self.run_script({"test": PASSED}, "test")
        expected = ["test: failed although no test did", "2 passed, 1 failed, 1 skipped"]
        self.assertEqual((lines, status), (expected, 1))

    def test_failed_stage(self) -> None:
        """A stage that is no test run is one failure."""
        lines, status = self.run_script({"test": PASSED}, "packages lint")
        expected = ["packages: failed", "lint: failed", "2 passed, 2 failed, 1 skipped"]
        self.assertEqual((lines, status), (expected, 1))

    def test_unknown_result(self) -> None:
        """A kind of result that trial may get one day is not passed over."""
        self.assertRaises(
            KeyError, self.totals.count, "Ran 1 tests in 0.1s\n\nPASSED (surprises=1)\n"
        )
