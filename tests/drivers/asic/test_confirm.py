"""Tests of :mod:`drivers.asic.probes` and of the option ``confirm``: barriers over hardware that
lies are answered when they are true."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.openflow.match import Match
from drivers.abilities import IProbe
from drivers.asic.driver import AsicDriver, create
from drivers.interfaces import IRule, OptionError
from drivers.probing import ByProbe
from drivers.telling import Untold
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import FakeGroup, output

PROFILE = """
name = "liar"
source = "made up for a test"
kind = "made up"
tables = [{{ id = 0, size = {size} }}, {{ id = 1, size = 10 }}]
packet_in_ms = {way}
{more}
[add]
base_ms = 10
[modify]
base_ms = 20
[delete]
base_ms = 10
[lies]
{lies}
"""

EARLY = "answer_ms = 1"
REORDERING = "answer_ms = 1\nreorder = 16"


class ConfirmCase(SynchronousTestCase):
    """A driver whose hardware lies."""

    def started(
        self,
        lies: str,
        confirm: str = "probe",
        delay: float = 0.4,
        size: int = 1000,
        way: float = 5,
        seed: int = 1,
        more: str = "",
        overlaps: int = 0,
    ) -> tuple[AsicDriver, FakeHost]:
        """The driver, and its host."""
        path = self.mktemp() + ".toml"
        with open(path, "w") as file:
            file.write(PROFILE.format(lies=lies, size=size, way=way, more=more))
        options: dict[str, object] = {"profile": path, "seed": seed, "confirm_overlaps": overlaps}
        options |= {"confirm": confirm, "confirm_delay": delay}
        driver = create(options, [FakeEntry("p1", 1), FakeEntry("p2", 2)], [])
        host = FakeHost(miss_to_controller=False)
        driver.start(host)
        self.addCleanup(driver.stop)
        return driver, host

    def barrier(self, host: FakeHost, operations: list[FakeOperation], limit: float = 30) -> float:
        """Wait for all of them; returns how long it took."""
        clock = host.reactor
        start: float = clock.seconds()
        while not all(operation.done for operation in operations):
            self.assertLess(clock.seconds() - start, limit, "the barrier is never answered")
            clock.advance(max(0.0, clock.calls[0].getTime() - clock.seconds()))
        return float(clock.seconds() - start)


def met(driver: AsicDriver, key: int, table: int = 0) -> IRule | None:
    """The rule that a packet meets now."""
    return driver.hardware.tables[table].rules.lookup(key)


def host_rule(number: int, priority: int = 100, to: int = 2) -> FakeRule:
    """A rule about one address."""
    match = Match.of(eth_type=0x800, ipv4_dst=number)
    return FakeRule(match, priority, instructions=output(to))


class LieTests(ConfirmCase):
    """The same requests, believed and not."""

    def lied(self, lies: str, confirm: str) -> tuple[int, float]:
        """How many of 30 rules no packet meets when the barrier is answered, and when that is."""
        driver, host = self.started(lies, confirm)
        rules = [host_rule(number, 100 + number * 7 % 10) for number in range(30)]
        operations = [FakeOperation.add(rule) for rule in rules]
        for operation in operations:
            driver.submit([operation])
        seconds = self.barrier(host, operations)
        return sum(met(driver, rule.match.value) is not rule for rule in rules), seconds

    def test_lies(self) -> None:
        """Believed, the barrier is answered after a millisecond, when no packet meets any rule;
        after a fixed time that is long enough it is right; seen, it is right as soon as can be."""
        for lies in (EARLY, REORDERING):
            self.assertEqual(self.lied(lies, "driver"), (30, 0.001))
            self.assertEqual(self.lied(lies, "delay")[0], 0)
            count, seconds = self.lied(lies, "probe")
            self.assertEqual(count, 0)
            # 300 ms of writing, a quarter of that, and two ways there and back.
            self.assertGreater(seconds, 0.3)
            self.assertLess(seconds, 0.3 * 1.25 + 0.02)

    def test_too_short(self) -> None:
        """A fixed time that is too short is no better than none."""
        driver, host = self.started(EARLY, "delay", delay=0.1)
        operations = [FakeOperation.add(host_rule(number)) for number in range(30)]
        driver.submit(operations)
        self.barrier(host, operations)
        self.assertIsNone(met(driver, operations[29].rule.match.value))

    def test_honest(self) -> None:
        """Hardware that tells the truth is confirmed by one packet for each rule."""
        driver, host = self.started("")
        operations = [FakeOperation.add(host_rule(number)) for number in range(30)]
        driver.submit(operations)
        self.barrier(host, operations)
        confirmation = driver.confirmation
        assert isinstance(confirmation, ByProbe)
        self.assertEqual((confirmation.sent, confirmation.confirmed), (30, 30))

    def test_refused_silently(self) -> None:
        """A rule for which there was no room, of which nobody was told, is never confirmed."""
        driver, host = self.started(EARLY, size=5)
        operations = [FakeOperation.add(host_rule(number)) for number in range(6)]
        driver.submit(operations)
        host.reactor.pump([0.01] * 200)
        self.assertEqual([operation.succeeded for operation in operations], [True] * 5 + [False])
        self.assertFalse(operations[5].done)

    def test_priorities(self) -> None:
        """Where priorities are ignored, a rule that no packet meets is never confirmed; one that
        packets meet is."""
        driver, host = self.started('priorities = "ignore"')
        low = FakeOperation.add(FakeRule(Match.of(), 1, instructions=output(1)))
        driver.submit([low])
        self.barrier(host, [low])
        high = FakeOperation.add(host_rule(1))
        driver.submit([high])
        host.reactor.pump([0.01] * 500)
        self.assertFalse(high.done)
        driver, host = self.started('priorities = "ignore"', more='free = "top"')
        for operation in (low, high):
            operation.completions.clear()
            driver.submit([operation])
            self.barrier(host, [operation])

    def test_overlaps(self) -> None:
        """Where the newest entry wins, a lower rule takes packets of a higher one.  It is confirmed
        itself, unless a packet is sent for what they share; also if none can tell it, as it should
        be out of sight.  Where it takes nothing, it is confirmed."""
        for overlaps in (0, 8):
            for lower in (FakeRule(Match.of(), 1), host_rule(1, 1, 3)):
                driver, host = self.started(
                    'priorities = "ignore"', more='free = "top"', overlaps=overlaps
                )
                high = host_rule(1)
                for rule in (host_rule(2, 50), high, lower):
                    operation = FakeOperation.add(rule)
                    driver.submit([operation])
                    host.reactor.pump([0.01] * 100)
                    self.assertEqual(operation.succeeded, rule is not lower or not overlaps)
                self.assertIs(met(driver, high.match.value), lower)

    def test_reset(self) -> None:
        """What is lost in a reset while it is looked for is confirmed when it is back."""
        driver, host = self.started(EARLY)
        operations = [FakeOperation.add(host_rule(number)) for number in range(20)]
        host.expected.update({each.rule.handle: each.rule for each in operations})
        driver.submit(operations)
        host.reactor.pump([0.01] * 15)
        driver.inject(["reset"])
        self.barrier(host, operations)
        for operation in operations[10:]:
            self.assertIs(met(driver, operation.rule.match.value), operation.rule)

    def test_later_table(self) -> None:
        """In a later table, by metadata, and of a group: rules and what they name."""
        driver, host = self.started(EARLY, delay=0.05)
        rule = FakeRule(Match.of(metadata=7, eth_type=0x806), table_id=1, instructions=output(2))
        operations = [FakeOperation.add(rule), FakeOperation.add(FakeGroup(1))]
        driver.submit(operations)
        self.barrier(host, operations)
        self.assertIs(met(driver, rule.match.value, 1), rule)
        self.assertEqual(driver.show()["not told by packets"], "no rule: 1")


OPERATIONS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)),
        min_size=1,
        max_size=8,
    ),
    min_size=1,
    max_size=4,
)
"""For each barrier what comes before it: value and length of a prefix, its place among those of its
kind, and what becomes of packets (3: the rule is deleted where it is there)."""


class PropertyTests(ConfirmCase):
    """Whatever is asked."""

    @settings(max_examples=60, deadline=None)
    @given(OPERATIONS, st.sampled_from([EARLY, REORDERING]), st.sampled_from([0, 3, 30]))
    def test_barrier(
        self, batches: list[list[tuple[int, int, int, int]]], lies: str, way: float
    ) -> None:
        """When the barrier is answered, every packet meets what the flow table says, or something
        that does the same; although nothing is waited where packets cannot tell, unless it was
        counted that they could not."""
        driver, host = self.started(lies, delay=0, way=way, seed=len(batches))
        confirmation = driver.confirmation
        assert isinstance(confirmation, ByProbe)
        wanted: dict[tuple[Match, int], FakeRule] = {}
        for batch in batches:
            operations = {}
            for value, bits, place, action in batch:
                mask = 7 << 3 - bits & 7
                match = Match.of(eth_type=0x800, ipv4_dst=(value & mask, mask | 0xFFFFFFF8))
                # Longer prefixes have higher priorities, but for the last place of each.
                priority = 4 * (bits if place < 3 else 1) + place + (10 if place == 3 else 0)
                old = wanted.get((match, priority))
                if (match, priority) in operations:
                    continue
                if old is None:
                    operation = FakeOperation.add(
                        FakeRule(match, priority, instructions=output(action + bits))
                    )
                elif action == 3:
                    operation = FakeOperation.delete(old)
                    del wanted[match, priority]
                else:
                    operation = FakeOperation.modify(old, output(action + bits))
                operations[match, priority] = operation
                if action != 3 or old is None:
                    wanted[match, priority] = operation.rule
            asked = list(operations.values())
            for operation in asked[: len(asked) // 2]:
                driver.submit([operation])
            driver.submit(asked[len(asked) // 2 :])
            self.barrier(host, asked)
            reasons = {reason for reason, count in confirmation.untold.items() if count}
            if reasons - {Untold.SHADOWED.value, Untold.SAME.value}:
                return
            for number in range(8):
                key = Match.of(eth_type=0x800, ipv4_dst=number).value
                found = met(driver, key)
                hit = [rule for rule in wanted.values() if rule.match.matches(key)]
                top = max((rule.priority for rule in hit), default=0)
                right = [rule.instructions for rule in hit if rule.priority == top]
                if found is None:
                    self.assertEqual(right, [])
                else:
                    self.assertIn(found.instructions, right)


class OptionTests(ConfirmCase):
    """The options."""

    def test_provides(self) -> None:
        """The driver can be probed, whatever it is confirmed by."""
        driver, _ = self.started(EARLY, "driver")
        verifyObject(IProbe, driver)
        self.assertNotIn("confirm", driver.show())

    def test_wrong(self) -> None:
        """What is wrong is named."""
        for options, key in (
            ({"confirm": "hope"}, "confirm"),
            ({"confirm_delay": -1}, "confirm_delay"),
            ({"confirm_overlaps": True}, "confirm_overlaps"),
        ):
            error = self.assertRaises(OptionError, create, options, [], [])
            self.assertEqual(error.key, key)

    def test_stop(self) -> None:
        """When the power goes nothing stays behind, neither timers nor packets."""
        driver, host = self.started(EARLY, way=100)
        driver.submit([FakeOperation.add(host_rule(number)) for number in range(20)])
        host.reactor.pump([0.01] * 5)
        driver.stop()
        self.assertEqual(host.reactor.calls, [])
