"""A reload: the file is read again, and what it says now becomes so.

It is read, checked and provided for first (:mod:`agent.prepare`); when anything is wrong with it,
nothing changes.  Then no more is changed than has to be.  What a new value of a key asks for, the
key itself declares (:class:`agent.admin.schema.Change`), and :class:`Plan` sorts the bridges by it:

- a bridge that is the same is not touched;
- one of whose keys only such have changed that are *warm* goes on, with its rules, its operations
  in flight and all connections that are still wanted;
- one with a *cold* change is stopped, and another one is started in its place.  Its listening
  sockets stay open, so that who connects meanwhile waits instead of being refused;
- one that is gone is stopped, and a new one is started.

A bridge that is stopped has its connections closed, its operations in flight ended and its rules
deleted, or given up after ``agent.drain`` seconds.  New ones are started when those that go have
gone, for they may need the same ports.

What happened is a value, :class:`Reloaded`, that is logged, counted and told to whoever asked.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

import attrs
from twisted.logger import Logger, LogLevel

from agent.admin import coverage
from agent.admin.changes import Difference, differences
from agent.admin.config import Config
from agent.admin.config_bridge import BridgeConfig
from agent.admin.schema import Change

_log = Logger()

_done = coverage.counter("reload_done")
_refused = coverage.counter("reload_refused")


class Fate(enum.Enum):
    """What became of a bridge in a reload."""

    CHANGED = "changed"  # warm
    RESTARTED = "restarted"  # cold
    ADDED = "added"
    REMOVED = "removed"
    FAILED = "failed"  # it was to be started, and cannot


_counters = {fate: coverage.counter(f"reload_bridge_{fate.value}") for fate in Fate}


@attrs.frozen
class BridgeReloaded:
    """What a reload did to one bridge.

    :ivar differences: the keys that changed; none where the bridge came or went.
    :ivar error: why it could not be started; else empty.
    """

    name: str
    fate: Fate
    differences: tuple[Difference, ...] = ()
    error: str = ""

    @property
    def failure(self) -> str:
        """What :attr:`error` says, for people; empty: it could be started."""
        return f"{self.name}: cannot start: {self.error}" if self.fate is Fate.FAILED else ""

    def lines(self) -> Iterator[str]:
        """What happened, for people."""
        for one in self.differences:
            yield f"{self.name}: {one} ({one.change.value})"
        if self.failure:
            yield self.failure
        elif self.fate is not Fate.CHANGED:
            yield f"{self.name}: {self.fate.value}"


@attrs.frozen
class Reloaded:
    """What a reload did.

    :ivar process: keys that concern no bridge, and changed.
    :ivar bridges: those that did not stay just as they were, by name.
    """

    process: tuple[Difference, ...] = ()
    bridges: tuple[BridgeReloaded, ...] = ()

    def lines(self) -> Iterator[str]:
        """What happened, for people."""
        for one in self.process:
            yield f"{one} ({one.change.value})"
        for bridge in self.bridges:
            yield from bridge.lines()
        if not self.process and not self.bridges:
            yield "nothing has changed"

    def __str__(self) -> str:
        return "\n".join(self.lines())


class Plan:
    """What there is to do.

    :ivar process: keys that concern no bridge, and change.
    :ivar stays: bridges that go on, and what changes of each.
    :ivar goes: bridges that are stopped.
    :ivar comes: bridges that are started.
    """

    def __init__(self, old: Config, new: Config, running: Mapping[str, BridgeConfig]) -> None:
        """:param running: the bridges that run; of those of ``old`` some may have failed to."""
        self.process = tuple(
            one for one in differences(old, new) if not one.key.startswith("bridge[")
        )
        self.stays: dict[str, tuple[Difference, ...]] = {}
        self.goes = [name for name in running if name not in {one.name for one in new.bridges}]
        self.comes: list[str] = []
        self._cold: dict[str, tuple[Difference, ...]] = {}
        for bridge in new.bridges:
            name = bridge.name
            if name not in running:
                self.comes.append(name)
                continue
            found = tuple(differences(running[name], bridge))
            if any(one.change is Change.COLD for one in found):
                self._cold[name] = found
                self.goes.append(name)
                self.comes.append(name)
            else:
                self.stays[name] = found

    def compare_certificates(self, old: str, new: str) -> None:
        """Take note of files of the same names that hold something else: their fingerprints."""
        if old and new and old != new and not any(one.key == "tls" for one in self.process):
            self.process += (Difference("tls", Change.WARM, old, new),)

    def result(self, failed: Mapping[str, str]) -> Reloaded:
        """What has been done.

        :param failed: bridges that could not be started, and why.
        """
        bridges = [
            BridgeReloaded(name, Fate.CHANGED, found) for name, found in self.stays.items() if found
        ]
        bridges += [
            BridgeReloaded(name, Fate.REMOVED) for name in self.goes if name not in self.comes
        ]
        for name in self.comes:
            fate = Fate.RESTARTED if name in self._cold else Fate.ADDED
            if name in failed:
                fate = Fate.FAILED
            bridges.append(
                BridgeReloaded(name, fate, self._cold.get(name, ()), failed.get(name, ""))
            )
        return Reloaded(self.process, tuple(sorted(bridges, key=lambda one: one.name)))


def note(result: Reloaded) -> None:
    """Log and count a reload."""
    _done.count += 1
    for line in Reloaded(result.process).lines() if result.process or not result.bridges else ():
        _log.info("{text}", text=line)
    for bridge in result.bridges:
        _counters[bridge.fate].count += 1
        for line in bridge.lines():
            level = LogLevel.error if line == bridge.failure else LogLevel.info
            _log.emit(level, "{text}", text=line, bridge=bridge.name)


def note_refusal(error: Exception) -> None:
    """Log and count a reload that changed nothing."""
    _refused.count += 1
    _log.error("not reloaded: {error}", error=error)
