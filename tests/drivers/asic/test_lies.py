"""Tests of :mod:`drivers.asic.lies`: what the chip says, and what packets meet."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.asic.driver import AsicDriver, create
from drivers.asic.lies import Lies
from drivers.asic.profile import load
from drivers.interfaces import IRule, OptionError
from drivers.options import Options
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import output

KEY = Match.of(in_port=1).value
"""The flow key of a packet that comes in at port 1."""

PROFILE = """
name = "liar"
source = "made up for a test"
kind = "made up"
tables = [{{ id = 0, size = {size} }}]
free = "{free}"
[add]
base_ms = 1000
[modify]
base_ms = 1000
[delete]
base_ms = 1000
[lies]
{lies}
"""


class LiesCase(SynchronousTestCase):
    """A driver whose hardware takes a second for anything, and lies."""

    def started(
        self, lies: str, policy: str = "fifo", size: int = 100, free: str = "bottom", seed: int = 1
    ) -> tuple[AsicDriver, FakeHost]:
        """The driver, and its host."""
        path = self.mktemp() + ".toml"
        with open(path, "w") as file:
            file.write(PROFILE.format(lies=lies, size=size, free=free))
        options = {"profile": path, "scheduler": policy, "seed": seed}
        driver = create(options, [FakeEntry("p1", 1)], [])
        host = FakeHost(miss_to_controller=False)
        driver.start(host)
        return driver, host

    def met(self, driver: AsicDriver) -> IRule | None:
        """The rule that a packet from port 1 meets now."""
        return driver.hardware.tables[0].rules.lookup(KEY)


class EarlyTests(LiesCase):
    """Answers that come too early."""

    def test_early(self) -> None:
        """An operation is confirmed at its time; packets meet the entry when it is there."""
        driver, host = self.started("answer_ms = 250")
        rule = FakeRule(Match.of(in_port=1))
        add = FakeOperation.add(rule)
        driver.submit([add])
        host.reactor.advance(0.25)
        self.assertTrue(add.succeeded)
        host.reactor.advance(0.5)
        self.assertIsNone(self.met(driver))
        host.reactor.advance(0.25)
        self.assertIs(self.met(driver), rule)
        self.assertEqual((add.completions, driver.show()["confirmed early"]), ([None], 1))

    def test_done_before(self) -> None:
        """What is done before its answer is due is answered then, once."""
        driver, host = self.started("answer_ms = 5000")
        add = FakeOperation.add(FakeRule(Match.of(in_port=1)))
        driver.submit([add])
        host.reactor.advance(1)
        self.assertTrue(add.succeeded)
        host.reactor.advance(10)
        self.assertEqual((add.completions, driver.show()["confirmed early"]), ([None], 0))

    def test_untold(self) -> None:
        """That there was no room nobody is told any more."""
        driver, host = self.started("answer_ms = 250", size=1)
        adds = [FakeOperation.add(FakeRule(Match.of(in_port=n))) for n in (1, 2)]
        driver.submit(adds)
        host.reactor.pump([0.25, 0.75, 1.0])
        self.assertTrue(adds[0].succeeded and adds[1].succeeded)
        self.assertEqual((driver.hardware.tables[0].used, driver.show()["refused"]), (1, 1))

    def test_next_on_the_same(self) -> None:
        """Since the agent believes it, the next operation on an entry can come before the entry;
        in the end it is as it shall be, and each was confirmed once."""
        for policy in ("off", "fifo", "greedy"):
            driver, host = self.started("answer_ms = 0", policy)
            blocker = FakeOperation.add(FakeRule(Match.of(in_port=9)))
            add = FakeOperation.add(FakeRule(Match.of(in_port=1)))
            modify = FakeOperation.modify(add.rule, output(2))
            gone = FakeOperation.add(FakeRule(Match.of(in_port=2)))
            delete = FakeOperation.delete(gone.rule)
            for operation in (blocker, add, gone, modify, delete):
                driver.submit([operation])
                host.reactor.advance(0)
                self.assertTrue(operation.succeeded)
            host.reactor.pump([1.0] * 5)
            self.assertIs(self.met(driver), modify.rule)
            self.assertEqual(len(driver.hardware.tables[0].rules), 2)
            self.assertEqual(modify.completions + delete.completions, [None, None])

    def test_taken_back(self) -> None:
        """What was taken back is not confirmed."""
        driver, host = self.started("answer_ms = 250")
        adds = [FakeOperation.add(FakeRule(Match.of(in_port=n))) for n in (1, 2)]
        driver.submit(adds)
        self.assertEqual(driver.recall([adds[1]]), {adds[1]})
        host.reactor.advance(5)
        self.assertEqual((adds[0].done, adds[1].done), (True, False))

    def test_reset(self) -> None:
        """What was confirmed and not there yet is put back after a reset."""
        driver, host = self.started("answer_ms = 250")
        rule = FakeRule(Match.of(in_port=1))
        host.expected[rule.handle] = rule
        driver.submit([FakeOperation.add(rule)])
        host.reactor.advance(0.5)
        driver.inject(["reset"])
        self.assertEqual(list(host.degraded_rules), [rule.handle])
        host.reactor.advance(1)
        self.assertIs(self.met(driver), rule)
        self.assertEqual(host.degraded_rules, {})


class ReorderingTests(LiesCase):
    """Operations in an order that nobody asked for."""

    def test_across_barriers(self) -> None:
        """A rule that was asked for after others were confirmed can be there before them, so that
        packets meet a lower rule first; the same seed gives the same order."""
        orders = set()
        for seed in (1, 1, 2, 3, 4):
            driver, host = self.started("answer_ms = 0\nreorder = 4", seed=seed)
            order = []
            driver.submit([FakeOperation.add(FakeRule(Match.of(in_port=9)))])
            for priority in (40, 30, 20, 10):
                add = FakeOperation.add(FakeRule(Match.of(in_port=1), priority))
                driver.submit([add])
                host.reactor.advance(0)
                self.assertTrue(add.succeeded)
            host.reactor.advance(1)
            for _ in range(4):
                host.reactor.advance(1)
                met = self.met(driver)
                assert met is not None
                order.append(met.priority)
            self.assertEqual(order[-1], 40)
            orders.add((seed, tuple(order)))
        self.assertEqual(len(orders), 4)
        self.assertIn(True, {order != (40, 40, 40, 40) for _, order in orders})

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=20),
        st.sampled_from(["fifo", "greedy"]),
        st.integers(0, 9),
    )
    def test_one_entry(self, steps: list[tuple[int, bool]], policy: str, seed: int) -> None:
        """What is about one entry keeps its order, so that in the end all is as it was asked."""
        driver, host = self.started("answer_ms = 0\nreorder = 8", policy, seed=seed)
        wanted: dict[int, FakeRule] = {}
        for number, (port, delete) in enumerate(steps):
            old = wanted.get(port)
            if old is None:
                operation = FakeOperation.add(FakeRule(Match.of(in_port=port)))
            elif delete:
                operation = FakeOperation.delete(wanted.pop(port))
            else:
                operation = FakeOperation.modify(old, output(number))
            if not (old is not None and delete):
                wanted[port] = operation.rule
            driver.submit([operation])
            host.reactor.advance(0)
            self.assertTrue(operation.succeeded)
        host.reactor.pump([1.0] * 21)
        there = {rule.match: rule for rule in driver.hardware.tables[0].rules}
        self.assertEqual(there, {rule.match: rule for rule in wanted.values()})


class FlatTests(LiesCase):
    """Priorities that are ignored."""

    def test_place(self) -> None:
        """Packets meet the oldest entry where free room lies at the bottom, and the newest where it
        lies at the top; also when masks differ, and when one goes, whose place another takes."""
        for free, order in (("bottom", (10, 20, 30)), ("top", (20, 30, 10))):
            for policy in ("fifo", "greedy"):
                driver, host = self.started('priorities = "ignore"', policy, free=free)
                rules = {
                    10: FakeRule(Match.of(in_port=1), 10),
                    30: FakeRule(Match.of(), 30),
                    20: FakeRule(Match.of(in_port=1), 20),
                }
                for rule in rules.values():
                    driver.submit([FakeOperation.add(rule)])
                    host.reactor.advance(1)
                for priority in order:
                    self.assertIs(self.met(driver), rules[priority])
                    driver.submit([FakeOperation.delete(rules[priority])])
                    host.reactor.advance(1)
                self.assertIsNone(self.met(driver))

    def test_no_moves(self) -> None:
        """As nothing needs an order, nothing moves for an entry, and the model knows it."""
        driver, host = self.started('priorities = "ignore"', "greedy")
        driver.submit(
            [FakeOperation.add(FakeRule(Match.of(in_port=n), n * 7 % 10)) for n in range(10)]
        )
        host.reactor.advance(10)
        self.assertEqual((driver.show()["moves"], driver.show()["waiting"]), (0, 0))
        self.assertEqual(len(driver.memory_map()[0].places), 10)


class LiesOptionsTests(SynchronousTestCase):
    """Which lies a profile can have."""

    def test_profiles(self) -> None:
        """Each lie is told by a profile of ours, which says where it was seen."""
        for name, lies in (
            ("early", Lies(0.001)),
            ("reordering", Lies(0.001, 16)),
            ("flat", Lies(flat=True)),
            ("quanta", Lies()),
        ):
            self.assertEqual(load(name).lies, lies)

    def test_wrong(self) -> None:
        """What is wrong is named."""
        for table, key in (
            ({"answer_ms": -1}, "lies.answer_ms"),
            ({"answer_ms": True}, "lies.answer_ms"),
            ({"reorder": 0}, "lies.reorder"),
            ({"priorities": "invert"}, "lies.priorities"),
            ({"truth": 1}, "lies.truth"),
        ):
            error = self.assertRaises(OptionError, Lies.read, Options(table, "lies."))
            self.assertEqual(error.key, key)
