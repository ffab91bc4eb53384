"""Tests of :mod:`drivers.software.worker`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

from twisted.python.threadable import ioThread
from twisted.trial.unittest import SynchronousTestCase

from drivers.software.worker import Worker

PATIENCE = 60.0
"""Seconds after which a thread is taken for hung."""


class Turns:
    """A reactor that is told of results, and looks at them when the test says so."""

    def __init__(self) -> None:
        self._calls: Queue[tuple[Callable[..., Any], Any]] = Queue()

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        """See :class:`twisted.internet.interfaces.IReactorFromThreads`."""
        self._calls.put((function, arguments))

    def turn(self) -> None:
        """Wait for a result."""
        function, arguments = self._calls.get(timeout=PATIENCE)
        function(*arguments)


class WorkerTests(SynchronousTestCase):
    """One thread."""

    def setUp(self) -> None:
        """Nothing is to be done."""
        self.reactor = Turns()
        self.worker = Worker(self.reactor)

    def test_calls(self) -> None:
        """Calls are made elsewhere, in order, one at a time; their results are told here."""
        goes_on = threading.Event()
        made: list[int] = []

        def call(number: int) -> tuple[int, int]:
            if not number:
                goes_on.wait(PATIENCE)
            made.append(number)
            return number, threading.get_ident()

        results = [self.worker.call(call, number) for number in range(3)]
        for result in results:
            self.assertNoResult(result)
        self.assertEqual(made, [])
        goes_on.set()
        for _ in results:
            self.reactor.turn()
        told = [self.successResultOf(result) for result in results]
        self.worker.stop()
        self.assertEqual((made, [number for number, _ in told]), ([0, 1, 2], [0, 1, 2]))
        self.assertEqual(len({ident for _, ident in told} - {ioThread, threading.get_ident()}), 1)

    def test_raises(self) -> None:
        """What a call raises is told likewise."""

        def call() -> None:
            raise OSError(1, "no")

        result = self.worker.call(call)
        self.reactor.turn()
        self.failureResultOf(result, OSError)
        self.worker.stop()

    def test_stop(self) -> None:
        """A call that was begun is waited for, and there is no thread afterwards."""
        before = threading.active_count()
        begun, goes_on = threading.Event(), threading.Event()
        made: list[bool] = []

        def call() -> None:
            begun.set()
            made.append(goes_on.wait(PATIENCE))

        self.worker.call(call)
        begun.wait(PATIENCE)
        threading.Timer(0, goes_on.set).start()
        self.worker.stop()
        self.assertEqual(made, [True])
        self.assertLessEqual(threading.active_count(), before + 1)
