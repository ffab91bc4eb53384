"""Tests of :mod:`agent.ofproto.leftovers`: a DELETE of everything means what is in no table."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from agent.ofproto.ofproto import OFProto
from drivers.abilities import ILeftovers
from drivers.interfaces import Target
from drivers.testing import ScriptableDriver
from tests.ofproto.stage import ADD, DELETE, DELETE_STRICT, PORT1, Requester, SwitchTestCase


@implementer(ILeftovers)
class LeftDriver(ScriptableDriver):
    """A driver that may have rules of an earlier run."""


class LeftoversTests(SwitchTestCase):
    """Who is told of it, and who is not."""

    def setUp(self) -> None:
        """Have such a driver."""
        super().setUp()
        self.driver = LeftDriver(capabilities=self.driver.capabilities)
        self.switch = OFProto("br0", 1, self.driver, self.clock)
        self.switch.observer = self.observer
        self.switch.start()

    def left(self) -> list[list[int]]:
        """The tables of the deletions that the driver is doing."""
        return [
            list(operation.rule.tables)
            for operation in self.driver.in_flight
            if operation.target is Target.LEFT
        ]

    def test_everything(self) -> None:
        """A DELETE of everything is over when the driver has nothing left, also where there is no
        rule in any table."""
        for requester, tables in ((self.requester, [0, 1]), (self.old, [0, 1])):
            group = self.start(DELETE, requester=requester, table_id=255)
            self.assertEqual(self.left(), [tables])
            self.assertFalse(group.ended)
            self.driver.finish_all()
            self.assertTrue(group.ended)
            self.assertIsNone(group.error)

    def test_with_rules(self) -> None:
        """It is one request with the deletions of rules; of one table it means that table."""
        self.add(PORT1, table_id=1)
        group = self.start(DELETE, table_id=1)
        self.assertEqual(self.left(), [[1]])
        self.assertEqual(len(self.driver.in_flight), 2)
        self.driver.finish_all()
        self.assertTrue(group.ended)
        self.assertEqual(self.rules(1), [])

    def test_not_everything(self) -> None:
        """Other requests do not mean it."""
        narrowed: list[Any] = [{"cookie_mask": 1}, {"out_port": 3}, {"out_group": 3}]
        for fields in narrowed:
            self.assertIsNone(self.send(DELETE, table_id=255, **fields))
        self.assertIsNone(self.send(DELETE, PORT1, table_id=255))
        self.assertIsNone(self.send(DELETE_STRICT, table_id=255))
        self.start(ADD, PORT1)
        self.assertEqual(self.left(), [])

    def test_failed(self) -> None:
        """When the driver cannot, whoever asked for it is told so."""
        self.switch.ledger.delete_attempts = 1
        group = self.start(DELETE, requester=Requester(), table_id=255)
        self.driver.fail()
        self.assertTrue(group.ended)
        self.assertIsNotNone(group.error)

    def test_flush(self) -> None:
        """A flush means it, too."""
        flush = self.switch.flush()
        self.turn()
        self.assertEqual(self.left(), [[0, 1]])
        self.run_to_end()
        self.assertTrue(flush.cleared)
