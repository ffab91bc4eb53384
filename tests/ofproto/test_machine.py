"""Tests of the switch as a whole: whatever happens, in whatever order, all is as it must be.

What may happen is in :mod:`tests.ofproto.world`, what must be in :mod:`tests.ofproto.oracle`.

``OFAGENT_SEQUENCES`` says how many scenarios are made at random (1,000 unless it is set, a million
with ``make fuzz``), and ``OFAGENT_FIRST`` the number of the first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any, Final

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.admission import Admission
from agent.ofproto.bundles import BundleGroup
from agent.ofproto.conditions import Condition
from agent.ofproto.expiry import Expiry
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.operations import StagedGroup
from agent.ofproto.table import FlowTable
from agent.openflow.messages import ALL_TABLES
from tests.ofproto import scenario
from tests.ofproto.model import Order
from tests.ofproto.oracle import PATTERNS
from tests.ofproto.scenario import random_steps, run, shorten, written
from tests.ofproto.world import World

FUZZING: Final = os.environ.get("OFAGENT_TEST_PROFILE") == "fuzz"
SEQUENCES: Final = int(os.environ.get("OFAGENT_SEQUENCES") or (1_000_000 if FUZZING else 1_000))
FIRST: Final = int(os.environ.get("OFAGENT_FIRST") or 0)
LENGTH: Final = 40
"""Steps of a scenario that is made at random."""

FEW: Final = st.integers(0, 3)
ORDERS: Final = st.builds(
    Order,
    command=st.sampled_from(sorted(set(scenario.COMMANDS))),
    pattern=st.sampled_from(PATTERNS),
    priority=st.sampled_from((1, 2)),
    table=st.sampled_from((0, 1, ALL_TABLES)),
    outputs=st.sampled_from(scenario.OUTPUTS),
    cookie=st.sampled_from(scenario.COOKIES),
    cookie_mask=st.sampled_from((0, 3)),
    idle=st.sampled_from((0, 2, 5)),
    hard=st.sampled_from((0, 3, 6)),
    flags=st.sampled_from(sorted(set(scenario.FLAGS))),
    out_port=st.sampled_from((0xFFFFFFFF, 1)),
)
WRONG: Final = st.builds(
    lambda order, wrong: attrs.evolve(order, **wrong), ORDERS, st.sampled_from(scenario.WRONG)
)


class SwitchMachine(RuleBasedStateMachine):
    """Hypothesis decides what happens; it looks for the shortest scenario that ends badly."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def in_flight(self) -> bool:
        """Whether the driver has anything to end."""
        return bool(self.world.driver.in_flight) and not self.world.driver.clogged

    @rule(which=FEW, order=ORDERS)
    def order(self, which: int, order: Order) -> None:
        """A FLOW_MOD arrives."""
        self.world.step("order", which, order)

    @rule(which=FEW, orders=st.lists(ORDERS, min_size=2, max_size=4))
    def orders(self, which: int, orders: list[Order]) -> None:
        """Several arrive together, with a barrier behind them."""
        for order in orders:
            self.world.step("order", which, order)
        self.world.step("barrier", which)

    @rule(which=FEW, orders=st.lists(ORDERS, min_size=1, max_size=4))
    def bundled(self, which: int, orders: list[Order]) -> None:
        """Several arrive in a bundle."""
        self.world.step("bundle", which, orders)

    @rule(which=FEW, order=WRONG)
    def wrong_order(self, which: int, order: Order) -> None:
        """One arrives with which something is wrong."""
        self.world.step("order", which, order)

    @rule(which=FEW, name=st.sampled_from(("barrier", "statistics", "disconnect")))
    def session(self, which: int, name: str) -> None:
        """Something else happens to a session."""
        self.world.step(name, which)

    @rule()
    def turn(self) -> None:
        """What is due happens."""
        self.world.step("turn")

    @rule(seconds=st.sampled_from(scenario.SECONDS))
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.world.step("advance", seconds)

    @precondition(in_flight)
    @rule(which=FEW, name=st.sampled_from(("finish", "finish", "duplicate", "contradict")))
    def end(self, which: int, name: str) -> None:
        """The driver ends an operation, and what waited for it goes on."""
        self.world.step(name, which)
        self.world.step("turn")

    @precondition(in_flight)
    @rule(which=FEW, name=st.sampled_from(("fail", "fail", "lose")), how=st.booleans())
    def end_badly(self, which: int, name: str, how: bool) -> None:
        """The driver cannot do an operation, or never says so."""
        self.world.step(name, which, how)
        self.world.step("turn")

    @precondition(lambda self: self.world.driver.lost)
    @rule(which=FEW)
    def remember(self, which: int) -> None:
        """The driver ends an operation after all."""
        self.world.step("remember", which)

    @rule(name=st.sampled_from(("hold_reads", "clog", "instant")), how=st.booleans())
    def driver(self, name: str, how: bool) -> None:
        """The driver changes its ways."""
        self.world.step(name, how)

    @rule(which=FEW)
    def hit(self, which: int) -> None:
        """A packet comes."""
        self.world.step("hit", which)

    @rule()
    def flush(self) -> None:
        """Everything is to go."""
        self.world.step("flush")

    def teardown(self) -> None:
        """All comes to an end; now and then the bridge goes before."""
        if len(self.world.steps) % 4:
            self.world.settle()
        self.world.stop()


