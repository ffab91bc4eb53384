"""Tests of :mod:`docs.conformance`: the tables say what the code says."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow import of10, of13
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.fields import ETH_DST, ETH_TYPE, FIELDS
from agent.openflow.frame import Type10, Type13
from agent.openflow.group_messages import GroupType
from docs import conformance
from docs.conformance import drivers
from drivers.interfaces import Capabilities, TableCapabilities


def cells(lines: list[str]) -> dict[str, list[str]]:
    """The rows of a table by their first cell, without its quotes."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line)
    return {row[0].strip("`"): row[1:] for row in rows}


class WireTests(SynchronousTestCase):
    """Messages and statistics."""

    def test_messages(self) -> None:
        """Every type of both versions is there with its number, and none is refused."""
        rows = cells(conformance.messages())
        self.assertEqual(rows["OFPT_FLOW_MOD"], ["14", "14", "executes"])
        self.assertEqual(rows["OFPT_METER_MOD"], ["", "29", "executes"])
        self.assertEqual(rows["OFPT_PORT_MOD"], ["15", "16", "executes"])
        self.assertEqual(rows["OFPT_PACKET_IN"], ["10", "10", "sends"])
        for column, version in enumerate((Type10, Type13)):
            numbers = [int(row[column]) for row in rows.values() if row[column].isdecimal()]
            self.assertEqual(sorted(numbers), sorted(map(int, version)))
        self.assertNotIn("refuses", {row[-1] for row in rows.values()})

    def test_refused(self) -> None:
        """What neither is executed nor has a codec would be shown as refused."""
        self.patch(of13, "KINDS", ())
        self.assertEqual(cells(conformance.messages())["OFPT_METER_MOD"][-1], "refuses")

    def test_statistics(self) -> None:
        """What only one version has is ticked there alone."""
        rows = cells(conformance.statistics())
        self.assertEqual(rows["OFPMP_FLOW"], ["✓", "✓"])
        self.assertEqual(rows["OFPMP_METER"], ["", "✓"])
        self.assertEqual(rows["FlowStatsRequest` (experimenter 0x2320, 0)"], ["✓", ""])
        known = [key for v in (of10.STATISTICS, of13.STATISTICS) for key in v._requests]
        extended = [name for name in rows if "(experimenter" in name]
        self.assertEqual(len(extended), sum(key >> 32 != 0 for key in known))

    def test_extensions(self) -> None:
        """Requests are executed, and what tells of something is sent."""
        rows = cells(conformance.extensions())
        self.assertEqual(rows["FlowModTableId"][-1], "executes")
        self.assertEqual(rows["FlowMonitorPaused"][-1], "sends")


class DriverTests(SynchronousTestCase):
    """What each driver can do."""

    TABLES: tuple[Callable[[], list[str]], ...] = (
        conformance.fields,
        conformance.actions,
        conformance.instructions,
        conformance.features,
    )

    def test_columns(self) -> None:
        """Every driver of this project has its column."""
        names = [f"`{name}`" for name in drivers()]
        self.assertLessEqual({"asic", "software", "tcflower"}, set(drivers()))
        for made in self.TABLES:
            self.assertEqual(made()[0].strip("| ").split(" | ")[-len(names) :], names)

    def test_agrees(self) -> None:
        """What is ticked is what the capabilities say."""
        rows = cells(conformance.fields())
        self.assertEqual(set(rows) - {"field", "---"}, set(FIELDS))
        groups = cells(conformance.features())["OFPGT_SELECT"]
        for place, can in enumerate(drivers().values(), -len(drivers())):
            for name, field in FIELDS.items():
                able = field.mask & ~can.tables[0].match_mask == 0
                self.assertEqual(bool(rows[name][place]), able, name)
            self.assertEqual(bool(groups[place]), GroupType.SELECT in can.group_types)

    def test_abilities(self) -> None:
        """The simulated ASIC can be halted, and the software driver cannot."""
        heads, _, *rows = conformance.abilities()
        names = [cell.strip(" `") for cell in heads.strip("|").split("|")][2:]
        clog = dict(zip(names, cells(rows)["IClog"][1:], strict=True))
        self.assertEqual((clog["asic"], clog["software"]), ("✓", ""))

    def test_small_driver(self) -> None:
        """A driver with little, and not the same in both tables, is shown as it is."""
        small = TableCapabilities(
            0,
            "small",
            10,
            match_mask=ETH_DST.mask | ETH_TYPE.mask,
            exact_mask=ETH_TYPE.mask,
            actions=frozenset({Output}),
            write_actions=frozenset(),
            instructions=frozenset({ApplyActions}),
        )
        other = attrs.evolve(small, table_id=1, match_mask=0, max_entries=1000)
        can = Capabilities((small, other), reserved_ports=frozenset())
        self.patch(conformance, "drivers", lambda: {"small": can})
        fields = cells(conformance.fields())
        self.assertEqual(
            [fields[name][-1] for name in ("eth_dst", "eth_type", "metadata")],
            ["✓: 0", "exact: 0", ""],
        )
        actions = cells(conformance.actions())
        self.assertEqual([actions["Output"][-1], actions["PopVlan"][-1]], ["apply", ""])
        instructions = cells(conformance.instructions())
        self.assertEqual([row[-1] for row in instructions.values()].count("✓"), 1)
        features = cells(conformance.features())
        self.assertEqual(features["rules in a table"], ["10 to 1,000"])
        self.assertEqual(features["meters"] + features["OFPMBT_DROP"], ["", ""])
