"""An agent that lacks the capability for tc flower, with a kernel that has it."""

from __future__ import annotations

from tests.kernel import need_flower
from tests.system import test_tcflower


class KernelCapabilityTests(test_tcflower.CapabilityTests):
    """As in any kernel."""

    # The machine is emulated.
    seconds = 240.0
    timeout = 300

    def setUp(self) -> None:
        """Be where there is such a kernel."""
        need_flower()
        super().setUp()
