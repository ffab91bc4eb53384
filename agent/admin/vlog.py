"""The agent's log: from the events of :mod:`twisted.logger` to lines on a console, in a file, or in
the system's log.

Whoever has something to say uses a :class:`twisted.logger.Logger`, with keys: ``bridge``,
``connection`` and ``xid`` where there are any.  :class:`Vlog` is the observer of all these events.
It drops what is below the level of its module (:mod:`agent.admin.vlog_levels`), then what comes too
often (:mod:`agent.admin.vlog_limit`), and writes the rest (:mod:`agent.admin.vlog_lines`).

There is one Vlog in a process.  Under ``twistd``, which begins the logging itself, it is the
application's observer: :func:`for_twistd` and :meth:`Vlog.attach`.  Elsewhere :func:`start_logging`
does everything.
"""

from __future__ import annotations

import signal
import sys
import syslog
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TextIO

import attrs
from twisted.logger import ILogObserver, LogBeginner, LogEvent, globalLogBeginner
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from zope.interface import implementer

from agent.admin import coverage
from agent.admin.vlog_levels import Level, Levels, module_of
from agent.admin.vlog_limit import RateLimiter
from agent.admin.vlog_lines import Line, as_json, as_syslog, as_text, level_of, line_of

LEVELS: Final = {
    "debug": Level.DBG,
    "info": Level.INFO,
    "warn": Level.WARN,
    "error": Level.ERR,
}
"""Levels as the configuration names them."""

_FORMATS: Final[Mapping[str, Callable[[Line, int], str]]] = {"text": as_text, "json": as_json}

_STANDARD_IO: Final = frozenset({"stdout", "stderr"})
"""Namespaces of what was printed: a line of these is no message, but a part of one."""

_PRIORITIES: Final = {
    Level.EMER: syslog.LOG_ALERT,
    Level.ERR: syslog.LOG_ERR,
    Level.WARN: syslog.LOG_WARNING,
    Level.INFO: syslog.LOG_NOTICE,
    Level.DBG: syslog.LOG_DEBUG,
}
"""As in Open vSwitch."""

_dropped = coverage.counter("vlog_dropped")
_unwritten = coverage.counter("vlog_unwritten")


class Destination(Protocol):
    """Where lines go."""

    def write(self, line: Line, sequence: int) -> None:
        """Write a line.

        :param sequence: its number; starts from 1.
        :raises OSError: when it cannot be written.
        """


class File(Protocol):
    """What a :class:`StreamDestination` writes to."""

    def write(self, text: str, /) -> object:
        """Write some lines."""

    def flush(self) -> object:
        """See that they are written."""


@attrs.frozen
class StreamDestination:
    """A stream: the console, or a file.

    :ivar form: ``text`` or ``json``.
    """

    stream: File
    form: str

    def write(self, line: Line, sequence: int) -> None:
        """Write a line, at once."""
        text = _FORMATS[self.form](line, sequence) + "\n"
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            self.stream.write(text.encode("ascii", "backslashreplace").decode())
        self.stream.flush()


class SyslogDestination:
    """The system's log."""

    def __init__(self, prefix: str) -> None:
        """
        :param prefix: what the system's log shall call this process.
        """
        syslog.openlog(prefix, syslog.LOG_PID, syslog.LOG_DAEMON)

    def write(self, line: Line, sequence: int) -> None:
        """Write a line; a traceback is many."""
        priority = _PRIORITIES[line.level]
        syslog.syslog(priority, as_syslog(line, sequence))
        for below in line.traceback.splitlines():
            syslog.syslog(priority, f"\t{below}")


