"""Tests of :mod:`agent.admin.web.metrics`, through HTTP."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from agent.admin.web.lag import INTERVAL
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.status import ConnectionStatus
from agent.openflow.errors import TABLE_FULL, OpenFlowError
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from drivers.abilities import SoftwareReason
from tests.admin.agents import HalfSoftwareDriver
from tests.admin.web.clients import WebCase


class MetricsTests(WebCase):
    """What Prometheus reads."""

    def read(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample, by name and labels."""
        text = self.get("/metrics").body.decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def sample(self, name: str, **labels: str) -> float:
        """One of them."""
        return self.read()[f"ofagent_{name}", frozenset(labels.items())]

    def test_rules(self) -> None:
        """Rules are counted by what the hardware has of them."""
        self.add(Match.of(in_port=1))
        self.add(Match.of(in_port=2)).degraded = "lost"
        self.start(FlowModCommand.ADD, match=Match.of(in_port=3))
        of = {"bridge": "br0", "table": "0"}
        for state, count in (("installed", 1), ("degraded", 1), ("pending", 1), ("ghost", 0)):
            self.assertEqual(self.sample("rules", state=state, **of), count)
        self.assertEqual(self.sample("groups_in_flight", bridge="br0"), 1)

    def test_software(self) -> None:
        """Rules in software are counted by reason."""
        texts = ("a", "b", "c")
        reasons = {n: SoftwareReason("X" if n else "Y", text) for n, text in enumerate(texts)}
        self.switch.driver = HalfSoftwareDriver(reasons)
        for reason, count in (("X", 2), ("Y", 1)):
            self.assertEqual(self.sample("software_rules", bridge="br0", reason=reason), count)

    def test_operations(self) -> None:
        """Operations are counted by kind, result and duration."""
        self.start(FlowModCommand.ADD, match=Match.of(in_port=1))
        self.clock.advance(0.2)
        self.driver.finish_all()
        self.turn()
        self.start(FlowModCommand.ADD, match=Match.of(in_port=2))
        self.driver.fail(error=OpenFlowError(TABLE_FULL))
        of = {"bridge": "br0", "driver": self.driver.name, "kind": "add"}
        name = "operation_duration_seconds"
        self.assertEqual(self.sample(f"{name}_count", result="done", **of), 1)
        self.assertEqual(self.sample(f"{name}_count", result="failed", **of), 1)
        self.assertAlmostEqual(self.sample(f"{name}_sum", result="done", **of), 0.2)
        self.assertEqual(self.sample(f"{name}_bucket", result="done", le="0.1", **of), 0)
        self.assertEqual(self.sample(f"{name}_bucket", result="done", le="0.25", **of), 1)

    def test_traffic(self) -> None:
        """What the connections have counted, by type, error and reason."""
        traffic = self.bridge.connections.traffic
        traffic.received[2] = 3
        traffic.sent[19] = 4
        traffic.errors["FLOW_MOD_FAILED.TABLE_FULL"] = 5
        traffic.waits["slot"].add(0.3)
        traffic.barriers.add(2.0)
        traffic.packet_ins_dropped["limited"] = 6
        self.bridge.connections.found = [
            ConnectionStatus(
                name="br0<->x",
                kind=ConnectionKind.SERVICE,
                state="ACTIVE",
                since=1.0,
                packet_ins_overflowed=1,
                waiting_for="a rule",
                backlog=80,
            )
        ]
        of = {"bridge": "br0"}
        for expected, name, labels in (
            (3, "messages_received_total", {"type": "echo_request"}),
            (4, "messages_sent_total", {"type": "19"}),
            (5, "errors_sent_total", {"error": "FLOW_MOD_FAILED.TABLE_FULL"}),
            (1, "postponement_seconds_count", {"reason": "slot"}),
            (2, "barrier_wait_seconds_sum", {}),
            (7, "packet_ins_dropped_total", {"reason": "limited"}),
            (1, "connections", {"kind": "service", "state": "ACTIVE"}),
            (1, "postponed_messages", {}),
            (80, "backlog_bytes", {}),
        ):
            self.assertEqual(self.sample(name, **of, **labels), expected, name)

    def test_lag(self) -> None:
        """A reactor that was busy is seen."""
        self.lag.start()
        self.clock.advance(INTERVAL + 0.3)
        self.lag.stop()
        self.assertAlmostEqual(self.sample("reactor_lag_seconds_sum"), 0.3)
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.active()], [])

    def test_openmetrics(self) -> None:
        """Who asks for OpenMetrics gets it."""
        answer = self.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        self.assertIn("application/openmetrics-text", answer.headers["content-type"])
        self.assertTrue(answer.body.endswith(b"# EOF\n"))

    def test_names(self) -> None:
        """Every metric has help, and every one of ours our prefix."""
        text = self.get("/metrics").body.decode()
        for family in text_string_to_metric_families(text):
            self.assertTrue(family.documentation, family.name)
            self.assertTrue(family.name.startswith(("ofagent_", "process_")), family.name)
