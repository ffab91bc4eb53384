"""Adds up the summaries of several trial runs.

``totals.py [--failed "STAGE ..."] LOG...`` reads what each run of trial printed and
prints ``N passed, N failed, N skipped``.  A log may hold several runs.  One without a summary is a
run that broke off, and counts as one failed test; so does a stage of another kind that has failed.
The exit status is 0 if nothing failed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_SUMMARY = re.compile(
    r"^Ran \d+ tests in [\d.]+s\n\n(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE
)
_COUNTS = {
    "successes": "passed",
    "expectedFailures": "passed",
    "failures": "failed",
    "errors": "failed",
    "unexpectedSuccesses": "failed",
    "skips": "skipped",
}


def count(log: str) -> Counter[str] | None:
    """How many tests passed, failed and were skipped in all runs; None if the run broke off.

    :raises KeyError: for a kind of result that is not known.
    """
    summaries = _SUMMARY.findall(log)
    if not summaries:
        return None
    totals: Counter[str] = Counter()
    for part in filter(None, ", ".join(summaries).split(", ")):
        name, _, number = part.partition("=")
        totals[_COUNTS[name]] += int(number)
    return totals


def main(arguments: Sequence[str]) -> int:
    """Print the totals and return the exit status."""
    parser = argparse.ArgumentParser(description="Add up the summaries of several trial runs.")
    parser.add_argument("--failed", default="", help="stages that failed, separated by spaces")
    parser.add_argument("logs", nargs="*", type=Path, metavar="LOG")
    options = parser.parse_args(arguments)
    runs = {path.name for path in options.logs}
    totals: Counter[str] = Counter()
    for path in options.logs:
        counted = count(path.read_text(errors="replace")) if path.exists() else None
        if counted is None:
            print(f"{path.name}: broke off without a summary")
            counted = Counter(failed=1)
        elif path.name in options.failed.split() and not counted["failed"]:
            print(f"{path.name}: failed although no test did")
            counted["failed"] += 1
        totals += counted
    for stage in options.failed.split():
        if stage not in runs:
            print(f"{stage}: failed")
            totals["failed"] += 1
    print(", ".join(f"{totals[kind]} {kind}" for kind in ("passed", "failed", "skipped")))
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
