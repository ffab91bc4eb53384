"""``twistd``, which on SIGUSR1 tells what its process holds: to be tested for leaks.

``python -m tests.system.inspected FILE ...``: the rest is the command line of twistd.  After each
signal FILE is replaced by another one, with JSON: ``objects``, how many objects there are by type,
of those that the garbage collector knows, after a collection; ``blocks``, how many small pieces of
memory Python has handed out; ``timers`` and ``descriptors``, how many of each the reactor waits
for; ``rss``, kB.  Only a test asks for this, so the agent itself has nothing of it.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.scripts.twistd import run

from agent.admin.commands_process import resident


def inspect(file: Path, reactor: Any) -> None:
    """Write what there is now."""
    gc.collect()
    kinds = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    found = {
        "objects": kinds,
        "blocks": sys.getallocatedblocks(),
        "timers": len(reactor.getDelayedCalls()),
        "descriptors": len(reactor.getReaders()),
        "rss": resident()["rss-kB"],
    }
    written = file.with_suffix(".new")
    written.write_text(json.dumps(found))
    written.replace(file)


def main(file: Path) -> None:
    """Run twistd, with the rest of the command line."""

    def asked(*_: object) -> None:
        # By then twistd has chosen one.  Between two of its calls nothing is half done.
        reactor: Any = sys.modules["twisted.internet.reactor"]
        reactor.callFromThread(inspect, file, reactor)

    signal.signal(signal.SIGUSR1, asked)
    run()


if __name__ == "__main__":
    main(Path(sys.argv.pop(1)))
