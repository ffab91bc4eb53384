"""Tests of :mod:`drivers.testing.contract`: that good drivers pass it, and bad ones do not."""

from __future__ import annotations

import time
import unittest
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from agent.openflow.actions import Actions
from agent.openflow.messages import PortDesc, PortStats
from agent.packet.flowkey import flow_key
from drivers.interfaces import (
    Capabilities,
    Entry,
    IOperation,
    OperationKind,
    OptionError,
    TableCapabilities,
)
from drivers.options import Options, restricted
from drivers.plugin import IDriverFactory
from drivers.testing import DriverContractTests, RecallContractTests, ScriptableDriver


class Good(ScriptableDriver):
    """A driver without fault, which does everything at once."""

    def count(self, in_port: int, frame: bytes) -> None:
        """A frame came in: the rule that it hits counts."""
        host: Any = self.host
        key = flow_key(frame, in_port)
        hit = [rule for rule in self.hardware.values() if rule.match.matches(key)]
        for rule in sorted(hit, key=lambda rule: -rule.priority)[:1]:
            rule.counters.packets += 1
            rule.counters.bytes += len(frame)
            rule.counters.used = host.now()


@implementer(IDriverFactory)
class Factory:
    """Makes drivers of one class."""

    name = "scriptable"
    description = "A driver for tests."

    def __init__(self, kind: type[ScriptableDriver]) -> None:
        self.kind = kind

    def create(
        self, options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
    ) -> ScriptableDriver:
        """A driver with the ports and tables it shall have."""
        Options(options).finish()
        return self.kind(
            capabilities=Capabilities(restricted([TableCapabilities(0, "table0", 100)], tables)),
            port_descs=[PortDesc(port.number, 1, port.name) for port in ports],
            counters=[PortStats(port.number) for port in ports],
            instant=True,
        )


class WithFrames(DriverContractTests):
    """The contract, for drivers that can be given frames."""

    def receive(self, driver: Any, in_port: int, frame: bytes) -> None:
        """Let a frame come in."""
        driver.count(in_port, frame)


class GoodTests(WithFrames, RecallContractTests, SynchronousTestCase):
    """A good driver passes."""

    factory = Factory(Good)

    def test_skipped(self) -> None:
        """A driver to which frames cannot be given is not asked for counters."""
        driver, _ = self.started()
        self.assertRaises(unittest.SkipTest, DriverContractTests.receive, self, driver, 1, b"")


class Sleeps(Good):
    """Waits in submit."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Wait, then do it."""
        time.sleep(0)
        super().submit(operations)


class Twice(Good):
    """Completes everything twice."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do it, and say so again."""
        super().submit(operations)
        for operation in operations:
            operation.complete()


class Forgets(Good):
    """Forgets every third operation."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do some."""
        super().submit([o for place, o in enumerate(operations) if place % 3 != 2])


class Lingers(Good):
    """Leaves a timer behind."""

    def stop(self) -> Deferred[None]:
        """Stop, but for a timer."""
        host: Any = self.host
        host.reactor.callLater(10, int)
        return super().stop()


class NeverStops(Good):
    """Never says that it has stopped."""

    def stop(self) -> Deferred[None]:
        """Promise to."""
        super().stop()
        return Deferred()


class NeverReads(Good):
    """Never brings counters up to date."""

    def refresh(self, rules: Sequence[Entry]) -> Deferred[None]:
        """Promise to."""
        return Deferred()


class Strict(Good):
    """Refuses to delete what is not there."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do some."""
        for operation in operations:
            if (
                operation.kind is OperationKind.DELETE
                and operation.rule.handle not in self.hardware
            ):
                operation.complete(ValueError("not there"))
            else:
                super().submit([operation])


class Promises(Good):
    """Says that it has taken back what it goes on with."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do it a little later."""
        host: Any = self.host
        self.instant = False
        super().submit(operations)
        for operation in operations:
            host.reactor.callLater(1, self.finish, operation)

    def recall(self, operations: Sequence[IOperation]) -> list[IOperation]:
        """Say so."""
        return list(operations)


