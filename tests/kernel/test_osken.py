"""Every fifth of os-ken's cases of matches and actions with the kernel's filters."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.kernel import need_flower
from tests.system.osken_cases import CasesCase, read_trials

KERNEL: Final = 'name = "tcflower"\nmode = "skip_hw"\n'
FALLBACK: Final = KERNEL + 'unsupported = "fallback"\n'
EVERY: Final = 5
EXPECTED: Final = {
    "of13/match": {"kernel": 89, "fallback": 53, "failed": 1},
    "of13/action": {"kernel": 24, "fallback": 22},
}
FAILED: Final = {
    # The frame is shorter than Ethernet allows, and the controller is told of it with padding.
    "of13/match/19_ICMPV4_TYPE.json": ("told: ", "told: "),
}
"""The files in which a case fails, and what is said of it without and with the software."""


class CasesTests(CasesCase):
    """A case passes in the kernel, or its rules are refused there and the software makes it pass;
    others are known."""

    # The machine is emulated.
    patience = 240.0
    timeout = 600

    def test_cases(self) -> None:
        """There are as many of each kind as there were, and none fails otherwise."""
        need_flower()
        suites = {suite: read_trials(suite, EVERY) for suite in EXPECTED}
        self.start_bridges(KERNEL, FALLBACK)
        kernel, fallback = self.judges
        for suite, expected in EXPECTED.items():
            counts = Counter[str]()
            for trial in suites[suite]:
                why = kernel.judge(trial)
                helped = fallback.judge(trial) if why else ""
                if helped or (why and not why.startswith("refused: ")):
                    counts["failed"] += 1
                    for told, known in zip((why, helped), FAILED[trial.case.file], strict=True):
                        self.assertEqual(told[: len(known)], known, trial.case)
                else:
                    counts["fallback" if why else "kernel"] += 1
            self.assertEqual(counts, expected, suite)
