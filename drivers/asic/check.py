"""Check profiles: ``python -m drivers.asic.check mine.toml other.toml``.

What is wrong is told in one line, with the file, the key, what stands there and what may; the exit
status is 1 then.  Of a profile that is right it is said what it describes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from drivers.asic.profile import load, profile_path
from drivers.interfaces import OptionError


def check(name: str) -> tuple[bool, str]:
    """Whether the profile of this name, or at this path, can be used, and a line about it."""
    try:
        profile = load(name)
        path = profile_path(name)
    except OptionError as error:
        return False, error.allowed
    tables = ", ".join(f"{table.name}: {table.size}" for table in profile.tables)
    return True, f"{path}: {profile.name} ({profile.kind}: {profile.source}); entries: {tables}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m drivers.asic.check", description=__doc__)
    parser.add_argument("profile", nargs="+", help="the name of one of ours, or a path")
    status = 0
    for name in parser.parse_args(arguments).profile:
        good, line = check(name)
        (sys.stdout if good else sys.stderr).write(line + "\n")
        status |= not good
    return status


if __name__ == "__main__":
    sys.exit(main())
