"""That the kernel has what the flow table has in the end, whatever goes wrong on the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.leftovers import LeftRules
from agent.openflow.actions import GotoTable
from agent.openflow.match import Match
from drivers.interfaces import OperationKind
from drivers.software import system
from drivers.tcflower import pack
from drivers.tcflower.actions import OK, Gact
from drivers.testing import FakeOperation, FakeRule
from drivers.testing.fakes import output
from drivers.testing.harness import ContractHarness
from tests.drivers.tcflower.kernel import FakeTcKernel
from tests.drivers.tcflower.test_check import CheckHarness
from tests.drivers.tcflower.test_left import LeftOperation

MATCHES = (
    Match.of(),
    Match.of(in_port=1),
    Match.of(vlan_vid=0x1005, in_port=1),
    Match.of(vlan_vid=(0x1000, 0x1000), eth_type=0x800),
    *(Match.of(eth_type=0x800, ipv4_dst=n) for n in range(6)),
)
DOES: tuple[Any, ...] = (output(1), output(2), (), (GotoTable(3),))
PLACES = st.tuples(
    st.sampled_from((0, 3)), st.sampled_from((1, 9, 40000)), st.sampled_from(MATCHES)
)
ERRNOS = (errno.ENOMEM, errno.EINVAL, errno.EEXIST, errno.EBUSY)

EXAMPLES = (
    settings() if os.environ.get("OFAGENT_TEST_PROFILE") == "fuzz" else settings(max_examples=40)
)

OTHERS = st.one_of(
    st.tuples(st.just("flush"), st.sampled_from((0, 3, 256, 512, 1024)), st.booleans()),
    st.tuples(st.just("unbind"), st.sampled_from((1, 2)), st.none()),
    st.tuples(st.just("vanish"), st.sampled_from((1, 2)), st.booleans()),
    st.tuples(st.just("appear"), st.sampled_from((1, 2)), st.none()),
)
"""What others do to the block, also between two requests."""
steps = st.one_of(
    st.tuples(st.just("set"), PLACES, st.sampled_from(DOES)),
    st.tuples(st.just("set"), PLACES, st.sampled_from(DOES)),
    st.tuples(st.just("delete"), PLACES, st.none()),
    st.tuples(st.just("refuse"), st.lists(st.integers(0, 12), max_size=3), st.sampled_from(ERRNOS)),
    st.tuples(st.just("room"), st.integers(1, 8), st.none()),
    st.tuples(st.just("slow"), st.sampled_from((0.0, 0.001, 0.01)), st.none()),
    st.tuples(st.just("take"), st.integers(0, 40), st.booleans()),
    st.tuples(st.just("change"), st.integers(0, 40), st.booleans()),
    OTHERS,
    st.tuples(st.just("meanwhile"), st.integers(0, 12), OTHERS),
    st.tuples(st.just("turn"), st.integers(1, 4), st.booleans()),
    st.tuples(st.just("settle"), st.none(), st.none()),
    st.tuples(st.just("kill"), OTHERS | st.none(), st.none()),
)


class FaultTests(CheckHarness, SynchronousTestCase):
    """Operations and faults at random."""

    def begin(self) -> None:
        """Have a kernel with nothing in it, and a driver."""
        self.reactor = MemoryReactorClock()
        self.kernel = FakeTcKernel()
        for name in ("eth1", "eth2"):
            self.kernel.add(name)
        self.patch(system, "SYSTEM", self.kernel)
        self.rules_there: dict[Any, FakeRule] = {}
        self.waiting: dict[Any, FakeOperation] = {}
        self.restart()

    def restart(self) -> None:
        """A driver in the place of another."""
        self.driver, self.host = ContractHarness.started(self, keep_rules=True, adopt_seconds=1)
        self.host.expected.clear()

    def settle_all(self) -> None:
        """Let all be done that is going on, and the guard find what there is to be found."""
        for _ in range(20):
            self.pass_time(1, 0.05)
            if all(operation.done for operation in self.waiting.values()):
                break
        for place, operation in self.waiting.items():
            self.assertEqual(len(operation.completions), 1, operation)
            self.ended(place, operation)
        self.waiting.clear()

    def ended(self, place: Any, operation: FakeOperation) -> None:
        """What should be there after an operation."""
        if operation.succeeded:
            self.host.expected.pop(operation.rule.handle, None)
            self.rules_there.pop(place, None)
            if operation.kind.value != "delete":
                self.host.expected[operation.rule.handle] = operation.rule
                self.rules_there[place] = operation.rule

    def submit(self, place: Any, does: Any) -> None:
        """Have a rule do something; None: have it no more."""
        if place in self.waiting:
            # The agent would postpone it.
            self.settle_all()
        table, priority, match = place
        old = self.rules_there.get(place)
        if table == 3 and does == (GotoTable(3),):
            does = ()
        if does is None and old is None:
            return
        if old is None:
            operation = FakeOperation.add(FakeRule(match, priority, table, does))
        elif does is None:
            operation = FakeOperation.delete(old)
        else:
            operation = FakeOperation.modify(old, does)
        self.waiting[place] = operation
        self.driver.submit([operation])

    def step(self, what: str, first: Any, second: Any) -> None:
        """Do one thing."""
        keys = sorted(key for block in self.kernel.blocks.values() for key in block)
        if what in ("set", "delete"):
            self.submit(first, second)
        elif what == "refuse":
            left = list(first)

            def refuse(key: Any) -> tuple[int, str]:
                left[:] = [n - 1 for n in left if n >= 0]
                return (second, "") if -1 in left else (0, "")

            self.kernel.refuse = self.kernel.keep = refuse
        elif what == "room":
            self.kernel.room = first
        elif what in ("take", "change") and first < len(keys):
            self.kernel.deaf = second
            if what == "take":
                self.kernel.take_away(keys[first])
            else:
                cookie = next(b[keys[first]].cookie for b in self.kernel.blocks.values())
                self.kernel.change_actions(keys[first], pack.actions((Gact(OK),), cookie))
            self.kernel.deaf = False
        elif what == "slow":
            self.kernel.slowness = first
        elif what == "meanwhile":
            self.kernel.meanwhile = partial(self.meanwhile, iter(range(first)), second)
        elif what == "turn":
            for _ in range(first):
                if not second:
                    self.kernel.turn(self.reactor)
                self.reactor.advance(0.01)
        elif what == "settle":
            self.settle_all()
        elif what == "kill":
            self.kill(first)
        else:
            self.other(what, first, second)

    def meanwhile(self, left: Iterator[int], what: Any) -> None:
        """Between two requests, some others do something, after so many."""
        if next(left, None) is None:
            self.kernel.meanwhile = lambda: None
            self.other(*what)

    def other(self, what: str, first: Any, second: Any) -> None:
        """Others do something to the block."""
        name = f"eth{first}"
        if what == "flush":
            self.kernel.deaf = second
            self.kernel.flush(first)
            self.kernel.deaf = False
        elif name not in self.kernel.devices:
            self.kernel.add(name)
        elif what == "unbind":
            self.kernel.unbind(self.kernel.devices[name].index)
        elif what == "vanish":
            self.kernel.remove(name)
            if second:
                self.kernel.add(name)

    def calm(self) -> None:
        """The kernel carries out whatever it is asked for."""
        self.kernel.refuse = self.kernel.keep = lambda key: (0, "")
        self.kernel.meanwhile = lambda: None

    def kill(self, dead: Any) -> None:
        """The agent is killed, and the next asks for what the first was asked for.

        :param dead: what others do when there is none.
        """
        self.stop(self.driver, self.host)
        if dead is not None:
            self.other(*dead)
        asked = {**self.rules_there}
        for place, operation in self.waiting.items():
            if operation.kind.value == "delete":
                asked.pop(place, None)
            else:
                asked[place] = operation.rule
        self.waiting.clear()
        self.rules_there.clear()
        # It does not start on a kernel that refuses what must be there.
        self.calm()
        self.restart()
        if not asked:
            # Nobody says what there shall be, until somebody says: nothing.
            delete = LeftOperation(OperationKind.DELETE, LeftRules(1 << 40, range(16)))
            self.driver.submit([delete])
        for place, rule in asked.items():
            self.submit(place, rule.instructions)

    @EXAMPLES
    @given(st.lists(steps, max_size=30))
    def test_equal(self, chosen: list[tuple[str, Any, Any]]) -> None:
        """Nothing is lost, nothing is doubled, and no rule stays degraded."""
        self.begin()
        try:
            self.run_steps(chosen)
        finally:
            self.stop(self.driver, self.host)

    def run_steps(self, chosen: list[tuple[str, Any, Any]]) -> None:
        """Do all of it, and compare."""
        for one in chosen:
            self.step(*one)
        self.calm()
        self.kernel.room = 300
        for name in {"eth1", "eth2"} - self.kernel.devices.keys():
            self.kernel.add(name)
        self.settle_all()
        # The longest pause, and what it takes to put things back.
        for _ in range(40):
            self.pass_time(4, 2)
        self.assertEqual(self.check(), [])
        self.assertEqual(self.host.degraded_rules, {})
