"""Tests of :mod:`agent.connmgr.failopen`."""

from __future__ import annotations

import gc
import weakref
from random import Random

from agent.connmgr.failopen import (
    NORMAL,
    PRIORITY,
    FailOpen,
    Standalone,
    bogus_packet,
    trigger_duration,
)
from agent.openflow import messages as of
from agent.openflow.match import MATCH_ALL
from drivers.interfaces import RESERVED_PORTS
from tests.ofproto.stage import ADD, DELETE, PORT1, REFUSED, SwitchTestCase

DELAY = 15.0


class FakeControllers:
    """The controllers of a bridge, which are as a test says."""

    def __init__(self) -> None:
        self.admitted = False
        self.connected = False
        self.last_admitted = 0.0
        self.bogus: list[bytes] = []

    def bogus_packet_in(self, data: bytes) -> None:
        """Remember."""
        self.bogus.append(data)


class NormalSwitchCase(SwitchTestCase):
    """A switch that can forward like an ordinary one."""

    reserved_ports = RESERVED_PORTS | {of.Port.NORMAL}

    def settle(self) -> None:
        """Let the hardware do everything, without letting time pass."""
        self.turn()
        while self.driver.finish_all():
            self.turn()
        self.turn()

    def calls(self) -> list[object]:
        """The delayed calls, but for that of the switch's own watchdog."""
        own = self.switch.ledger.watchdog._call
        return [call for call in self.clock.getDelayedCalls() if call is not own]

    def found(self) -> list[tuple[int, object, object]]:
        """The rules that there are."""
        return [(rule.priority, rule.match, rule.instructions) for rule in self.rules()]


