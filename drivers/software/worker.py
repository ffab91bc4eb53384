"""Calls that take long, made beside the reactor.

What a system call does to hardware can take longer than a reactor should stand still, and there is
no other form of it.  So it is made in a thread, in which nothing else is done: whatever belongs to
the call is ready before it, and what comes of it is looked at in the reactor.  While a thread is in
the system it does not hold the interpreter, so on a machine with several processors the reactor
goes on at full speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Worker:
    """One thread, which is begun with the first call."""

    def __init__(self, reactor: Any) -> None:
        """:param reactor: in which results are looked at."""
        self._reactor = reactor
        self._pool = ThreadPool(0, 1, "ofagent")
        self._pool.start()

    def call(self, function: Callable[..., T], *arguments: object) -> Deferred[T]:
        """Make a call after those before it.

        :return: fires in the reactor, with what it returns or raises.
        """
        done: Deferred[T] = deferToThreadPool(self._reactor, self._pool, function, *arguments)
        return done

    def stop(self) -> None:
        """End, when the calls that were begun have; what they return may not be told any more."""
        self._pool.stop()
