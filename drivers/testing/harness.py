"""What the drivers' contract tests stand on: how a driver is made, started and waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest

from agent.openflow.match import Match
from drivers.testing.fakes import FakeEntry, FakeHost, FakeOperation, FakeRule

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _TestCase
else:
    _TestCase = object

T = TypeVar("T")


class ContractHarness(_TestCase):
    """The half of a contract suite that has no tests in it.

    :ivar factory: the factory whose drivers are tested; set by the derived class.
    :ivar options: options which it accepts.
    :ivar port_entries: what ``[[bridge.port]]`` says.
    :ivar table_entries: what ``[[bridge.table]]`` says.
    :ivar bridge: the name of the bridge.
    :ivar patience: seconds of the clock after which an operation should have been completed.
    """

    factory: Any = None
    options: Mapping[str, Any] = {}
    port_entries: Sequence[FakeEntry] = tuple(FakeEntry(f"p{n}", number=n) for n in (1, 2, 3))
    table_entries: Sequence[FakeEntry] = ()
    bridge = "br0"
    patience = 3600.0
    _stopped: tuple[Any, ...] = ()

    # What a derived class may say otherwise.

    def make_reactor(self) -> Any:
        """The reactor that drivers are given."""
        return Clock()

    def settle(self, host: FakeHost, done: Callable[[], bool]) -> None:
        """Let time pass until ``done()`` is true, or nothing more is going to happen.

        This one knows only timers.  Drivers that use descriptors or threads override it.
        """
        clock = host.reactor
        end = clock.seconds() + self.patience
        while not done():
            calls = clock.getDelayedCalls()
            if not calls or min(call.getTime() for call in calls) > end:
                return
            clock.advance(max(0.0, min(call.getTime() for call in calls) - clock.seconds()))

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """Let a frame come in at a port; for drivers where a unit test can do so.

        :raises SkipTest: for others.
        """
        raise SkipTest("frames cannot be given to this driver in a unit test")

    # Help.

    def make(self, **options: Any) -> Any:
        """A driver, not started."""
        return self.factory.create(
            {**self.options, **options}, self.port_entries, self.table_entries
        )

    def started(self, **options: Any) -> tuple[Any, FakeHost]:
        """A driver that was started; it is stopped when the test ends."""
        driver = self.make(**options)
        host = FakeHost(self.bridge, reactor=self.make_reactor())
        driver.start(host)
        self.addCleanup(self.stop, driver, host)
        return driver, host

    def stop(self, driver: Any, host: FakeHost) -> None:
        """Stop a driver, unless it was stopped before, and wait until it has."""
        if driver not in self._stopped:
            self._stopped += (driver,)
            self.wait(host, driver.stop())

    def run_operations(self, driver: Any, host: FakeHost, *operations: FakeOperation) -> None:
        """Submit operations together, and wait until all of them were completed."""
        driver.submit(operations)
        self.settle(host, lambda: all(operation.done for operation in operations))

    def wait(self, host: FakeHost, deferred: Deferred[T]) -> T:
        """The result of something that the driver promised."""
        results: list[T] = []
        deferred.addCallback(results.append)
        self.settle(host, lambda: bool(results))
        self.assertEqual(len(results), 1, "the Deferred has not fired")
        return results[0]

    def rules(self, driver: Any, count: int, **fields: int) -> list[FakeRule]:
        """Rules for the first table, of which no packet hits two; they do nothing.

        :param count: up to 200.
        """
        return [
            FakeRule(Match.of(eth_type=0x0800, ipv4_dst=0x0A000000 + n, **fields), 100)
            for n in range(count)
        ]
