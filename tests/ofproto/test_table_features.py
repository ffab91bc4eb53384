"""Tests of :mod:`agent.ofproto.table_features`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.table import FlowTable
from agent.ofproto.table_features import describe
from agent.openflow.actions import ApplyActions, GotoTable, Output
from agent.openflow.fields import ETH_TYPE, IN_PORT, IPV4_DST
from agent.openflow.table_features import Property
from drivers.interfaces import TableCapabilities


class DescribeTests(SynchronousTestCase):
    """A table's capabilities in OpenFlow's words."""

    def setUp(self) -> None:
        """A narrow table in front of one that can do everything."""
        narrow = TableCapabilities(
            0,
            "narrow",
            10,
            match_mask=IN_PORT.mask | ETH_TYPE.mask | IPV4_DST.mask,
            exact_mask=ETH_TYPE.mask,
            actions=frozenset({Output}),
            write_actions=frozenset(),
            instructions=frozenset({ApplyActions, GotoTable}),
        )
        self.tables = [FlowTable(narrow), FlowTable(TableCapabilities(1, "all", 20))]

    def test_narrow(self) -> None:
        """Only what the driver can do is offered."""
        found = describe(self.tables[0], self.tables)
        self.assertEqual((found.table_id, found.name, found.max_entries), (0, "narrow", 10))
        self.assertEqual((found.metadata_match, found.metadata_write), (0, 0))
        self.assertEqual(found.properties[Property.INSTRUCTIONS], (1, 4))
        self.assertEqual(found.properties[Property.NEXT_TABLES], (1,))
        self.assertEqual(found.properties[Property.APPLY_ACTIONS], (0,))
        self.assertEqual(found.properties[Property.WRITE_ACTIONS], ())
        self.assertEqual(found.properties[Property.APPLY_SETFIELD], ())
        # in_port and eth_type whole, ipv4_dst (and arp_tpa, which shares its bits) with masks
        self.assertEqual(
            found.properties[Property.MATCH],
            (0x80000004, 0x80000A02, 0x80001908, 0x80002F08),
        )
        self.assertEqual(
            found.properties[Property.WILDCARDS],
            (0x80000004, 0x80000A02, 0x80001804, 0x80002E04),
        )

    def test_everything(self) -> None:
        """A table without restrictions offers every field and leads nowhere when it is the last."""
        found = describe(self.tables[1], self.tables)
        self.assertEqual(found.properties[Property.NEXT_TABLES], ())
        self.assertEqual(len(found.properties[Property.MATCH]), 40)
        self.assertEqual(len(found.properties[Property.APPLY_ACTIONS]), 16)
        self.assertEqual(found.metadata_write, (1 << 64) - 1)

    def test_misses_can_do_the_same(self) -> None:
        """Each property about entries has its twin about table-miss entries."""
        found = describe(self.tables[0], self.tables).properties
        for hit in (0, 2, 4, 6, 12, 14):
            self.assertEqual(found[hit], found[hit + 1])
