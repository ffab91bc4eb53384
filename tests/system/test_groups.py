"""Debian's ovs-ofctl against the groups and meters of the agent."""

from __future__ import annotations

from tests.system.agent import AgentCase

V13 = ("-O", "OpenFlow13")


class GroupTests(AgentCase):
    """What an engineer types about groups and meters.

    :ivar driver: what the configuration says of it.
    :ivar most: how many meters it has.
    """

    driver = 'name = "software"'
    most = 1_000_000

    def setUp(self) -> None:
        """Start an agent."""
        super().setUp()
        self.start(self.driver)

    def did(self, command: str, *arguments: str) -> str:
        """What a command that works says."""
        return self.ofctl(*V13, command, "br0", *arguments).stdout

    def refused(self, command: str, *arguments: str) -> str:
        """What a command that is refused says."""
        done = self.ofctl(*V13, command, "br0", *arguments, check=False)
        self.assertNotEqual(done.returncode + len(done.stderr), 0)
        return done.stdout + done.stderr

    def test_groups(self) -> None:
        """Groups of every type can be made, shown, changed and deleted."""
        for text in (
            "group_id=1,type=all,bucket=output:1,bucket=output:2",
            "group_id=2,type=select,bucket=weight:3,output:1,bucket=output:2",
            "group_id=3,type=indirect,bucket=group:1",
            "group_id=4,type=ff,bucket=watch_port:1,output:1,bucket=watch_group:3,group:3",
        ):
            self.did("add-group", text)
        shown = self.did("dump-groups")
        for text in (
            "group_id=1,type=all,bucket=actions=output:1,bucket=actions=output:2",
            "group_id=2,type=select,bucket=weight:3,actions=output:1,bucket=actions=output:2",
            "group_id=3,type=indirect,bucket=actions=group:1",
            "group_id=4,type=ff,bucket=watch_port:1,actions=output:1,bucket=watch_group:3,",
        ):
            self.assertIn(text, shown)
        self.did("mod-group", "group_id=2,type=all,bucket=output:2")
        self.assertIn("group_id=2,type=all", self.did("dump-groups"))
        self.did("del-groups", "group_id=4")
        self.assertNotIn("group_id=4", self.did("dump-groups"))
        self.did("del-groups")
        self.assertNotIn("group_id", self.did("dump-groups"))

    def test_errors(self) -> None:
        """What cannot be done is said in the words of the specification."""
        self.did("add-group", "group_id=1,type=all,bucket=output:1")
        self.did("add-group", "group_id=2,type=all,bucket=group:1")
        for words, command, text in (
            ("OFPGMFC_GROUP_EXISTS", "add-group", "group_id=1,type=all"),
            ("OFPGMFC_UNKNOWN_GROUP", "mod-group", "group_id=7,type=all"),
            ("OFPGMFC_LOOP", "mod-group", "group_id=1,type=all,bucket=group:2"),
            ("OFPGMFC_CHAINED_GROUP", "del-groups", "group_id=1"),
            ("OFPBAC_BAD_OUT_GROUP", "add-group", "group_id=3,type=all,bucket=group:9"),
            ("OFPGMFC_BAD_WATCH", "add-group", "group_id=3,type=ff,bucket=watch_port:99,output:1"),
            ("OFPBAC_BAD_OUT_GROUP", "add-flow", "actions=group:9"),
        ):
            self.assertIn(words, self.refused(command, text), text)

    def test_statistics(self) -> None:
        """Packets are counted by group and by bucket, and references to a group are, too."""
        self.did("add-group", "group_id=1,type=all,bucket=output:1,bucket=output:2")
        self.did("add-flow", "in_port=1,actions=group:1")
        packet = "in_port=controller packet=" + "00" * 60 + " actions=group:1"
        for _ in range(2):
            self.did("packet-out", packet)
        self.wait(lambda: "packet_count=2" in self.did("dump-group-stats"))
        stats = self.did("dump-group-stats", "group_id=1")
        for text in ("ref_count=1", "byte_count=120", "bucket1:packet_count=2,byte_count=120"):
            self.assertIn(text, stats)
        features = self.did("dump-group-features")
        self.assertIn("Types:  0xf", features)
        self.assertIn("Capabilities:  0xf", features)

    def test_rules(self) -> None:
        """Rules are found by their group, and go with it."""
        self.did("add-group", "group_id=1,type=all,bucket=output:1")
        self.did("add-flow", "in_port=1,actions=group:1")
        self.did("add-flow", "in_port=2,actions=output:1")
        self.assertEqual(self.did("dump-flows", "--no-stats", "out_group=1").count("actions="), 1)
        self.did("del-groups", "group_id=1")
        flows = self.did("dump-flows", "--no-stats")
        self.assertEqual((flows.count("actions="), flows.count("group")), (1, 0))

    def test_meters(self) -> None:
        """Meters can be made, shown as they were made, changed and deleted, with their rules."""
        self.did("add-meter", "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=50")
        self.did("add-meter", "meter=2,pktps,bands=type=dscp_remark,rate=500,prec_level=1")
        shown = " ".join(self.did("dump-meters").split())
        self.assertIn("meter=1 kbps burst stats bands= type=drop rate=1000 burst_size=50", shown)
        self.assertIn("meter=2 pktps bands= type=dscp_remark rate=500 prec_level=1", shown)
        self.assertIn(
            "OFPMMFC_METER_EXISTS", self.refused("add-meter", "meter=1,kbps,bands=type=drop,rate=1")
        )
        self.assertIn("OFPMMFC_UNKNOWN_METER", self.refused("add-flow", "actions=meter:9,output:1"))
        self.did("add-flow", "in_port=1,actions=meter:2,output:2")
        stats = self.did("meter-stats", "meter=2")
        self.assertIn("meter:2 flow_count:1 packet_in_count:0", stats)
        self.did("mod-meter", "meter=2,kbps,bands=type=drop,rate=7")
        self.assertIn(
            "meter=2 kbps bands= type=drop rate=7", " ".join(self.did("dump-meters").split())
        )
        self.did("del-meters", "meter=2")
        self.assertNotIn("meter", self.did("dump-flows", "--no-stats"))
        self.did("del-meters")
        self.assertNotIn("meter=", self.did("dump-meters"))
        features = self.did("meter-features")
        self.assertIn(f"max_meter:{self.most}", features)
        self.assertIn("drop dscp_remark", features)


class AsicGroupTests(GroupTests):
    """The same with the simulated ASIC."""

    driver = 'name = "asic"\nprofile = "quanta"'
    most = 256
