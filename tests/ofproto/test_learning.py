"""Tests of :mod:`agent.ofproto.learning`."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto import learning
from agent.ofproto.learning import Learning
from agent.ofproto.ofproto import OFProto
from agent.ofproto.rule import Rule
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Instructions, Output, SetField
from agent.openflow.fields import ETH_DST, ETH_SRC, NX_IN_PORT, REGS
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.nx_actions import (
    Learn,
    LearnFlags,
    LearnSpec,
    LearnTo,
    OutputReg,
    Resubmit,
    Subfield,
)
from agent.packet.compose import compose
from drivers.interfaces import OperationKind
from drivers.software.driver import create
from drivers.software.memory import MemoryPort
from drivers.testing import FakeEntry
from tests.ofproto.stage import (
    ADD,
    DELETE,
    MODIFY,
    PORT1,
    PORT2,
    REFUSED,
    SEND_FLOW_REM,
    Observer,
    Requester,
    SwitchTestCase,
    flow_mod,
    output,
)


def teaches(table_id: int, cookie: int, flags: int = LearnFlags.DELETE_LEARNED) -> Instructions:
    """Instructions with a ``learn`` action, and another action."""
    return (ApplyActions((Learn(table_id, (), cookie=cookie, flags=flags), Output(2))),)


class LearningCase(SwitchTestCase):
    """A switch, whose driver meets packets."""

    @property
    def learning(self) -> Learning:
        """What packets cause."""
        found = self.switch.learning
        assert found is not None
        return found

    def learn(self, match: Match = PORT1, **fields: Any) -> None:
        """A packet teaches a rule; the driver gets what comes of that."""
        self.switch.learn(flow_mod(of.FlowModCommand.MODIFY_STRICT, match, **fields))
        self.turn()


class LearnTests(LearningCase):
    """Rules that packets teach."""

    def test_added(self) -> None:
        """A rule that is not there is added, like one of a controller."""
        self.learn(cookie=5, table_id=1, flags=SEND_FLOW_REM, idle_timeout=9)
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        self.driver.finish_all()
        (rule,) = self.rules(1)
        self.assertEqual(
            (rule.match, rule.priority, rule.cookie, rule.instructions, rule.idle_timeout),
            (PORT1, 100, 5, output(2), 9),
        )
        self.assertFalse(rule.hidden)
        self.start(DELETE, table_id=1)
        self.driver.finish_all()
        self.assertEqual([message.cookie for message in self.observer.removed], [5])

    def test_evicting(self) -> None:
        """One that took the place of another rule is no longer in flight when it is there."""
        self.patch(learning, "LIMIT", 1)
        self.resize(0, 1)
        self.switch.tables[0].evicts = True
        self.add(PORT1, idle_timeout=90)
        for match in (PORT2, PORT1, PORT2):
            self.learn(match, idle_timeout=90)
            self.run_to_end(1)
            self.assertEqual(self.matches(), [match])
        self.assertEqual((self.learning.learned, self.learning.dropped), (3, 0))

    def test_changed(self) -> None:
        """A rule that does something else is modified, its cookie as well."""
        self.learn()
        self.driver.finish_all()
        self.learn(instructions=output(3), cookie=6)
        self.assertEqual(self.kinds(), [OperationKind.MODIFY])
        self.driver.finish_all()
        (rule,) = self.rules()
        self.assertEqual((rule.instructions, rule.cookie), (output(3), 6))

    def test_known(self) -> None:
        """What is known already is nothing to the hardware, and makes the hard timeout anew."""
        self.learn(hard_timeout=5)
        self.driver.finish_all()
        for _ in range(3):
            self.clock.advance(4)
            self.learn(hard_timeout=5)
            self.assertEqual(self.kinds(), [])
        self.assertEqual(self.learning.learned, 1)
        self.clock.advance(5)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.driver.finish_all()

    def test_pending(self) -> None:
        """While the rule is pending, nothing is learned about it, and nothing waits."""
        self.learn()
        self.learn()
        self.learn(instructions=output(3))
        self.assertEqual(self.kinds(), [OperationKind.ADD])
        self.assertEqual((self.learning.learned, self.learning.dropped), (1, 2))
        self.driver.finish_all()
        self.assert_settled()

    def test_in_flight(self) -> None:
        """Packets that teach faster than the hardware learns are not heard."""
        self.patch(learning, "LIMIT", 3)
        for number in range(5):
            self.learn(Match.of(in_port=number))
        self.assertEqual(len(self.driver.in_flight), 3)
        self.assertEqual(self.learning.dropped, 2)
        self.driver.finish_all()
        self.learn(Match.of(in_port=4))
        self.assertEqual(len(self.driver.in_flight), 1)
        self.driver.finish_all()

    def test_failed(self) -> None:
        """A rule that the hardware refuses is counted, and makes room for others in flight."""
        self.patch(learning, "LIMIT", 1)
        self.learn()
        self.driver.fail(self.driver.in_flight[0], REFUSED)
        self.assertEqual((self.rules(), self.learning.refused), ([], 1))
        self.learn()
        self.assertEqual(len(self.driver.in_flight), 1)
        self.driver.finish_all()

    def test_refused(self) -> None:
        """A rule that cannot be is refused without a word: of no table, or to no port."""
        self.learn(table_id=9)
        self.learn(instructions=output(0))
        self.assertEqual((self.kinds(), self.learning.refused), ([], 2))

    def test_full(self) -> None:
        """A table that is full learns no more."""
        for number in range(8):
            self.learn(Match.of(in_port=number))
            self.driver.finish_all()
        self.learn(Match.of(in_port=8))
        self.assertEqual((len(self.rules()), self.learning.refused), (8, 1))

    def test_while_flushing(self) -> None:
        """While every rule is being deleted, nothing is learned."""
        self.add()
        self.switch.flush()
        self.turn()
        self.learn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.run_to_end()
        self.assertEqual(self.rules(), [])

    def test_degraded(self) -> None:
        """A rule that the hardware does not have as it should is taught again."""
        self.learn()
        self.driver.finish_all()
        (rule,) = self.rules()
        self.switch.degraded(rule.handle, "lost")
        self.learn()
        self.assertEqual(self.kinds(), [OperationKind.MODIFY])
        self.driver.finish_all()


class ForgetTests(LearningCase):
    """``delete_learned``."""

    def settle(self) -> None:
        """Let everything end."""
        self.run_to_end(1.0)
        self.assert_settled()

    def setUp(self) -> None:
        """A rule that teaches, what it has taught, and what others have."""
        super().setUp()
        self.add(PORT1, instructions=teaches(1, 5), priority=7)
        for number, cookie in ((1, 5), (2, 5), (3, 6)):
            self.learn(Match.of(in_port=number), cookie=cookie, table_id=1)
        self.learn(PORT2, cookie=5)
        self.settle()
        self.assertEqual([len(self.rules(n)) for n in (0, 1)], [2, 3])

    def cookies(self) -> list[int]:
        """Those of the rules in the table that was taught."""
        return [rule.cookie for rule in self.rules(1)]

    def test_deleted(self) -> None:
        """With the rule goes what it taught, and nothing else."""
        self.start(DELETE, PORT1)
        self.settle()
        self.assertEqual(self.cookies(), [6])
        self.assertEqual([rule.cookie for rule in self.rules()], [5])

    def test_modified(self) -> None:
        """And so it goes when the rule teaches no more, or something else."""
        self.start(MODIFY, PORT1, instructions=teaches(1, 6))
        self.settle()
        self.assertEqual(self.cookies(), [6])
        self.start(MODIFY, PORT1, instructions=output(2))
        self.settle()
        self.assertEqual(self.cookies(), [])

    def test_still_taught(self) -> None:
        """It stays while another rule teaches it."""
        self.add(PORT2, instructions=teaches(1, 5), priority=8)
        self.start(DELETE, PORT1)
        self.settle()
        self.assertEqual(self.cookies(), [5, 5, 6])
        self.start(DELETE, PORT2)
        self.settle()
        self.assertEqual(self.cookies(), [6])

    def test_same_again(self) -> None:
        """It stays when the rule is replaced by one that teaches the same, or cannot be deleted."""
        self.start(ADD, PORT1, instructions=teaches(1, 5), priority=7)
        self.settle()
        self.send(MODIFY, PORT1, instructions=teaches(1, 5))
        self.settle()
        self.start(MODIFY, PORT1, instructions=output(2))
        self.driver.fail(self.driver.in_flight[0], REFUSED)
        self.settle()
        self.assertEqual(self.cookies(), [5, 5, 6])

    def test_pending(self) -> None:
        """What is pending when it should go is deleted when it can be."""
        self.start(MODIFY, Match.of(in_port=2), instructions=output(3), table_id=1)
        self.start(DELETE, PORT1)
        _, delete = self.driver.in_flight
        self.driver.finish(delete)
        self.turn()
        self.assertEqual(self.cookies(), [5, 5, 6])
        self.settle()
        self.assertEqual(self.cookies(), [6])

    def test_without_the_flag(self) -> None:
        """A rule that does not say so leaves what it taught behind."""
        self.add(PORT2, instructions=teaches(1, 6, flags=0), priority=8)
        self.start(DELETE, PORT2)
        self.settle()
        self.assertEqual(self.cookies(), [5, 5, 6])

    def test_stopped(self) -> None:
        """A switch that is stopped leaves nothing behind of what it was about to do."""
        self.start(DELETE, PORT1)
        self.driver.finish_all()
        self.switch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TimeoutTests(LearningCase):
    """``fin_timeout``."""

    def reduced(self, rule: Rule, idle: int, hard: int) -> tuple[int, int]:
        """The timeouts of a rule after a connection has ended."""
        self.switch.reduce_timeouts(rule, idle, hard)
        found = self.rule()
        assert found is not None
        return found.idle_timeout, found.hard_timeout

    def test_reduced(self) -> None:
        """Timeouts become shorter, and never longer; one that was not there is there then."""
        rule = self.add(idle_timeout=10, hard_timeout=0)
        self.assertEqual(self.reduced(rule, 0, 0), (10, 0))
        self.assertEqual(self.reduced(rule, 20, 30), (10, 30))
        self.assertEqual(self.reduced(rule, 5, 40), (5, 30))

    def test_expires(self) -> None:
        """The rule expires by them."""
        rule = self.add(hard_timeout=100)
        self.clock.advance(3)
        self.reduced(rule, 0, 5)
        self.clock.advance(1.9)
        self.assertEqual(self.kinds(), [])
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.driver.finish_all()

    def test_none_before(self) -> None:
        """Also one that had no timeout at all."""
        self.reduced(self.add(), 0, 5)
        self.clock.advance(5)
        self.turn()
        self.assertEqual(self.kinds(), [OperationKind.DELETE])
        self.driver.finish_all()

    def test_pending(self) -> None:
        """Of a rule that is pending, the timeouts are shorter however that turns out."""
        rule = self.add(idle_timeout=10)
        for error in (REFUSED, None):
            self.start(MODIFY, instructions=output(3))
            self.assertEqual(self.reduced(rule, 5, 0), (5, 0))
            if error is None:
                self.driver.finish_all()
            else:
                self.driver.fail(self.driver.in_flight[0], error)
            found = self.rule()
            assert found is not None
            self.assertEqual(found.idle_timeout, 5)

    def test_gone(self) -> None:
        """A rule that is gone, or another in its place, is left alone."""
        rule = self.add(idle_timeout=10)
        self.start(DELETE)
        self.driver.finish_all()
        self.switch.reduce_timeouts(rule, 5, 5)
        self.add(idle_timeout=10)
        self.assertEqual(self.reduced(rule, 5, 5), (10, 0))
        self.assertEqual(MATCH_ALL, rule.match)


class SwitchOfRulesTests(SynchronousTestCase):
    """The learning switch of ovs-actions(7), made of rules, on a driver that forwards."""

    def test_learns(self) -> None:
        """What comes back goes where it came from; what is unknown is flooded."""
        clock = Clock()
        driver = create({"tables": 2}, [FakeEntry(f"p{n}", n) for n in (1, 2, 3)], [])
        switch = OFProto("br0", 1, driver, clock, miss_to_controller=False)
        switch.observer = Observer()
        switch.start()
        register, in_port = Subfield(REGS[0], 0, 16), Subfield.whole(NX_IN_PORT)
        learn = Learn(
            1,
            (
                LearnSpec(LearnTo.MATCH, Subfield.whole(ETH_SRC), Subfield.whole(ETH_DST)),
                LearnSpec(LearnTo.LOAD, in_port, register),
            ),
            hard_timeout=60,
        )
        flood = SetField(REGS[0], 0xFFFB)
        requester = Requester(of.OFP10)
        for request in (
            flow_mod(
                ADD,
                instructions=(ApplyActions((learn, Resubmit(table_id=1), OutputReg(register))),),
            ),
            flow_mod(ADD, table_id=1, priority=0, instructions=(ApplyActions((flood,)),)),
        ):
            switch.handle(request, requester)
        clock.advance(0)

        def send(source: int, destination: int, port: int) -> list[int]:
            ports = [cast(MemoryPort, driver.port(n)) for n in (1, 2, 3)]
            ports[port - 1].inject(
                compose(Match.of(eth_src=source, eth_dst=destination, eth_type=0x9999))
            )
            clock.advance(0)
            found = [one.number for one in ports if one.sent]
            for one in ports:
                one.sent.clear()
            return found

        self.assertEqual(send(0xA, 0xB, 1), [2, 3])
        self.assertEqual(send(0xB, 0xA, 2), [1])
        self.assertEqual(send(0xA, 0xB, 1), [2])
        clock.advance(61)
        self.assertEqual(send(0xA, 0xB, 1), [2, 3])
        switch.stop()
