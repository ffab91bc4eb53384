"""Nicira's extensions as Debian's ovs-ofctl uses them."""

from __future__ import annotations

from tests.system.agent import AgentCase

FLOW = "cookie=0x7,table=1,ipv6,reg0=5,ipv6_dst=2001:db8::/32,tun_id=9,actions=output:2"


class OvsOfctlTests(AgentCase):
    """Flow formats and flow_mod_table_id, in OpenFlow 1.0."""

    def setUp(self) -> None:
        """Start an agent with several tables."""
        super().setUp()
        self.start()

    def flows(self, *options: str) -> str:
        """All flows."""
        return self.ofctl(*options, "dump-flows", "--no-stats", "br0").stdout

    def test_nxm(self) -> None:
        """What 1.0 cannot say goes in and out as NXM, in the table that was named."""
        self.ofctl("-F", "nxm+table_id", "add-flow", "br0", FLOW)
        shown = self.flows("-F", "nxm")
        self.assertIn("cookie=0x7, table=1,", shown)
        self.assertIn("reg0=0x5", shown)
        self.assertIn("ipv6_dst=2001:db8::/32", shown)
        self.assertIn("tun_id=0x9", shown)
        self.assertEqual(shown, self.flows())

    def test_cookie(self) -> None:
        """Flows are changed and deleted by cookie."""
        for number in (1, 2, 3):
            self.ofctl("add-flow", "br0", f"cookie={number},in_port={number},actions=output:1")
        self.ofctl("-F", "nxm", "mod-flows", "br0", "cookie=2/-1,actions=output:2")
        self.assertEqual(self.flows().count("output:2"), 1)
        self.ofctl("-F", "nxm", "del-flows", "br0", "cookie=3/-1")
        self.assertEqual(self.flows().count("actions="), 2)

    def test_table_id(self) -> None:
        """A flow goes into the table that it names, and leaves it."""
        for table in (0, 1, 5):
            self.ofctl("-F", "openflow10+table_id", "add-flow", "br0", f"table={table},actions=1")
        self.assertEqual(self.flows().count("actions="), 3)
        self.ofctl("-F", "openflow10+table_id", "del-flows", "br0", "table=1")
        shown = self.flows()
        self.assertEqual(shown.count("actions="), 2)
        self.assertNotIn("table=1", shown)

    def test_bad_table(self) -> None:
        """A table that there is not has Nicira's error, by its name."""
        done = self.ofctl(
            "-F", "openflow10+table_id", "add-flow", "br0", "table=254,actions=1", check=False
        )
        self.assertIn("NXFMFC_BAD_TABLE_ID", done.stderr)
