"""That there is such a kernel at all, and what of it the driver is built on."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.kernel import need_flower, run


class KernelTests(SynchronousTestCase):
    """The kernel under these tests."""

    def setUp(self) -> None:
        """Be where there is one."""
        need_flower()

    def test_flower(self) -> None:
        """It has the flower classifier, and shared blocks."""
        run("ip link add kernel0 type dummy")
        self.addCleanup(run, "ip link del kernel0")
        run("tc qdisc add dev kernel0 ingress_block 77 clsact")
        run("tc filter add block 77 protocol ip pref 1 flower dst_ip 192.0.2.1 action drop")
        self.assertIn("flower chain 0", run("tc filter show block 77"))