class SwitchTests(SynchronousTestCase):
    """Whatever happens, in whatever order, all is as it must be."""

    def test_machine(self) -> None:
        """Hypothesis finds no scenario that ends badly."""
        chosen = settings() if FUZZING else settings(max_examples=300, derandomize=True)
        run_state_machine_as_test(SwitchMachine, settings=settings(chosen, stateful_step_count=30))

    def test_random(self) -> None:
        """No scenario made at random ends badly; if one does, here is how to replay it."""
        for number in range(FIRST, FIRST + SEQUENCES):
            steps = random_steps(Random(number), LENGTH)
            settle = number % 4 != 0
            try:
                run(steps, settle)
            except Exception as error:
                shortest = written(shorten(steps, settle))
                raise AssertionError(
                    f"scenario {number} ends badly ({error}); so does\n{shortest}"
                ) from error


class EyeTests(SynchronousTestCase):
    """These tests can fail: what is broken on purpose is seen."""

    def assert_seen(self, owner: type, name: str, broken: Callable[..., Any]) -> None:
        """One of not too many scenarios ends badly when a method is another."""
        self.patch(owner, name, broken)
        for number in range(500):
            try:
                run(random_steps(Random(number), LENGTH))
            except Exception:
                return
        self.fail(f"{owner.__name__}.{name} may do anything")

    def test_rollback(self) -> None:
        """A table that is not put back."""
        self.assert_seen(FlowTable, "revert", lambda table, operation: None)

    def test_wake(self) -> None:
        """Waiters that are not woken."""
        self.assert_seen(Condition, "clear", lambda condition: None)

    def test_cap(self) -> None:
        """A cap that nobody keeps."""
        self.assert_seen(Admission, "admit", lambda admission, requester: None)

    def test_promise(self) -> None:
        """A place that is not given back."""
        self.assert_seen(Admission, "forgo", lambda admission, requester: None)

    def test_waiting(self) -> None:
        """A selection that ignores what is in flight."""
        self.assert_seen(FlowTable, "blocking", lambda table, criteria: None)

    def test_late(self) -> None:
        """A completion that comes twice and is believed twice."""

        def believed(ledger: OperationLedger, operation: Any, error: Any) -> None:
            operation.group.remaining -= 1
            if not operation.group.remaining:
                ledger._settle(operation.group)

        self.assert_seen(OperationLedger, "completed", believed)

    def test_bundle(self) -> None:
        """A bundle of which a part stays."""

        def begin(group: Any, ledger: Any, owner: Any, xid: int, stages: Any) -> None:
            StagedGroup.__init__(group, ledger, owner, xid, stages, atomic=False)
            group.culprit = None

        self.assert_seen(BundleGroup, "__init__", begin)

    def test_expiry(self) -> None:
        """Rules that do not expire."""
        self.assert_seen(Expiry, "watch", lambda expiry, rule: None)