class FailOpenTests(NormalSwitchCase):
    """A bridge with controllers."""

    def setUp(self) -> None:
        """Started; nobody is connected."""
        super().setUp()
        self.controllers = FakeControllers()
        self.fail_open = FailOpen(self.switch, self.clock, self.controllers, DELAY, Random(1))
        self.observer.on_flushed = self.fail_open.flushed
        self.fail_open.start()

    def change(self, *, connected: bool, admitted: bool = False) -> None:
        """Controllers come and go."""
        self.controllers.connected = connected
        if self.controllers.admitted and not admitted:
            self.controllers.last_admitted = self.clock.seconds()
        self.controllers.admitted = admitted
        self.fail_open.controllers_changed()

    def lose_control(self) -> None:
        """Let the time pass until the bridge has failed open."""
        self.clock.advance(DELAY)
        self.settle()
        self.assertEqual(self.found(), [(PRIORITY, MATCH_ALL, NORMAL)])

    def test_in_time(self) -> None:
        """It fails open after three probe intervals without a controller, and not before."""
        self.add(PORT1)
        self.clock.advance(DELAY - 0.01)
        self.settle()
        self.assertEqual((self.fail_open.active, len(self.rules())), (False, 1))
        self.clock.advance(0.01)
        self.settle()
        self.assertTrue(self.fail_open.active)
        self.assertEqual(self.found(), [(PRIORITY, MATCH_ALL, NORMAL)])
        self.assert_settled()

    def test_flushed(self) -> None:
        """What was there goes, through operations, and only then the rule comes."""
        self.add(PORT1)
        self.clock.advance(DELAY)
        self.turn()
        self.assertEqual([op.kind.value for op in self.driver.in_flight], ["delete"])
        self.postponed(self.send, ADD, PORT1)
        self.driver.finish()
        self.turn()
        self.turn()
        self.assertEqual([op.kind.value for op in self.driver.in_flight], ["add"])

    def test_never_controlled(self) -> None:
        """A controller that connects, and nothing more, changes nothing."""
        self.clock.advance(DELAY / 2)
        self.change(connected=True)
        self.change(connected=False)
        self.change(connected=True)
        self.clock.advance(DELAY / 2)
        self.assertTrue(self.fail_open.active)

    def test_controlled(self) -> None:
        """While a controller is in control, nothing happens."""
        self.change(connected=True, admitted=True)
        self.assertEqual(self.calls(), [])
        self.clock.advance(10 * DELAY)
        self.change(connected=False)
        self.clock.advance(DELAY - 0.01)
        self.assertFalse(self.fail_open.active)
        self.clock.advance(0.01)
        self.assertTrue(self.fail_open.active)

    def test_counts_from_the_last_sign_of_life(self) -> None:
        """The time that passed until it was found that a controller is gone counts."""
        self.change(connected=True, admitted=True)
        self.clock.advance(100)
        self.controllers.last_admitted = 90.0
        self.controllers.admitted = self.controllers.connected = False
        self.fail_open.controllers_changed()
        self.clock.advance(4.9)
        self.assertFalse(self.fail_open.active)
        self.clock.advance(0.1)
        self.assertTrue(self.fail_open.active)

    def test_recover(self) -> None:
        """The rule goes when a controller is in control, not when one is connected."""
        self.lose_control()
        self.change(connected=True)
        self.settle()
        self.assertEqual(len(self.rules()), 1)
        self.change(connected=True, admitted=True)
        self.assertFalse(self.fail_open.active)
        self.settle()
        self.assertEqual(self.rules(), [])
        self.assertEqual(self.calls(), [])
        self.assert_settled()

    def test_again(self) -> None:
        """And so on, as often as it happens."""
        for _ in range(3):
            self.lose_control()
            self.change(connected=True, admitted=True)
            self.settle()
            self.assertEqual(self.rules(), [])
            self.change(connected=False)

    def test_recover_while_flushing(self) -> None:
        """A controller that comes while the old rules are being deleted finds no rule later."""
        self.add(PORT1)
        self.clock.advance(DELAY)
        self.turn()
        self.change(connected=True, admitted=True)
        self.settle()
        self.assertEqual(self.rules(), [])
        self.assert_settled()

    def test_recover_while_adding(self) -> None:
        """Nor when the rule is just on its way into the hardware."""
        self.clock.advance(DELAY)
        self.turn()
        self.assertEqual([op.kind.value for op in self.driver.in_flight], ["add"])
        self.change(connected=True, admitted=True)
        self.settle()
        self.assertEqual(self.rules(), [])
        self.assert_settled()

    def test_flush_by_an_operator(self) -> None:
        """The rule is back after a flush."""
        self.lose_control()
        self.switch.flush()
        self.settle()
        self.assertEqual(self.found(), [(PRIORITY, MATCH_ALL, NORMAL)])

    def test_controllers_cannot_delete_it(self) -> None:
        """It is hidden."""
        self.lose_control()
        self.send(DELETE)
        self.settle()
        self.assertEqual(len(self.rules()), 1)

    def test_bogus(self) -> None:
        """While a controller is connected it is sent a packet every two seconds."""
        self.lose_control()
        self.clock.advance(10)
        self.assertEqual(self.controllers.bogus, [])
        self.change(connected=True)
        for count in (0, 1, 1, 2, 2, 3):
            self.clock.advance(1)
            self.assertEqual(len(self.controllers.bogus), count)
        self.assertEqual(len(set(self.controllers.bogus)), 3)
        self.change(connected=False)
        self.clock.advance(10)
        self.change(connected=True, admitted=True)
        self.clock.advance(10)
        self.assertEqual(len(self.controllers.bogus), 3)

    def test_bogus_when_connected_before(self) -> None:
        """Also one that was connected already when the bridge failed open."""
        self.change(connected=True)
        self.clock.pump([DELAY, 2])
        self.assertEqual(len(self.controllers.bogus), 1)

    def test_secure(self) -> None:
        """Without a delay it never happens; what has happened is ended when the delay goes."""
        self.fail_open.set_delay(None)
        self.clock.advance(10 * DELAY)
        self.assertEqual((self.fail_open.active, self.calls()), (False, []))
        self.fail_open.set_delay(11 * DELAY)
        self.clock.advance(DELAY)
        self.settle()
        self.assertEqual(self.found(), [(PRIORITY, MATCH_ALL, NORMAL)])
        self.fail_open.set_delay(20 * DELAY)
        self.assertTrue(self.fail_open.active)
        self.fail_open.set_delay(None)
        self.settle()
        self.assertEqual((self.fail_open.active, self.found()), (False, []))

    def test_stop(self) -> None:
        """Nothing is left, whatever state it is in."""
        for connected in (False, True):
            fail_open = FailOpen(self.switch, self.clock, self.controllers, DELAY)
            fail_open.start()
            if connected:
                self.clock.advance(DELAY)
                self.controllers.connected = True
                fail_open.controllers_changed()
            fail_open.stop()
            fail_open.flushed()
            gone = weakref.ref(fail_open)
            del fail_open
            self.driver.finish_all()
            self.driver.batches.clear()
            gc.collect()
            self.assertIsNone(gone())
        self.fail_open.stop()
        self.settle()
        self.assertEqual(self.calls(), [])


