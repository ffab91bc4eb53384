"""Tests of :mod:`drivers.scheduling`."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from drivers import overlaps
from drivers.interfaces import IOperation, OperationKind
from drivers.scheduling import POLICIES, Scheduler
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output

ADD, DELETE = OperationKind.ADD, OperationKind.DELETE
MATCHES = [
    Match(mask, value) for mask in (0, 0b01, 0b10, 0b11) for value in range(4) if not value & ~mask
]
PACKETS = range(4)
State = dict[tuple[Match, int], FakeRule]


@attrs.define
class Model:
    """Hardware for which ascending priorities are said to be cheap, or descending ones; really an
    operation costs the difference to the priority before.

    :ivar last: the priority before.
    :ivar together: whether operations of one kind are written together.
    :ivar free: how many entries there is room for, with all that was taken done.
    :ivar mixed: if not 0, what is said is neither: any order, a different one for each number.
    """

    ascending: bool = True
    free: int = 1_000_000
    together: bool = False
    last: int = 0
    mixed: int = 0

    def rank(self, operation: IOperation) -> int:
        """The priority, unless all is mixed."""
        rule = operation.rule
        priority: int = rule.priority
        if self.mixed:
            return hash((self.mixed, rule.match.mask, rule.match.value, priority)) % 5
        return priority if self.ascending == (operation.kind is ADD) else -priority

    def room(self, table_id: int) -> int:
        """What is said."""
        return self.free

    def trial(self, operations: Iterable[IOperation]) -> Model:
        """Another."""
        return self.copy()

    def copy(self) -> Model:
        """Another."""
        return attrs.evolve(self)

    @property
    def state(self) -> object:
        """The priority before matters."""
        return self.last

    def perform(self, operation: IOperation, arrived: float) -> float:
        """See the class."""
        priority: int = operation.rule.priority
        seconds, self.last = abs(priority - self.last), priority
        return float(seconds)


def met(state: State, packet: int) -> frozenset[FakeRule | None]:
    """What a packet may meet: more than one entry where those of one priority overlap."""
    hits = [rule for rule in state.values() if rule.match.matches(packet)]
    top = max((rule.priority for rule in hits), default=-1)
    return frozenset(rule for rule in hits if rule.priority == top) or frozenset([None])


def done(state: State, operation: FakeOperation) -> State:
    """What is there when an operation was done."""
    after = dict(state)
    key = (operation.rule.match, operation.rule.priority)
    if operation.kind is DELETE:
        after.pop(key, None)
    else:
        after[key] = operation.rule
    return after


@attrs.define
class Agent:
    """Makes operations as the agent would: no two on one entry are in flight together."""

    state: State = attrs.Factory(dict)

    def operation(self, match: Match, priority: int, delete: bool) -> FakeOperation:
        """What an ADD or a DELETE of a rule comes to, and the state after it."""
        there = self.state.get((match, priority))
        if there is None:
            operation = FakeOperation.add(FakeRule(match, priority))
        elif delete:
            operation = FakeOperation.delete(there)
        else:
            operation = FakeOperation.modify(there, output(1))
        self.state = done(self.state, operation)
        return operation


WISHES = st.lists(
    st.tuples(st.sampled_from(MATCHES), st.integers(1, 3), st.booleans(), st.integers(0, 2)),
    max_size=14,
)
"""A match, a priority, whether to delete what is there, and how many to take afterwards."""


def drained(scheduler: Scheduler) -> list[FakeOperation]:
    """Everything that waits, in the order in which it is taken."""
    return [scheduler.pop()[0] for _ in range(len(scheduler))]  # type: ignore[misc]


class OrderTests(SynchronousTestCase):
    """What may be reordered, and what is."""

    def order(self, operations: Iterable[FakeOperation], model: Model | None = None) -> list[int]:
        """The places in which operations that arrive together are taken."""
        operations = list(operations)
        scheduler = Scheduler(model or Model())
        for operation in operations:
            scheduler.push(operation, 0.0)
        return [operations.index(operation) for operation in drained(scheduler)]

    def adds(self, *priorities: int, overlapping: bool = False) -> list[FakeOperation]:
        """Operations that add rules of these priorities."""
        return [
            FakeOperation.add(FakeRule(Match(0xFF << overlapping * 8, 0 if overlapping else n), p))
            for n, p in enumerate(priorities)
        ]

    def test_cheap_direction(self) -> None:
        """What does not overlap is added in the direction that is cheap."""
        self.assertEqual(self.order(self.adds(2, 3, 1)), [2, 0, 1])
        self.assertEqual(self.order(self.adds(2, 3, 1), Model(ascending=False)), [1, 0, 2])

    def test_overlapping(self) -> None:
        """What overlaps is added from the highest down and deleted from the lowest up, whatever
        that costs."""
        adds = self.adds(2, 3, 1, overlapping=True)
        deletes = [FakeOperation.delete(operation.rule) for operation in adds]
        for ascending in (True, False):
            self.assertEqual(self.order(adds, Model(ascending)), [1, 0, 2])
            self.assertEqual(self.order(deletes, Model(ascending)), [2, 0, 1])

    def test_overlapping_later(self) -> None:
        """What has waited once waits again for what came meanwhile."""
        low, mid, high = self.adds(1, 2, 3, overlapping=True)
        scheduler = Scheduler(Model())
        scheduler.push(low, 0.0)
        scheduler.push(mid, 0.0)
        self.assertIs(scheduler.pop()[0], mid)
        scheduler.push(high, 0.0)
        self.assertEqual(drained(scheduler), [high, low])

    def test_replaced(self) -> None:
        """A rule that takes over from another is there before that goes, whichever is higher."""
        for old, new in ((1, 2), (2, 1)):
            delete = FakeOperation.delete(FakeRule(Match(1, 1), old))
            add = FakeOperation.add(FakeRule(Match(2, 2), new))
            self.assertEqual(self.order([delete, add]), [1, 0])

    def test_room_first(self) -> None:
        """What does not overlap is deleted before anything is added."""
        delete = FakeOperation.delete(FakeRule(Match(0xF00, 0x100), 1))
        add = FakeOperation.add(FakeRule(Match(0xF00, 0x200), 1))
        self.assertEqual(self.order([add, delete]), [1, 0])

    def test_equal_priority(self) -> None:
        """Overlapping rules of one priority keep their order, also where one is deleted."""
        low, high = (FakeRule(Match(bit, bit), 5) for bit in (1, 2))
        for operations in (
            [FakeOperation.add(low), FakeOperation.add(high)],
            [FakeOperation.delete(low), FakeOperation.add(high)],
            [FakeOperation.modify(low, ()), FakeOperation.add(high)],
            [FakeOperation.add(low), FakeOperation.delete(high)],
            [FakeOperation.delete(low), FakeOperation.modify(high, ())],
            [FakeOperation.modify(low, ()), FakeOperation.modify(high, ())],
            [FakeOperation.delete(low), FakeOperation.delete(high)],
        ):
            for mixed in range(9):
                self.assertEqual(self.order(operations, Model(mixed=mixed)), [0, 1])

    def test_no_room(self) -> None:
        """Where not everything fits, what is added keeps its place among the others."""
        adds = self.adds(3, 2, 1)
        self.assertEqual(self.order(adds, Model(free=3)), [2, 1, 0])
        self.assertEqual(self.order(adds, Model(free=2)), [1, 0, 2])
        self.assertEqual(self.order(adds, Model(free=0)), [0, 1, 2])

    def test_tables(self) -> None:
        """Nothing overtakes what is about another table."""
        one, two, three = self.adds(3, 2, 1)
        two.rule = attrs.evolve(two.rule, table_id=1)
        self.assertEqual(self.order([one, two, three]), [0, 1, 2])

    def test_not_rules(self) -> None:
        """Nothing overtakes what is about no rule at all, nor is overtaken by it."""
        one, two = self.adds(2, 1)
        other = FakeOperation(ADD, object())
        self.assertEqual(self.order([one, other, two]), [0, 1, 2])

    def test_together(self) -> None:
        """Where operations of one kind are written together they are taken together, and a kind is
        not begun before all of it can be done."""
        adds = self.adds(3, 1)
        free = FakeOperation.delete(FakeRule(Match(0xFF, 9), 7))
        held = FakeOperation.delete(FakeRule(Match(0xFF, 1), 7))  # what it hides comes first
        arrival = [free, held, *adds]
        self.assertEqual(self.order(arrival), [0, 3, 1, 2])
        self.assertEqual(self.order(arrival, Model(together=True)), [3, 2, 0, 1])

    def test_catch_all(self) -> None:
        """What overlaps with everything is added after all that is higher and before all that is
        lower; the rest is still sorted, on either side of it."""
        count = 100
        adds = self.adds(*range(100, 100 + count))
        wide = FakeOperation.add(FakeRule(Match(), 100 + count // 2))
        order = self.order([*adds, wide])
        half = count // 2  # has the priority of the wide one, and came before it
        self.assertEqual(order, [*range(half, count), count, *range(half)])

    def test_many_masks(self) -> None:
        """However many masks there are, only what overlaps waits for another."""
        count = 17 * 17
        adds = []
        for number in range(count):
            lengths = number // 17, number % 17
            source, target = (0xFFFFFFFF << 16 + length & 0xFFFFFFFF for length in lengths)
            match = Match.of(ipv4_src=(0, source), ipv4_dst=(0, target), tcp_dst=80)
            adds.append(FakeOperation.add(FakeRule(match, number)))
        apart = FakeOperation.add(FakeRule(Match.of(tcp_dst=81), count // 2))
        order = self.order([*adds, apart])
        self.assertEqual(order, [count, *reversed(range(count))])

    def test_left_out(self) -> None:
        """What still waits when the next on the same entry arrives is not done any more."""
        scheduler = Scheduler(Model())
        (add,) = self.adds(1)
        delete = FakeOperation.delete(add.rule)
        for first, second in ((add, delete), (delete, add)):
            scheduler.push(first, 0.0)
            scheduler.push(second, 0.0)
            self.assertEqual(len(scheduler), 1)
            self.assertEqual(scheduler.left_out, [first])
            self.assertEqual(drained(scheduler), [second])
            scheduler.left_out = []

    def test_discard(self) -> None:
        """What is not to be done is not, wherever it waits; what it held up is free."""
        for policy in POLICIES:
            for model in (Model(), Model(free=2)):
                scheduler = Scheduler(model, policy)
                wall = FakeOperation.add(FakeRule(Match(), 9))
                adds = [*self.adds(2, 3, 1, 5), wall, *self.adds(4, 6)]
                for operation in adds:
                    scheduler.push(operation, 1.5)
                first, _ = scheduler.pop()
                doomed = [adds[0], adds[1], wall, adds[-1]]
                found = scheduler.discard([*doomed, first])
                self.assertEqual(found, {one for one in doomed if one is not first})
                left = [one for one in adds if one not in found and one is not first]
                self.assertEqual(len(scheduler), len(left), policy)
                self.assertCountEqual(drained(scheduler), left)
                self.assertEqual(scheduler.discard(adds), set())

    def test_policies(self) -> None:
        """Only greedy and optimal reorder; all take everything once."""
        for policy in POLICIES:
            scheduler = Scheduler(Model(), policy)
            adds = self.adds(2, 3, 1)
            for operation in adds:
                scheduler.push(operation, 1.5)
            self.assertEqual(len(scheduler), 3)
            taken = drained(scheduler)
            self.assertCountEqual(taken, adds)
            if policy in ("off", "fifo"):
                self.assertEqual(taken, adds)
            self.assertRaises(IndexError, scheduler.pop)

    def test_clear(self) -> None:
        """Nothing waits any more when all was forgotten."""
        scheduler = Scheduler(Model(free=1))
        for operation in self.adds(1, 2, 3):
            scheduler.push(operation, 0.0)
        scheduler.clear()
        self.assertEqual(len(scheduler), 0)
        self.assertRaises(IndexError, scheduler.pop)


class SafetyTests(SynchronousTestCase):
    """What packets meet meanwhile."""

    @given(
        WISHES,
        st.booleans(),
        st.sampled_from(POLICIES),
        st.sampled_from([0, 1, 2, 64]),
        st.integers(0, 99),
        st.booleans(),
    )
    @settings(max_examples=200)
    def test_any_time(
        self,
        wishes: list[tuple[Match, int, bool, int]],
        ascending: bool,
        policy: str,
        most: int,
        mixed: int,
        full: bool,
    ) -> None:
        """However operations come and are taken, and whatever order is wanted: each is taken once,
        what is there at the end is what is there in the order of arrival, and at each step each
        packet meets what it meets at some step of the order of arrival; those of one priority which
        overlap keep their order.  However few masks are told apart."""
        self.patch(overlaps, "MAX_MASKS", most)
        there = [(match, priority) for match in MATCHES for priority in (1, 2, 3) if full]
        hardware: State = {key: FakeRule(*key) for key in there}
        agent = Agent(hardware)
        model = Model(ascending, together=most % 2 == 0, mixed=mixed)
        scheduler = Scheduler(model, policy)
        waiting: list[FakeOperation] = []
        seen = {packet: met(hardware, packet) for packet in PACKETS}

        def take() -> None:
            nonlocal hardware
            operation = scheduler.pop()[0]
            assert isinstance(operation, FakeOperation)
            rule = operation.rule
            for other in waiting[: waiting.index(operation)]:
                same = other.rule.priority == rule.priority
                self.assertFalse(same and other.rule.match.overlaps(rule.match))
            waiting.remove(operation)
            hardware = done(hardware, operation)
            for packet in PACKETS:
                self.assertLessEqual(met(hardware, packet), seen[packet])

        for match, priority, delete, count in wishes:
            while any(one.rule.match == match and one.rule.priority == priority for one in waiting):
                take()
            operation = agent.operation(match, priority, delete)
            waiting.append(operation)
            scheduler.push(operation, 0.0)
            for packet in PACKETS:
                seen[packet] |= met(agent.state, packet)
            for _ in range(min(count, len(scheduler))):
                take()
        while len(scheduler):
            take()
        self.assertEqual(hardware, agent.state)

    @given(WISHES, WISHES, st.integers(0, 99), st.sampled_from(["greedy", "optimal"]))
    @settings(max_examples=200)
    def test_old_or_new(
        self,
        before: list[tuple[Match, int, bool, int]],
        wishes: list[tuple[Match, int, bool, int]],
        mixed: int,
        policy: str,
    ) -> None:
        """What arrives at once, and has no rule deleted or modified before another of its priority
        that overlaps it is added or modified, changes what a packet meets from the old to the new,
        and nothing else is met meanwhile."""
        agent = Agent()
        for match, priority, delete, _ in before:
            agent.operation(match, priority, delete)
        old = agent.state
        operations: list[FakeOperation] = []
        for match, priority, delete, _ in wishes:
            rules = [operation.rule for operation in operations]
            if not any(r.priority == priority and r.match.overlaps(match) for r in rules):
                operations.append(agent.operation(match, priority, delete))
        scheduler = Scheduler(Model(mixed=mixed), policy)
        for operation in operations:
            scheduler.push(operation, 0.0)
        hardware = old
        for operation in drained(scheduler):
            hardware = done(hardware, operation)
            for packet in PACKETS:
                allowed = met(old, packet) | met(agent.state, packet)
                self.assertLessEqual(met(hardware, packet), allowed)
        self.assertEqual(hardware, agent.state)

    @given(
        st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, 2)), max_size=40),
        st.integers(0, 5),
    )
    def test_room(self, wishes: list[tuple[int, bool, int]], size: int) -> None:
        """With little room, what does not fit in the order of arrival is what does not fit."""
        serial: set[int] = set()
        refused: list[int] = []
        taken: list[int] = []
        hardware: set[int] = set()
        model = Model(free=size)
        scheduler = Scheduler(model)
        waiting: set[int] = set()

        def take() -> None:
            operation = scheduler.pop()[0]
            number = operation.rule.match.value
            waiting.remove(number)
            if operation.kind is DELETE:
                hardware.discard(number)
            elif len(hardware) < size:
                hardware.add(number)
            else:
                taken.append(number)
            model.free = size - len(hardware)

        for number, delete, count in wishes:
            while number in waiting:
                take()
            rule = FakeRule(Match(0xFF, number), number)
            if delete:
                scheduler.push(FakeOperation.delete(rule), 0.0)
                serial.discard(number)
            elif number in serial:
                continue
            else:
                scheduler.push(FakeOperation.add(rule), 0.0)
                if len(serial) < size:
                    serial.add(number)
                else:
                    refused.append(number)
            waiting.add(number)
            for _ in range(min(count, len(scheduler))):
                take()
        while len(scheduler):
            take()
        self.assertEqual((hardware, sorted(taken)), (serial, sorted(refused)))


class StarvationTests(SynchronousTestCase):
    """Nothing waits for ever."""

    @given(
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), st.floats(0, 2)), max_size=60),
        st.integers(1, 6),
        st.sampled_from(["greedy", "optimal"]),
    )
    def test_bound(self, arrivals: list[tuple[int, int, float]], bound: int, policy: str) -> None:
        """Whatever comes, an operation is overtaken by fewer than the bound, and by none which
        arrived more than the bound's seconds later."""
        scheduler = Scheduler(Model(), policy, max_operations=bound, max_seconds=3.0)
        arrived: dict[int, float] = {}
        taken: list[int] = []
        now = 0.0

        def take() -> None:
            operation, at = scheduler.pop()
            number = operation.rule.match.value
            self.assertEqual(at, arrived[number])
            later = [n for n in taken if n > number]
            self.assertLess(len(later), bound)
            self.assertTrue(all(arrived[n] - at <= 3.0 for n in later))
            taken.append(number)

        for number, (priority, count, wait) in enumerate(arrivals):
            now += wait
            arrived[number] = now
            scheduler.push(FakeOperation.add(FakeRule(Match(0xFF, number), priority)), now)
            for _ in range(min(count, len(scheduler))):
                take()
        while len(scheduler):
            take()
        self.assertEqual(sorted(taken), sorted(arrived))

    def test_seconds(self) -> None:
        """What arrives too late overtakes nothing, however cheap it is."""
        for seconds, order in ((3.0, [1, 0]), (3.5, [0, 1])):
            scheduler = Scheduler(Model(), max_seconds=3.0)
            for number, now in enumerate((0.0, seconds)):
                scheduler.push(FakeOperation.add(FakeRule(Match(0xFF, number), 9 - number)), now)
            taken = [operation.rule.match.value for operation in drained(scheduler)]
            self.assertEqual(taken, order)

    def test_steady_stream(self) -> None:
        """What is dearest is done although something cheaper always comes."""
        scheduler = Scheduler(Model(), max_operations=50, max_seconds=1e9)
        dear = FakeOperation.add(FakeRule(Match(0xFFFF, 0), 1000))
        scheduler.push(dear, 0.0)
        for number in range(1, 50):
            scheduler.push(FakeOperation.add(FakeRule(Match(0xFFFF, number), 1)), number)
        taken = [scheduler.pop()[0]]
        for number in range(50, 200):
            scheduler.push(FakeOperation.add(FakeRule(Match(0xFFFF, number), 1)), number)
            taken.append(scheduler.pop()[0])
        self.assertEqual(taken.index(dear), 49)