@implementer(ILogObserver)
class Vlog:
    """The log.

    :ivar levels: what is wanted.
    :ivar destinations: where it goes, by the names in
        :data:`agent.admin.vlog_levels.DESTINATIONS`.
    """

    def __init__(self, level: str = "info", limiter: RateLimiter | None = None) -> None:
        """
        :param level: one of :data:`LEVELS`.
        """
        self.levels = Levels(LEVELS[level])
        self.destinations: dict[str, Destination] = {}
        self._limiter = limiter or RateLimiter()
        self._sequence = 0
        # Drivers may have threads, and those may log.  Re-entrant, for what is logged may log when
        # it is asked for its text.
        self._lock = threading.RLock()

    def __call__(self, event: LogEvent) -> None:
        """Log an event."""
        level = level_of(event)
        namespace = event.get("log_namespace") or ""
        module = module_of(namespace)
        with self._lock:
            wanted = [
                destination
                for name, destination in self.destinations.items()
                if self.levels.get(module, name) >= level
            ]
            if not wanted:
                return
            if module not in self.levels.unlimited and namespace not in _STANDARD_IO:
                site = (namespace, level, event.get("log_format"))
                now = event["log_time"]
                dropped = self._limiter.admit(site, now)
                if dropped is None:
                    _dropped.count += 1
                    return
                if dropped.count:
                    text = dropped.text(now)
                    self._write(Line(now, level, module, namespace, text), wanted)
            self._write(line_of(event), wanted)

    def _write(self, line: Line, destinations: list[Destination]) -> None:
        self._sequence += 1
        for destination in destinations:
            try:
                destination.write(line, self._sequence)
            except (OSError, ValueError):
                # A full disk, a closed pipe: there is nobody to tell, and nothing must stop for it.
                _unwritten.count += 1

    def set_level(self, level: str) -> None:
        """Log just this much from now on, of every module and everywhere.

        :param level: one of :data:`LEVELS`.
        """
        self.levels.set(LEVELS[level].name)

    def set_form(self, form: str) -> None:
        """Write lines in another form from now on, but to the system's log.

        :param form: ``text`` or ``json``.
        """
        with self._lock:
            for name, destination in self.destinations.items():
                if isinstance(destination, StreamDestination):
                    self.destinations[name] = attrs.evolve(destination, form=form)

    def attach(self, application: Any) -> None:
        """Make this the log of a Twisted application.

        To be called with the parent that a service is given, before it begins to run; a parent
        which is not an application is left alone.
        """
        if isinstance(application, Componentized):
            application.setComponent(ILogObserver, self)

    def reopen(self) -> bool:
        """Open the log file anew, after something has moved it away; returns whether there is one.

        :raises OSError: when it cannot be opened.
        """
        with self._lock:
            file = self.destinations.get("file")
            if not isinstance(file, StreamDestination) or not isinstance(file.stream, LogFile):
                return False
            file.stream.reopen()
            return True


def start_logging(
    level: str, form: str, stream: TextIO, beginner: LogBeginner = globalLogBeginner
) -> Vlog:
    """Begin to log to a stream, for a process that ``twistd`` does not run.

    :param level: one of :data:`LEVELS`.
    :param form: ``text`` or ``json``.
    """
    vlog = Vlog(level)
    vlog.destinations["console"] = StreamDestination(stream, form)
    beginner.beginLoggingTo([vlog], redirectStandardIO=False)
    return vlog


def for_twistd(options: Mapping[str, Any], level: str, form: str, reactor: Any) -> Vlog:
    """A log that goes where ``twistd`` was told to log.

    ``--logger`` overrides this: it names another observer, which twistd then prefers.

    :param options: those of ``twistd`` (the parent of a plugin's options), or nothing.
    :param level: one of :data:`LEVELS`.
    :param form: ``text`` or ``json``; the system's log is always text.
    :raises SystemExit: when a daemon is to log to its standard output, as twistd does.
    """
    vlog = Vlog(level)
    name = options.get("logfile") or ("-" if options.get("nodaemon", True) else "twistd.log")
    if options.get("logger"):
        pass
    elif options.get("syslog"):
        vlog.destinations["syslog"] = SyslogDestination(options.get("prefix") or "ofagent")
    elif name == "-":
        if not options.get("nodaemon", True):
            raise SystemExit("ofagent: a daemon cannot log to standard output")
        vlog.destinations["console"] = StreamDestination(sys.stdout, form)
    else:
        file = LogFile.fromFullPath(name)
        # As twistd does it; not from within the handler, which may interrupt a write.
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
        vlog.destinations["file"] = StreamDestination(file, form)
    return vlog
