"""Scenarios that once ended badly, as they were found, made short and legible."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.ofproto.model import ADD, MODIFY, MODIFY_STRICT, RESET_COUNTS, Order, Pattern
from tests.ofproto.scenario import run


class ScenarioTests(SynchronousTestCase):
    """What once ended badly ends well."""

    def test_due_while_modified(self) -> None:
        """A rule whose time comes while a MODIFY of it is in flight is not deleted meanwhile."""
        run(
            [
                ("order", (2, Order(ADD, Pattern(1, 3, 1), hard=3))),
                ("turn", ()),
                ("finish", (0,)),
                ("order", (0, Order(MODIFY_STRICT, Pattern(1, 3, 1), cookie=1))),
                ("advance", (3.0,)),
            ]
        )

    def test_modified_without_effect(self) -> None:
        """A MODIFY that changes nothing prolongs the hard timeout all the same."""
        run(
            [
                ("order", (1, Order(ADD, Pattern(), hard=3))),
                ("turn", ()),
                ("finish", (0,)),
                ("advance", (2.0,)),
                ("order", (1, Order(MODIFY, Pattern()))),
                ("advance", (2.0,)),
                ("advance", (2.0,)),
            ]
        )

    def test_counters_reset(self) -> None:
        """A rule that was hit just now is not idle when its counters are reset."""
        run(
            [
                ("order", (2, Order(ADD, Pattern(1), idle=2))),
                ("turn", ()),
                ("finish", (0,)),
                ("advance", (1.5,)),
                ("hit", (0,)),
                ("order", (2, Order(MODIFY, Pattern(1), flags=RESET_COUNTS))),
                ("turn", ()),
                ("finish", (0,)),
                ("advance", (1.0,)),
            ]
        )

    def test_nobody_there_when_time_passes(self) -> None:
        """Operations are not given up at the moment in which they are submitted, though a timer
        says that much time has passed since they were asked for."""
        world = run(
            [
                ("order", (0, Order(ADD, Pattern(1)))),
                ("advance", (10.0,)),
                ("finish", (0,)),
            ]
        )
        self.assertEqual(world.switch.ledger.late, 0)
