"""Which log lines are wanted: a level for each module and destination, as in Open vSwitch.

A module is a part of the agent by the name a user knows it by, not a Python module:
:func:`module_of` tells to which one the namespace of a :class:`twisted.logger.Logger` belongs.
Levels are changed by words in the syntax of ``vlog/set`` (:meth:`Levels.set`) and shown as
``vlog/list`` shows them (:meth:`Levels.show`).  ``ovs-appctl(8)`` explains both.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Iterable
from typing import Final

from twisted.logger import LogLevel


class Level(enum.IntEnum):
    """How much is logged; a line is wanted when its own level is at most that."""

    OFF = 0
    EMER = 1
    ERR = 2
    WARN = 3
    INFO = 4
    DBG = 5


LEVEL_OF: Final = {
    LogLevel.critical: Level.EMER,
    LogLevel.error: Level.ERR,
    LogLevel.warn: Level.WARN,
    LogLevel.info: Level.INFO,
    LogLevel.debug: Level.DBG,
}
"""The level of a line, by that of its event."""

DESTINATIONS: Final = ("console", "syslog", "file")
"""Where lines can go, by the names and in the order of ``vlog/list``."""

MODULES: Final = (
    "bridge",
    "config",
    "connmgr",
    "hangup",
    "ofproto",
    "openflow",
    "packet",
    "reload",
    "service",
    "tap",
    "twisted",
    "unixctl",
)
"""The modules that are always there; each driver is one more."""

_SEPARATORS: Final = re.compile(r"[ ,:\t]+")


def module_of(namespace: str) -> str:
    """The module to which a logger of this namespace belongs.

    ``agent.ofproto.ledger`` is ``ofproto``, ``agent.admin.unixctl`` is ``unixctl``,
    ``drivers.asic.tcam`` is ``asic``; elsewhere it is the top-level package.
    """
    first, *rest = namespace.split(".")
    if first == "agent" and rest and rest[0] == "admin":
        rest = rest[1:]
    if first in ("agent", "drivers") and rest:
        return rest[0]
    # What was logged by the old interface of Twisted has a namespace of its own.
    return "twisted" if first in ("", "log_legacy") else first


def _drivers() -> Iterable[str]:
    """The drivers that are loaded."""
    for name, module in list(sys.modules.items()):
        package, _, driver = name.rpartition(".")
        if package == "drivers" and driver != "testing" and hasattr(module, "__path__"):
            yield driver


class Levels:
    """The levels.

    :ivar unlimited: the modules whose lines are written however often they come.
    """

    def __init__(self, level: Level) -> None:
        self.unlimited: set[str] = set()
        self._default = dict.fromkeys(DESTINATIONS, level)
        self._modules: dict[str, dict[str, Level]] = {}
        for module in MODULES:
            self._know(module)

    def get(self, module: str, destination: str) -> Level:
        """The level of a module, for one destination."""
        levels = self._modules.get(module)
        if levels is None:
            levels = self._know(module)
        return levels[destination]

    def modules(self) -> list[str]:
        """The modules there are, in alphabetical order."""
        for driver in _drivers():
            self._know(driver)
        return sorted(self._modules)

    def find(self, name: str) -> str:
        """A module, whatever the case of its name.

        :raises ValueError: when there is none.
        """
        for module in self.modules():
            if module.lower() == name.lower():
                return module
        raise ValueError(f'no module "{name}"')

    def set(self, spec: str) -> None:
        """Change levels: ``[MODULE[:DESTINATION[:LEVEL]]]``, its words in any order.

        All modules or destinations are meant where none is named, or ANY; the level is DBG where
        there is none.

        :raises ValueError: for a word that means nothing, or two of a kind; nothing changes then.
        """
        module = destination = level = None
        for word in filter(None, _SEPARATORS.split(spec)):
            lower = word.lower()
            if lower == "any":
                continue
            if lower in DESTINATIONS:
                if destination is not None:
                    raise ValueError("cannot specify multiple destinations")
                destination = lower
            elif word.upper() in Level.__members__:
                if level is not None:
                    raise ValueError("cannot specify multiple levels")
                level = Level[word.upper()]
            else:
                try:
                    found = self.find(word)
                except ValueError:
                    raise ValueError(f'no destination, level, or module "{word}"') from None
                if module is not None:
                    raise ValueError("cannot specify multiple modules")
                module = found
        wanted = Level.DBG if level is None else level
        changed = DESTINATIONS if destination is None else (destination,)
        chosen = self._modules.values() if module is None else (self._modules[module],)
        for levels in (self._default, *chosen) if module is None else chosen:
            levels.update(dict.fromkeys(changed, wanted))

    def show(self) -> str:
        """The levels as a table."""
        lines = [
            "                 console    syslog    file",
            "                 -------    ------    ------",
        ]
        for module in self.modules():
            console, syslog, file = (self.get(module, name).name for name in DESTINATIONS)
            line = f"{module:<16}  {console:>4}       {syslog:>4}       {file:>4}"
            if module in self.unlimited:
                line += "    (rate limiting disabled)"
            lines.append(line)
        return "\n".join(lines)

    def _know(self, module: str) -> dict[str, Level]:
        return self._modules.setdefault(module, dict(self._default))
