"""Tests of :mod:`agent.admin.report`."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from agent.admin.flow_search import FlowSearch
from agent.admin.report import MAX_CELLS, Report
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.status import ConnectionStatus
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from drivers.abilities import IMemoryMap, SoftwareReason, TableMemory
from drivers.testing import ScriptableDriver
from tests.admin.agents import FakeAgent, FakeBridge, HalfSoftwareDriver
from tests.ofproto.stage import SwitchTestCase

ADD = FlowModCommand.ADD


@implementer(IMemoryMap)
class MappedDriver(ScriptableDriver):
    """Knows where its entries lie."""

    tables: tuple[TableMemory, ...] = ()

    def memory_map(self) -> tuple[TableMemory, ...]:
        """What the test has put there."""
        return self.tables


class ReportTests(SwitchTestCase):
    """What there is, as data."""

    def setUp(self) -> None:
        """A bridge."""
        super().setUp()
        self.bridge = FakeBridge(self.switch)
        self.report = Report(FakeAgent({"br0": self.bridge}), self.clock)

    def flows(self, **words: str) -> list[dict[str, Any]]:
        """The rules that a search finds."""
        asked = self.report.flows("br0", FlowSearch.parse(words))
        self.turn()
        found: list[dict[str, Any]] = self.successResultOf(asked)["flows"]
        return found

    def test_software(self) -> None:
        """Why a rule is in software is told where nothing is wrong with it."""
        rules = [self.add(Match.of(in_port=n)) for n in (1, 2)]
        rules[1].degraded = "lost"
        reason = SoftwareReason("X", "no X")
        self.switch.driver = HalfSoftwareDriver({rule.handle: reason for rule in rules})
        found = [(flow["state"], flow["reason"]) for flow in self.flows()]
        self.assertEqual(sorted(found), [("degraded", "lost"), ("installed", "in software: no X")])

    def test_bridge(self) -> None:
        """A bridge in numbers."""
        self.add(Match.of(in_port=1))
        self.start(ADD, match=Match.of(in_port=2))
        data = self.report.bridge("br0")
        self.assertEqual(
            (data["groups_in_flight"], data["operations_in_flight"], data["flushing"]), (1, 1, None)
        )
        table = data["tables"][0]
        self.assertEqual((table["rules"], table["pending"], table["degraded"]), (2, 1, 0))
        self.assertRaises(KeyError, self.report.bridge, "br1")

    def test_pending(self) -> None:
        """What is in flight, and who waits for what."""
        self.start(ADD, match=Match.of(in_port=2), xid=9)
        self.bridge.connections.found = [
            ConnectionStatus(
                name="br0<->x",
                kind=ConnectionKind.SERVICE,
                state="ACTIVE",
                since=1.0,
                waiting_for="its own 1 operation group",
                waiting_xid=10,
            )
        ]
        self.clock.advance(1.5)
        data = self.report.pending("br0")
        (group,) = data["groups"]
        self.assertEqual((group["xid"], group["age"], group["left"]), (9, 1.5, 1))
        (operation,) = group["listed"]
        self.assertEqual((operation["kind"], operation["state"]), ("add", "in flight"))
        self.assertIn("in_port=2", operation["entry"])
        self.assertEqual(
            data["postponed"],
            [{"connection": "br0<->x", "xid": 10, "waits_for": "its own 1 operation group"}],
        )

    def test_why(self) -> None:
        """A rule that is not in the hardware says why."""
        self.add(Match.of(in_port=1))
        self.add(Match.of(in_port=3)).degraded = "the hardware lost it"
        self.start(ADD, match=Match.of(in_port=2), xid=9)
        states = {flow["match"]: (flow["state"], flow["reason"]) for flow in self.flows()}
        self.assertEqual(states["in_port=1"], ("installed", ""))
        self.assertEqual(states["in_port=3"], ("degraded", "the hardware lost it"))
        state, reason = states["in_port=2"]
        self.assertEqual(state, "pending")
        self.assertIn("xid 0x9", reason)

    def test_counters(self) -> None:
        """Counters are those of the hardware, which is asked first."""
        rule = self.add(Match.of(in_port=1))
        self.driver.hold_reads = True
        asked = self.report.flows("br0", FlowSearch())
        self.turn()
        self.assertNoResult(asked)
        rule.counters.packets = 4
        self.driver.finish_reads()
        (flow,) = self.successResultOf(asked)["flows"]
        self.assertEqual(flow["packets"], 4)

    def test_memory(self) -> None:
        """A table of the hardware is drawn in few cells, however large it is."""
        self.assertEqual(self.report.memory(self.bridge), [])
        driver = MappedDriver()
        self.switch.driver = driver
        driver.tables = (
            TableMemory(0, "acl", 4 * MAX_CELLS, [(0, 9), (1, 9), (4, 7), (4 * MAX_CELLS - 1, 1)]),
            TableMemory(1, "small", 3, [(1, 5)], spilled=2),
        )
        acl, small = self.report.memory(self.bridge)
        self.assertEqual((acl["used"], acl["chunks"], acl["places_per_cell"]), (4, 3, 4.0))
        self.assertEqual((len(acl["cells"]), acl["cells"][:2], acl["cells"][-1]), (512, [2, 1], 1))
        self.assertEqual((acl["priorities"][:3], acl["priorities"][-1]), ([9, 7, -1], 1))
        self.assertEqual(
            [tuple(run.values()) for run in acl["largest"]],
            [(9, 0, 2), (7, 4, 1), (1, 4 * MAX_CELLS - 1, 1)],
        )
        self.assertEqual((small["cells"], small["spilled"]), ([0, 1, 0], 2))
