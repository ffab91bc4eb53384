"""Tests of :mod:`drivers.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers.batches import Batches, EvenCosts
from drivers.interfaces import IOperation
from drivers.testing.fakes import FakeOperation, FakeRule

LIMIT = 8


class BatchesTests(SynchronousTestCase):
    """Hardware that does nothing by itself."""

    def setUp(self) -> None:
        """Nothing is on its way."""
        self.asked: list[list[Any]] = []

    def make(self, policy: str = "fifo", room: int = 1000) -> Batches:
        """What is tested."""
        return Batches(policy, EvenCosts(lambda _: room), self.hand_over, lambda: 0.0, LIMIT)

    def hand_over(self, operations: Sequence[IOperation]) -> None:
        """The hardware is asked."""
        self.asked.append(list(operations))

    def add(self, *priorities: int) -> list[FakeOperation]:
        """Rules that all overlap."""
        return [FakeOperation.add(FakeRule(Match.of(in_port=1), one)) for one in priorities]

    def priorities(self) -> list[list[int]]:
        """What the hardware was asked, batch by batch."""
        return [[operation.rule.priority for operation in batch] for batch in self.asked]

    def test_limit(self) -> None:
        """So many are on their way; the next go when a quarter has ended, all at once."""
        batches = self.make()
        operations = self.add(*range(20))
        batches.submit(operations)
        self.assertEqual(self.priorities(), [list(range(8))])
        self.assertEqual((len(batches), batches.under_way), (12, 8))
        for asked in self.asked[0][:2]:
            batches.end(asked)
        self.assertEqual(len(self.asked), 1)
        batches.end(self.asked[0][2])
        self.assertEqual(self.priorities()[1:], [[8, 9, 10]])
        self.assertEqual([len(one.completions) for one in operations[:4]], [1, 1, 1, 0])

    def test_errors(self) -> None:
        """What the hardware refuses is refused."""
        (operation,) = self.add(1)
        batches = self.make()
        batches.submit([operation])
        error = ValueError("no")
        batches.end(self.asked[0][0], error)
        self.assertEqual(operation.completions, [error])

    def test_at_once(self) -> None:
        """Hardware that completes at once is asked for all of it, without an end of the stack."""
        operations = self.add(*range(5000))
        done = []

        def hand_over(batch: Sequence[IOperation]) -> None:
            for operation in batch:
                done.append(operation.rule.priority)
                batches.end(operation)

        batches = Batches("fifo", EvenCosts(lambda _: 0), hand_over, lambda: 0.0, LIMIT)
        batches.submit(operations)
        self.assertEqual(done, list(range(5000)))
        self.assertEqual({len(one.completions) for one in operations}, {1})

    def test_greedy(self) -> None:
        """Of those that wait, the highest rules are added first; where a table may be full, the
        order is that of arrival."""
        for room, order in ((1000, [3, 2, 1]), (0, [1, 3, 2])):
            self.asked = []
            batches = self.make("greedy", room)
            batches.submit(self.add(*range(100, 100 + LIMIT)))
            batches.submit(self.add(1, 3, 2))
            for asked in list(self.asked[0]):
                batches.end(asked)
            after = [one for batch in self.priorities()[1:] for one in batch]
            self.assertEqual(after, order)

    def test_recall(self) -> None:
        """What waits is taken back and never asked; what is on its way is not taken back."""
        batches = self.make()
        operations = self.add(*range(10))
        batches.submit(operations)
        self.assertEqual(batches.recall(operations[6:]), set(operations[8:]))
        for asked in list(self.asked[0]):
            batches.end(asked)
        self.assertEqual(len(self.asked), 1)
        self.assertEqual([len(one.completions) for one in operations], [1] * 8 + [0] * 2)

    def test_left_out(self) -> None:
        """An operation that still waits when the next on its entry comes is refused."""
        batches = self.make("greedy")
        batches.submit(self.add(*range(100, 100 + LIMIT)))
        rule = FakeRule(Match.of(in_port=1), 1)
        first, second = FakeOperation.add(rule), FakeOperation.delete(rule)
        batches.submit([first, second])
        for asked in list(self.asked[0]):
            batches.end(asked)
        (error,) = first.completions
        self.assertIn("a later one took its place", str(error))
        self.assertEqual([one.kind for one in self.asked[-1]], [second.kind])

    def test_clear(self) -> None:
        """At the end nothing more is asked."""
        batches = self.make()
        batches.submit(self.add(*range(10)))
        batches.clear()
        for asked in list(self.asked[0]):
            batches.end(asked)
        self.assertEqual(len(self.asked), 1)

    @given(
        st.sampled_from(["fifo", "greedy"]),
        st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60),
        st.integers(0, 1000),
    )
    def test_all_end(self, policy: str, wanted: list[tuple[bool, int]], seed: int) -> None:
        """However the hardware goes about it, each operation ends once, and never are there more
        on their way than there may be."""
        self.asked = []
        batches = self.make(policy)
        random = Random(seed)
        operations = []
        rules: dict[int, FakeRule] = {}
        for _, number in wanted:
            gone = rules.pop(number, None)
            if gone is not None:
                operations.append(FakeOperation.delete(gone))
            else:
                rules[number] = FakeRule(Match.of(in_port=number % 3), number)
                operations.append(FakeOperation.add(rules[number]))
        waiting = list(operations)
        while waiting or batches.under_way:
            if waiting and random.random() < 0.5:
                batches.submit([waiting.pop(0)])
            elif batches.under_way:
                given = [one for batch in self.asked for one in batch]
                batches.end(random.choice([one for one in given if not one.done]))
            self.assertLessEqual(batches.under_way, LIMIT)
        asked = [one for batch in self.asked for one in batch]
        self.assertEqual(len(asked), len({id(one) for one in asked}))
        self.assertEqual({len(one.completions) for one in operations} - {1}, set())
