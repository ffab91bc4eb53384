"""That there is such a kernel at all, and what of it the driver is built on."""

from __future__ import annotations

import subprocess

from twisted.trial.unittest import SynchronousTestCase


def run(*command: str) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


class KernelTests(SynchronousTestCase):
    """The kernel under these tests."""

    def test_flower(self) -> None:
        """It has the flower classifier, and shared blocks."""
        run("ip", "link", "add", "kernel0", "type", "dummy")
        self.addCleanup(run, "ip", "link", "del", "kernel0")
        run("tc", "qdisc", "add", "dev", "kernel0", "ingress_block", "77", "clsact")
        run(
            *"tc filter add block 77 protocol ip pref 1 flower dst_ip 192.0.2.1 action drop".split()
        )
        self.assertIn("flower chain 0", run("tc", "filter", "show", "block", "77"))
