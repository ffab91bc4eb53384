"""Where log lines go, in which form, and which are left out.

:mod:`twisted.logger` events become lines of text for people or JSON objects for machines, one a
line.  The destination is what ``twistd`` was told (``--logfile``, or standard output without
daemonizing); ``--logger`` and ``--syslog`` bypass this module, and so the settings of the
configuration.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO, cast

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.python.logfile import LogFile

_REPLACED: Final = frozenset({"time", "level", "namespace", "text", "traceback"})
"""Keys of a JSON line that no key of an event may replace."""


def observer(level: str, form: str, stream: TextIO) -> ILogObserver:
    """What writes log lines to ``stream``.

    :param level: ``debug``, ``info``, ``warn`` or ``error``; less severe events are left out.
    :param form: ``text`` or ``json``.
    """
    formatter = format_json if form == "json" else formatEventAsClassicLogText
    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(level))
    return cast(ILogObserver, FilteringLogObserver(FileLogObserver(stream, formatter), [predicate]))


def format_json(event: LogEvent) -> str:
    """An event as one line: a JSON object with time, level, namespace, text, and the event's own
    keys as far as they are strings, numbers or booleans.
    """
    level = event.get("log_level")
    line: dict[str, object] = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="microseconds"),
        "level": level.name if level is not None else "info",
        "namespace": event.get("log_namespace", ""),
        "text": formatEvent(event),
    }
    failure = event.get("log_failure")
    if failure is not None:
        line["traceback"] = failure.getTraceback()
    for name, value in event.items():
        own = not name.startswith("log_") and name not in _REPLACED
        if own and isinstance(value, str | int | float | bool):
            line[name] = value
    return json.dumps(line) + "\n"


def destination(twistd: Mapping[str, Any]) -> TextIO | None:
    """The stream that ``twistd`` would log to, given its options; None: it has its own way to log.

    A file is rotated on SIGUSR1, as ``twistd`` does it.
    """
    if twistd.get("logger") or twistd.get("syslog"):
        return None
    name = twistd.get("logfile")
    if twistd.get("nodaemon") and name in (None, "", "-"):
        return sys.stdout
    if name == "-":
        return None
    file = LogFile.fromFullPath(name or "twistd.log")
    signal.signal(signal.SIGUSR1, lambda number, frame: file.rotate())
    return cast(TextIO, file)
