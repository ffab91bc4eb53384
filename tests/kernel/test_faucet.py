"""Faucet drives tc flower: its rules are filters, and by them hosts ping each other."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tests.kernel import need_flower, run
from tests.system.faucet import HOSTS, configuration
from tests.system.test_faucet import FaucetCase

BRIDGES: Final = ("Generic", "GenericTFM")
"""The hardware that Faucet is told of: with both it waits for barriers, with the second it asks for
tables of its own."""
CONTROLLER: Final = "output to the controllers"
"""Why rules of Faucet are not in the kernel: it learns by them.  Flower can express all others."""

_FLOW: Final = re.compile(
    r"(?:table_id=(\d+), )?duration=\d+s, n_packets=(\d+), n_bytes=\d+, (?:software=\"(.*?)\", )?"
    r"priority=(\d+)(?:,(.*))?,actions=(.*)"
)


class Flow:
    """A rule as ``bridge/dump-flows`` shows it."""

    def __init__(self, line: str) -> None:
        found = _FLOW.fullmatch(line)
        assert found is not None, line
        self.table = int(found[1] or 0)
        self.packets = int(found[2])
        self.software = found[3] or ""
        self.match = found[5] or ""
        self.actions = found[6]
        goto = re.search(r"goto_table:(\d+)", self.actions)
        self.goto = int(goto[1]) if goto else None


def owner(found: dict[str, Any]) -> int:
    """The number of the rule whose filter this is, by its cookie; 0: none."""
    return int(found["options"]["actions"][0]["cookie"][-12:], 16)


class FaucetTests(FaucetCase):
    """See the module."""

    # The machine is emulated.
    patience = 240.0
    timeout = 600

    def setUp(self) -> None:
        """Be where there is such a kernel."""
        need_flower()
        super().setUp()

    def flows(self, n: int) -> list[Flow]:
        """The rules of a bridge."""
        return [
            Flow(line) for line in self.appctl("bridge/dump-flows", f"br{n}").split("\n") if line
        ]

    def filters(self, n: int) -> list[dict[str, Any]]:
        """What the kernel has for a bridge."""
        shown = self.appctl("driver/show", f"br{n}")
        block = re.search(r"block: (\d+)", shown)
        assert block is not None, shown
        tc = f"ip netns exec {self.switch} tc -s -j filter show block {block[1]}"
        return [one for one in json.loads(run(tc)) if "options" in one]

    def balanced(self, n: int) -> bool:
        """Whether in each table as many packets are counted as were sent to it."""
        flows = self.flows(n)
        return all(
            sum(flow.packets for flow in flows if flow.table == table)
            == sum(flow.packets for flow in flows if flow.goto == table)
            for table in {flow.table for flow in flows} - {0}
        )

    def check_bridge(self, n: int) -> None:
        """All is in the kernel but what is for the controller; it counts right, and is what
        there should be."""
        self.wait(lambda: self.balanced(n), "right counters")
        flows = self.flows(n)
        learned = [flow for flow in flows if "in_port" in flow.match and "dl_src" in flow.match]
        self.assertEqual(len(learned), len(HOSTS))
        told = []
        for flow in flows:
            self.assertEqual(flow.software, CONTROLLER * ("CONTROLLER" in flow.actions), flow.match)
            if flow.software:
                told.append(flow.packets)
        # The packets by which hosts were learned, and few others: those that came meanwhile.
        self.assertGreaterEqual(sum(told), len(HOSTS))
        self.assertLess(sum(told), sum(flow.packets for flow in learned))
        last = max(flow.table for flow in flows)
        self.assertGreater(sum(flow.packets for flow in flows if flow.table == last), 0, "flooded")
        filters = self.filters(n)
        # veth has no hardware.
        self.assertEqual([one for one in filters if not one["options"].get("not_in_hw")], [])
        shown = self.appctl("driver/show", f"br{n}")
        # Others are no rule's alone: where tables end, and where rules split.
        of_rules = [one for one in filters if owner(one)]
        self.assertIn(f"filters: {len(of_rules)}\n", shown)
        self.assertEqual(len(set(map(owner, of_rules))), len(flows))
        self.assertIn("in hardware: 0\n", shown)
        self.assertIn(f"reasons: {CONTROLLER} ({len(told)})\n", shown)
        checked = self.appctl("driver/check", f"br{n}")
        self.assertEqual(checked, "the hardware has what the flow tables have\n")

    def test_faucet(self) -> None:
        """With groups and a rule against some packets; then, told anew, with neither."""
        self.start_bridges("acl", 'name = "tcflower"', hardware=BRIDGES)
        faucet = self.start_faucet("acl")
        self.check_pings("acl", faucet)
        for n in range(len(BRIDGES)):
            self.check_bridge(n)
            # What 1 has sent to 3, three requests and three answers, and nothing else.
            (forbidden,) = [one for one in self.flows(n) if "nw_dst" in one.match]
            self.assertEqual((forbidden.packets, forbidden.actions), (6, "drop"))
            (dropped,) = [one for one in self.filters(n) if "dst_ip" in one["options"]["keys"]]
            (action,) = dropped["options"]["actions"]
            self.assertEqual(action["control_action"], {"type": "drop"})
            self.assertEqual(action["stats"]["drops"], 6)
            self.assertTrue(any("group" in one.actions and one.packets for one in self.flows(n)))
        faucet.configure(configuration("basic", BRIDGES))
        self.check_pings("basic", faucet, times=2)
        for n in range(len(BRIDGES)):
            self.check_bridge(n)
            self.assertFalse(any("group" in one.actions for one in self.flows(n)))
        self.assertEqual(faucet.exceptions(), "")
        self.assertNotIn("refused: ", re.sub("Connection was refused", "", self.log.read_text()))
