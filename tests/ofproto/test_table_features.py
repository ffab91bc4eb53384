"""Tests of :mod:`agent.ofproto.table_features`."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.ofproto.table import FlowTable
from agent.ofproto.table_features import check, describe
from agent.openflow import errors
from agent.openflow.actions import ApplyActions, GotoTable, Output
from agent.openflow.errors import ErrorCode, OpenFlowError
from agent.openflow.fields import ETH_TYPE, IN_PORT, IPV4_DST
from agent.openflow.messages import TableFeatures
from agent.openflow.table_features import Property
from drivers.interfaces import TableCapabilities


class TablesTestCase(SynchronousTestCase):
    """Two tables of a driver."""

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
        self.offered = [describe(table, self.tables) for table in self.tables]


class DescribeTests(TablesTestCase):
    """A table's capabilities in OpenFlow's words."""

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


IN_PORT_ID, ETH_TYPE_ID, IPV4_DST_ID, ETH_DST_ID = 0x80000000, 0x80000A00, 0x80001800, 0x80000600
"""Headers of OXM fields without lengths, as os-ken writes them in properties."""
MASKED = 0x100
UNKNOWN = 99
"""No action, no instruction, and no table."""


class CheckTests(TablesTestCase):
    """What a controller asks of tables, against what they can do."""

    def check(self, *wanted: TableFeatures) -> None:
        """Check a pipeline of these tables."""
        check(wanted, self.tables)

    def narrow(self, properties: dict[int, tuple[int, ...]], **fields: Any) -> TableFeatures:
        """What the first table offers, but for some of it."""
        changed = self.offered[0].properties | properties
        return attrs.evolve(self.offered[0], properties=changed, **fields)

    def refused(self, code: ErrorCode, *wanted: TableFeatures) -> None:
        """A pipeline of these tables cannot be had."""
        error = self.assertRaises(OpenFlowError, self.check, *wanted)
        self.assertIs(error.code, code, error)

    def test_what_is_offered(self) -> None:
        """What a switch says of its tables can be asked of it, in any order, also of some only."""
        first, second = self.offered
        self.check(first, second)
        self.check(second, first)
        self.check(self.narrow({Property.NEXT_TABLES: (), Property.NEXT_TABLES_MISS: ()}))

    def test_less(self) -> None:
        """A table may be asked for nothing at all, whatever its name, its config and its size."""
        nothing: dict[int, tuple[int, ...]] = dict.fromkeys(self.offered[0].properties, ())
        self.check(TableFeatures(0, "zero", 0, 0, 3, 0xFFFFFFFF, nothing))

    def test_misses_left_out(self) -> None:
        """What is said of misses may be left out; the rest may not."""
        for kind in Property:
            left = {k: v for k, v in self.offered[0].properties.items() if k != kind}
            wanted = attrs.evolve(self.offered[0], properties=left)
            if kind.name.endswith("_MISS"):
                self.check(wanted, self.offered[1])
            else:
                self.refused(errors.TABLE_FEATURES_BAD_TYPE, wanted, self.offered[1])

    def test_fields(self) -> None:
        """A field is told by its class and number; what can be masked need not be."""
        second = self.offered[1]
        for headers in (
            (IN_PORT_ID, ETH_TYPE_ID),
            (IN_PORT_ID | 4,),
            (IPV4_DST_ID,),
            (IPV4_DST_ID | MASKED,),
            (IPV4_DST_ID | MASKED | 8,),
        ):
            self.check(self.narrow({Property.MATCH: headers}), second)
        for headers in ((ETH_TYPE_ID | MASKED,), (IN_PORT_ID, ETH_DST_ID), (0xFFFF0000, 1)):
            wanted = self.narrow({Property.MATCH: headers})
            self.refused(errors.TABLE_FEATURES_BAD_ARGUMENT, wanted, second)

    def test_wildcards(self) -> None:
        """A field that is left out has no mask, whatever a request says of one."""
        second = self.offered[1]
        self.check(self.narrow({Property.WILDCARDS: (ETH_TYPE_ID | MASKED,)}), second)
        wanted = self.narrow({Property.WILDCARDS: (ETH_DST_ID,)})
        self.refused(errors.TABLE_FEATURES_BAD_ARGUMENT, wanted, second)

    def test_more(self) -> None:
        """Each property is refused when it lists something that the table cannot do."""
        for kind in self.offered[0].properties:
            wanted = self.narrow({kind: (UNKNOWN,)})
            self.refused(errors.TABLE_FEATURES_BAD_ARGUMENT, wanted, self.offered[1])

    def test_next_tables(self) -> None:
        """A table can only lead to those behind it in the pipeline that is asked for."""
        first, second = self.offered
        self.refused(errors.TABLE_FEATURES_BAD_ARGUMENT, first)
        back = attrs.evolve(second, properties=second.properties | {Property.NEXT_TABLES: (1,)})
        self.refused(errors.TABLE_FEATURES_BAD_ARGUMENT, first, back)

    def test_config(self) -> None:
        """Two bits of the configuration have no meaning any more; others never had one."""
        wanted = self.narrow({}, config=4)
        self.refused(errors.TABLE_FEATURES_BAD_ARGUMENT, wanted, self.offered[1])

    def test_metadata(self) -> None:
        """Metadata that the table cannot match, or cannot write."""
        second = self.offered[1]
        for fields in ({"metadata_match": 1}, {"metadata_write": 1 << 63}):
            wanted = self.narrow({}, **fields)
            self.refused(errors.TABLE_FEATURES_BAD_METADATA, wanted, second)

    def test_tables(self) -> None:
        """A table must exist, be named once, and packets begin at table 0."""
        first, second = self.offered
        self.refused(errors.TABLE_FEATURES_BAD_TABLE, first, attrs.evolve(second, table_id=2))
        self.refused(errors.TABLE_FEATURES_BAD_TABLE, first, second, first)
        self.refused(errors.TABLE_FEATURES_EPERM, second)
