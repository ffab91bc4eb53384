"""A real reactor that a synchronous test turns by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor

TIMEOUT = 60.0
"""Seconds; the machine may be emulated."""


def make_reactor() -> Any:
    """One that is nobody else's."""
    return SelectReactor()


def turn(reactor: Any, done: Callable[[], object], timeout: float = TIMEOUT) -> bool:
    """Let the reactor run until something is true; returns whether it is."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            return False
        reactor.iterate(0.01)
    return True


def result(reactor: Any, deferred: Deferred[Any], timeout: float = TIMEOUT) -> Any:
    """What a Deferred fires with; raises what it fails with."""
    results: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(results.append, failures.append)
    if not turn(reactor, lambda: results or failures, timeout):
        raise AssertionError("the Deferred has not fired")
    if failures:
        failures[0].raiseException()
    return results[0]
