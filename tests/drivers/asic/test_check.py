"""Tests of :mod:`drivers.asic.check`."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from drivers.asic.check import main
from drivers.asic.profile import profile_names, profile_path


class CheckTests(SynchronousTestCase):
    """What is said of profiles."""

    def run_main(self, *arguments: str) -> tuple[int, str, str]:
        """The exit status, and what is printed."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            status = main(arguments)
        return status, out.getvalue(), err.getvalue()

    def test_ours(self) -> None:
        """All profiles that come with the agent are good, and each has its line."""
        status, out, err = self.run_main(*profile_names())
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(len(out.splitlines()), len(profile_names()))

    def test_wrong(self) -> None:
        """What is wrong is told with the file, the key, the value and what is allowed; the others
        are looked at all the same."""
        text = profile_path("quanta").read_text()
        path = Path(self.mktemp() + ".toml")
        path.write_text(text.replace("base_ms = 82.0", "base_ms = -3"))
        status, out, err = self.run_main(str(path), "nonesuch", "quanta")
        self.assertEqual(status, 1)
        self.assertIn("quanta (measured", out)
        wrong, unknown = err.splitlines()
        for part in (str(path), "modify.base_ms", "-3", "a number from 0"):
            self.assertIn(part, wrong)
        self.assertIn("one of", unknown)
