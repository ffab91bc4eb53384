"""A log event as a line: of text, for people, or as a JSON object, for machines.

Text looks as that of Open vSwitch does::

    2026-01-01T00:00:00.123Z|00012|connmgr|INFO|br0<->tcp:127.0.0.1:4711: connected

with the time in UTC, the number of the line, the module and the level.  The keys of an event that
say what it is about (``connection`` or else ``bridge``, and ``xid``) are always in the line, also
where the author of the message did not put them into it.

What a line holds may come from the network.  So it never breaks lines, moves a terminal's cursor or
grows without a bound; and what looks like a secret is not in it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any, Final

import attrs
from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.reflect import safe_str

from agent.admin.vlog_levels import LEVEL_OF, Level, module_of

MAX_TEXT: Final = 4096
"""The longest text, in characters; also of a key's value."""

MAX_TRACEBACK: Final = 1 << 16
"""The longest traceback, in characters; it is the end that is kept."""

MAX_ITEMS: Final = 50
"""How many items of a list are in a JSON line."""

MAX_DEPTH: Final = 3
"""How deep lists are."""

HIDDEN: Final = "***"
"""What stands where a secret was."""

_SECRET_KEYS: Final = re.compile(r"token|passw(or)?d|secret|private_?key|authorization", re.I)
_SECRETS: Final = (
    # name=value, name: value, "name": "value", also in a URL's query
    (
        re.compile(
            r"""((?:token|passw(?:or)?d|secret|private_?key)["']?[ ]?[=:][ ]?["']?)"""
            r"""[^\s"'&,;)}\]]+""",
            re.I,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(bearer|authorization: ?\w+) +\S+", re.I), rf"\1 {HIDDEN}"),
    (
        re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*-----|$)", re.S),
        rf"\1{HIDDEN}\2",
    ),
)

_NAMES: Final = {
    Level.EMER: "critical",
    Level.ERR: "error",
    Level.WARN: "warn",
    Level.INFO: "info",
    Level.DBG: "debug",
}
"""Levels in JSON: those of the configuration."""

_OWN: Final = frozenset({"time", "sequence", "level", "module", "namespace", "text", "traceback"})
"""The names a JSON line has for itself; a key of an event with such a name gets an underscore."""


@attrs.frozen
class Line:
    """One log line, wherever it goes.

    :ivar time: seconds since the epoch.
    :ivar namespace: of the logger, like ``agent.connmgr.session``.
    :ivar keys: those of the event that are its own, with values as JSON has them.
    :ivar traceback: of the failure it is about; else empty.
    """

    time: float
    level: Level
    module: str
    namespace: str
    text: str
    keys: Mapping[str, Any] = attrs.Factory(dict)
    traceback: str = ""


def line_of(event: LogEvent) -> Line:
    """What an event says; never fails, whatever is in it."""
    namespace = safe_str(event.get("log_namespace") or "")
    failure = event.get("log_failure")
    text = _clean(formatEvent(event))
    if failure is not None and not text:
        text = _clean(safe_str(failure.getErrorMessage()))
    return Line(
        event["log_time"],
        level_of(event),
        module_of(namespace),
        namespace,
        _with_context(event, text),
        _keys(event),
        "" if failure is None else _redact(safe_str(failure.getTraceback())[-MAX_TRACEBACK:]),
    )


def level_of(event: LogEvent) -> Level:
    """The level of an event."""
    return LEVEL_OF[event.get("log_level") or LogLevel.info]


def as_text(line: Line, sequence: int) -> str:
    """For people; a traceback follows on lines of its own, which begin with a tab."""
    text = f"{timestamp(line.time)}|{as_syslog(line, sequence)}"
    for below in line.traceback.splitlines():
        text += f"\n\t{_printable(below)}"
    return text


def as_syslog(line: Line, sequence: int) -> str:
    """For a log that notes the time by itself."""
    return f"{sequence:05}|{line.module}|{line.level.name}|{line.text}"


def as_json(line: Line, sequence: int) -> str:
    """For machines: one object."""
    fields: dict[str, Any] = {
        "time": timestamp(line.time),
        "sequence": sequence,
        "level": _NAMES[line.level],
        "module": line.module,
        "namespace": line.namespace,
        "text": line.text,
    }
    if line.traceback:
        fields["traceback"] = line.traceback
    for name, value in line.keys.items():
        fields[f"{name}_" if name in _OWN else name] = value
    return json.dumps(fields, separators=(",", ":"))


def timestamp(time: float) -> str:
    """A time in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(time, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _with_context(event: LogEvent, text: str) -> str:
    """The text with what it is about, where it does not say so itself."""
    for name in ("connection", "bridge"):
        if event.get(name) is not None:
            about = _clean(safe_str(event[name]))
            if about not in text:
                text = f"{about}: {text}"
            break
    xid = event.get("xid")
    if isinstance(xid, int) and "{xid" not in safe_str(event.get("log_format")):
        text += f" (xid={xid:#x})"
    return text


def _keys(event: LogEvent) -> dict[str, Any]:
    """Those of an event that are its own.  A connection's name begins with its bridge's."""
    keys = {name: _plain(name, event[name]) for name in event if not name.startswith("log_")}
    bridge, arrow, _ = str(keys.get("connection", "")).partition("<->")
    if arrow:
        keys.setdefault("bridge", bridge)
    return keys


def _plain(name: str, value: Any, depth: int = MAX_DEPTH) -> Any:
    """A value as JSON has it, as far as it can be had."""
    if _SECRET_KEYS.search(name):
        return HIDDEN
    if value is None or isinstance(value, bool | int):
        # Not its subclasses: an enumeration is to show its name.
        return value if type(value) in (bool, int, type(None)) else _clean(safe_str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value[: MAX_TEXT // 2].hex()
    if depth and isinstance(value, Mapping):
        items = list(value.items())[:MAX_ITEMS]
        return {safe_str(key): _plain(safe_str(key), inner, depth - 1) for key, inner in items}
    if depth and isinstance(value, list | tuple | Set):
        return [_plain("", inner, depth - 1) for inner in list(value)[:MAX_ITEMS]]
    return _clean(safe_str(value))


def _clean(text: str) -> str:
    """The text on one line, of bounded length, without secrets."""
    more = len(text) - MAX_TEXT
    text = _printable(_redact(text[:MAX_TEXT].rstrip("\n")))
    return f"{text}... ({more} more characters)" if more > 0 else text


def _printable(text: str) -> str:
    """The text with what is not printable escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _redact(text: str) -> str:
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
