"""Tests of ``etc/grafana``: the dashboard shows what the agent measures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.admin.web.clients import WebCase

DASHBOARD = Path(__file__).parents[3] / "etc" / "grafana" / "ofagent.json"
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


class DashboardTests(WebCase):
    """The file that Grafana imports."""

    def setUp(self) -> None:
        """Read it."""
        super().setUp()
        self.dashboard: Any = json.loads(DASHBOARD.read_text())

    def queries(self) -> list[str]:
        """All that it asks Prometheus."""
        asked = [
            target["expr"] for panel in self.dashboard["panels"] for target in panel["targets"]
        ]
        return asked + [
            one["query"] for one in self.dashboard["templating"]["list"] if one["type"] == "query"
        ]

    def test_metrics(self) -> None:
        """Every metric that it names exists, in a form in which Prometheus has it."""
        known = set()
        for family in text_string_to_metric_families(self.get("/metrics").body.decode()):
            for ending in ENDINGS.get(family.type, ("",)):
                known.add(family.name.removesuffix(ending or "\0") + ending)
        named = {
            name
            for query in self.queries()
            for name in re.findall(r"\b(?:ofagent|process)_\w+", query)
        }
        self.assertGreater(len(named), 15)
        self.assertEqual(sorted(named - known), [])

    def test_panels(self) -> None:
        """Every panel asks something of the chosen source, has a place and a number of its own."""
        panels = self.dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        self.assertEqual(
            len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}), len(panels)
        )
        for panel in panels:
            self.assertEqual(panel["datasource"]["uid"], "${datasource}", panel["title"])
            self.assertTrue(panel["targets"], panel["title"])

    def test_brackets(self) -> None:
        """Every bracket that a query opens is closed."""
        for query in self.queries():
            for left, right in ("()", "[]", "{}"):
                self.assertEqual(query.count(left), query.count(right), query)
