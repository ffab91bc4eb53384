"""os-ken's cases of matches and actions with the kernel's filters."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.kernel import need_flower
from tests.system.osken_cases import CasesCase, read_trials

KERNEL: Final = 'name = "tcflower"\nmode = "skip_hw"\n'
FALLBACK: Final = KERNEL + 'unsupported = "fallback"\n'
EXPECTED: Final = {
    "of13/match": {"kernel": 450, "fallback": 264},
    "of13/action": {"kernel": 111, "fallback": 115},
}


class CasesTests(CasesCase):
    """A case passes in the kernel, or is refused there and passes with the software."""

    # The machine is emulated.
    patience = 240.0
    timeout = 600

    def test_cases(self) -> None:
        """There are as many of each kind as there were, and none fails."""
        need_flower()
        suites = {suite: read_trials(suite) for suite in EXPECTED}
        self.start_bridges(KERNEL, FALLBACK)
        kernel, fallback = self.judges
        for suite, expected in EXPECTED.items():
            counts = Counter[str]()
            failed = []
            for trial in suites[suite]:
                why = kernel.judge(trial)
                helped = fallback.judge(trial) if why else ""
                if helped or (why and not why.startswith("refused: ")):
                    failed.append((trial.case, why, helped))
                else:
                    counts["fallback" if why else "kernel"] += 1
            self.assertEqual(failed, [], suite)
            self.assertEqual(counts, expected, suite)