class PartsTests(NormalSwitchCase):
    """The rest."""

    def test_trigger_duration(self) -> None:
        """Three times the longest probe; where there is none, three times that of Open vSwitch."""
        self.assertEqual(trigger_duration([5, 10, 1]), 30)
        self.assertEqual(trigger_duration([0, 1]), 15)
        self.assertEqual(trigger_duration([]), 15)

    def test_bogus_packet(self) -> None:
        """It is a RARP request of a unicast address that nobody has."""
        frame = bogus_packet(Random(1))
        self.assertEqual((len(frame), frame[:6], frame[12:14]), (42, b"\xff" * 6, b"\x80\x35"))
        self.assertEqual(frame[20:22], b"\0\3")
        self.assertEqual((frame[6], frame[6:12]), (2, frame[22:28]))
        self.assertNotEqual(frame, bogus_packet(Random(2)))

    def test_standalone(self) -> None:
        """A bridge without controllers has an ordinary rule, from the start and after a flush."""
        standalone = Standalone(self.switch)
        self.observer.on_flushed = standalone.flushed
        standalone.start()
        standalone.controllers_changed()
        standalone.ports_changed()
        self.settle()
        self.assertEqual(self.found(), [(0, MATCH_ALL, NORMAL)])
        self.send(DELETE)
        self.settle()
        self.assertEqual(self.rules(), [])
        self.switch.flush()
        self.settle()
        self.assertEqual(self.found(), [(0, MATCH_ALL, NORMAL)])
        standalone.stop()
        self.switch.flush()
        self.settle()
        self.assertEqual((self.rules(), self.calls()), ([], []))

    def test_standalone_changes(self) -> None:
        """Becoming one, or ceasing to be, flushes all rules; without a change nothing happens."""
        standalone = Standalone(self.switch, enabled=False)
        self.observer.on_flushed = standalone.flushed
        standalone.set_enabled(True)
        standalone.set_enabled(False)
        self.assertIsNone(self.switch.flushing)
        standalone.start()
        self.add(PORT1)
        for enabled in (False, True, True, False):
            changed = enabled != standalone.enabled
            standalone.set_enabled(enabled)
            self.assertEqual(self.switch.flushing is not None, changed)
            self.settle()
            if changed:
                self.assertEqual(self.found(), [(0, MATCH_ALL, NORMAL)] if enabled else [])

    def test_standalone_refused(self) -> None:
        """A driver that cannot do it, and hardware that does not, are the operator's business."""
        for able in (False, True):
            self.reserved_ports = RESERVED_PORTS | ({of.Port.NORMAL} if able else set())
            self.setUp()
            Standalone(self.switch).start()
            self.turn()
            self.assertEqual(len(self.driver.in_flight), able)
            if able:
                self.driver.fail(error=REFUSED)
            self.assertEqual(self.rules(), [])
