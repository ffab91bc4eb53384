"""The demonstration, as ``make demo`` starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

from twisted.trial.unittest import SynchronousTestCase

from tests.system.agent import ROOT, TIMEOUT


class DemoTests(SynchronousTestCase):
    """Everything together."""

    def test_a_minute(self) -> None:
        """Within a minute a newcomer sees messages that wait, and barriers that are true; when it
        is interrupted all of it ends."""
        process = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(process.kill)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "it is in the hardware" in line:
                break
        text = "".join(said)
        self.assertIn("Look at http://127.0.0.1:8653/", text)
        waits: set[str] = set()
        end = time.monotonic() + TIMEOUT
        while "slot" not in " ".join(waits) and time.monotonic() < end:
            with urllib.request.urlopen(
                "http://127.0.0.1:8653/api/bridges/br0/pending", timeout=TIMEOUT
            ) as answer:
                for one in json.loads(answer.read())["postponed"]:
                    waits.add("slot" if "a place among" in one["waits_for"] else "other")
            time.sleep(0.05)
        self.assertIn("slot", waits)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0)