class Ignores(Good):
    """Does not change what a port_mod says."""

    def port_mod(self, port_no: int, config: int, mask: int) -> PortDesc:
        """Change nothing."""
        return super().port_mod(port_no, config, 0)


class Stumbles(Good):
    """Reads what is not there."""

    def packet_out(self, data: bytes, in_port: int, actions: Actions) -> None:
        """Look at the frame."""
        assert data[12:14]


class Miscounts(Good):
    """Has counters for a port that there is not."""

    def port_stats(self) -> Deferred[list[PortStats]]:
        """Of one port too many."""
        return succeed([*self.counters, PortStats(77)])


class Resets(Good):
    """Sets counters to zero."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do it, with counters from zero."""
        for operation in operations:
            operation.rule.counters.packets = 0
        super().submit(operations)


class Hasty(Good):
    """Forwards by what it was asked for, before it is done."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do it, and say so later."""
        host: Any = self.host
        self.instant = False
        super().submit(operations)
        for operation in operations:
            self.hardware[operation.rule.handle] = operation.rule
            host.reactor.callLater(1, self.finish, operation)


class Boasts(Good):
    """Has tables in disorder."""

    def start(self, host: Any) -> None:
        """Forget table 0."""
        self.capabilities = Capabilities((TableCapabilities(3, "x", 1),))
        super().start(host)


class Shouts(Good):
    """Shows facts in capitals."""

    def show(self) -> Mapping[str, object]:
        """In capitals."""
        return {"RULES": 1}


class Accepts(Factory):
    """A factory which takes any option."""

    def create(
        self, options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
    ) -> ScriptableDriver:
        """Whatever the options are."""
        return super().create({}, ports, tables)


class Vague(Factory):
    """A factory whose complaint names nothing."""

    def create(
        self, options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
    ) -> ScriptableDriver:
        """Refuse without a reason."""
        try:
            return super().create(options, ports, tables)
        except OptionError:
            raise OptionError("", None, "") from None


class BadTests(SynchronousTestCase):
    """A bad driver fails the test that is about what is bad in it."""

    def failed(self, factory: Factory) -> set[str]:
        """The names of the tests that a factory's drivers fail."""
        case = type(
            "Case", (WithFrames, RecallContractTests, SynchronousTestCase), {"factory": factory}
        )
        result = unittest.TestResult()
        for name in unittest.TestLoader().getTestCaseNames(case):
            case(name).run(result)
        self.assertGreater(result.testsRun, 20)
        return {case.id().rpartition(".")[2] for case, _ in result.failures + result.errors}

    def test_good(self) -> None:
        """A good one fails nothing."""
        self.assertEqual(self.failed(Factory(Good)), set())

    def test_bad(self) -> None:
        """Each of these fails the test that is meant for it."""
        for factory, test in (
            (Factory(Sleeps), "test_does_not_sleep"),
            (Factory(Twice), "test_each_completed_once"),
            (Factory(Forgets), "test_each_completed_once"),
            (Factory(Lingers), "test_stop"),
            (Factory(NeverStops), "test_stop_in_flight"),
            (Factory(NeverReads), "test_refresh"),
            (Factory(Strict), "test_delete_of_nothing"),
            (Factory(Promises), "test_recall"),
            (Factory(Ignores), "test_port_mod"),
            (Factory(Stumbles), "test_packet_out"),
            (Factory(Miscounts), "test_port_stats"),
            (Factory(Resets), "test_modify_keeps_counters"),
            (Factory(Resets), "test_counters_are_not_reset"),
            (Factory(Resets), "test_final_counters"),
            (Factory(Hasty), "test_counts_only_what_is_confirmed"),
            (Factory(Boasts), "test_capabilities"),
            (Factory(Shouts), "test_show"),
            (Accepts(Good), "test_unknown_option"),
            (Vague(Good), "test_unknown_option"),
        ):
            self.assertIn(test, self.failed(factory), f"{factory.kind.__name__} passes {test}")
