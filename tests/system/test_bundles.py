"""Debian's ovs-ofctl with bundles against the agent: all of a file, or nothing of it."""

from __future__ import annotations

import os
import subprocess

from tests.system.agent import TIMEOUT, AgentCase

V13 = ("-O", "OpenFlow13")


class BundleTests(AgentCase):
    """What an engineer types, with the software driver.

    :ivar driver: what the configuration says of it.
    """

    driver = 'name = "software"'

    def setUp(self) -> None:
        """Start an agent with two rules."""
        super().setUp()
        self.start(self.driver)
        self.wait(lambda: not self.ofctl("probe", "br0", check=False).returncode)
        for number in (1, 2):
            self.run_ofctl("add-flow", f"in_port={number},cookie={number},actions=output:1")

    def run_ofctl(self, command: str, *arguments: str) -> str:
        """What a command that works says."""
        return self.ofctl(*V13, command, "br0", *arguments).stdout

    def bundle(self, command: str, *lines: str) -> str:
        """Have a file carried out as a bundle, and take what is said if it fails."""
        file = self.directory / "input"
        file.write_text("".join(f"{line}\n" for line in lines))
        options = () if command == "bundle" else ("--bundle",)
        done = self.ofctl(*V13, *options, command, "br0", str(file), check=False)
        if done.returncode:
            self.assertTrue(done.stderr)
        return done.stderr

    def flows(self) -> list[str]:
        """The rules there are, each in words."""
        lines = self.run_ofctl("dump-flows", "--no-stats").splitlines()
        return sorted(line.strip() for line in lines if "actions=" in line)

    def test_add_flows(self) -> None:
        """A file of rules is added, and changes of other sorts are made with it."""
        said = self.bundle(
            "add-flows",
            "in_port=3,actions=output:2",
            "modify in_port=1,actions=output:2",
            "delete in_port=2",
            *(f"priority=7,tcp,tp_dst={port},actions=drop" for port in range(100)),
        )
        self.assertEqual(said, "")
        flows = self.flows()
        self.assertEqual(len(flows), 102)
        self.assertIn("cookie=0x1, in_port=1 actions=output:2", flows)
        self.assertIn("in_port=3 actions=output:2", flows)

    def test_refused(self) -> None:
        """For a line that is refused nothing of the file is done, and the line is shown."""
        before = self.flows()
        said = self.bundle(
            "add-flows",
            "in_port=3,actions=output:2",
            "delete in_port=1",
            "priority=9,in_port=4,actions=group:77",
            "in_port=5,actions=drop",
        )
        self.assertIn("Error OFPBAC_BAD_OUT_GROUP for: OFPT_FLOW_MOD", said)
        self.assertIn("ADD priority=9,in_port=4 actions=group:77", said)
        self.assertIn("OFPBFC_MSG_FAILED for: ONFT_BUNDLE_CONTROL", said)
        self.assertEqual(self.flows(), before)

    def test_refused_when_added(self) -> None:
        """So is it for one that is wrong whatever comes before it."""
        before = self.flows()
        said = self.bundle("add-flows", "in_port=3,actions=drop", "ip,ct_state=+trk,actions=drop")
        self.assertIn("Error OFPBMC_BAD_FIELD for: OFPT_FLOW_MOD", said)
        self.assertNotIn("MSG_FAILED", said)
        self.assertEqual(self.flows(), before)

    def test_replace_flows(self) -> None:
        """All rules can be replaced by those of a file."""
        said = self.bundle(
            "replace-flows", "in_port=1,cookie=9,actions=output:2", "in_port=3,actions=drop"
        )
        self.assertEqual(said, "")
        self.assertEqual(
            self.flows(), ["cookie=0x9, in_port=1 actions=output:2", "in_port=3 actions=drop"]
        )

    def test_mixed(self) -> None:
        """Groups and the rules that use them can be made, changed and deleted in one go."""
        said = self.bundle(
            "bundle",
            "flow add in_port=3,actions=group:2",
            "group add group_id=2,type=all,bucket=group:1",
        )
        self.assertIn("OFPBAC_BAD_OUT_GROUP", said)
        said = self.bundle(
            "bundle",
            "group add group_id=1,type=all,bucket=output:1",
            "group add group_id=2,type=indirect,bucket=group:1",
            "flow add in_port=3,actions=group:2",
            "flow delete in_port=1",
        )
        self.assertEqual(said, "")
        self.assertIn("in_port=3 actions=group:2", self.flows())
        said = self.bundle(
            "bundle",
            "group mod group_id=2,type=indirect,bucket=output:2",
            "group delete group_id=1",
            "flow delete in_port=3",
            "group delete group_id=2",
            "group add group_id=1,type=all,bucket=output:2",
        )
        self.assertEqual(said, "")
        self.assertEqual(self.flows(), ["cookie=0x2, in_port=2 actions=output:1"])
        self.assertIn("group_id=1,type=all,bucket=actions=output:2", self.run_ofctl("dump-groups"))
        self.assertNotIn("group_id=2", self.run_ofctl("dump-groups"))

    def test_packet_out(self) -> None:
        """A packet cannot be taken back, and so is nothing for a bundle."""
        said = self.bundle(
            "bundle", "packet-out in_port=1 packet=" + "00" * 60 + " actions=output:2"
        )
        self.assertIn("OFPBFC_MSG_UNSUP", said)

    def test_large(self) -> None:
        """Some thousand rules are one bundle; more than there may be in one are refused."""
        lines = [f"tcp,nw_src=10.0.{n >> 8}.{n & 255},actions=drop" for n in range(4000)]
        self.assertEqual(self.bundle("replace-flows", *lines), "")
        self.assertEqual(len(self.flows()), 4000)


class AsicBundleTests(BundleTests):
    """The same with the simulated ASIC, and what can go wrong in its hardware."""

    driver = 'name = "asic"\nprofile = "quanta"'

    def test_large(self) -> None:
        """A bundle can be as large as the table."""
        lines = [f"tcp,nw_src=10.0.{n >> 8}.{n & 255},actions=drop" for n in range(200)]
        self.assertEqual(self.bundle("replace-flows", *lines), "")
        self.assertEqual(len(self.flows()), 200)

    def test_faults(self) -> None:
        """Whichever operation the hardware refuses, nothing of the bundle remains, in the tables
        and in the hardware."""
        before = self.flows()
        for number in range(1, 6):
            self.appctl("driver/fault", "br0", "fail", str(number))
            said = self.bundle(
                "bundle",
                "group add group_id=1,type=all,bucket=output:1",
                "flow add priority=4,in_port=3,actions=group:1",
                "flow add priority=3,in_port=4,actions=group:1",
                "flow modify in_port=1,actions=output:2",
                "flow add priority=2,in_port=5,actions=output:1",
            )
            self.assertIn("OFPBFC_MSG_FAILED for: ONFT_BUNDLE_CONTROL", said)
            self.assertRegex(said, r"^Error \w+ for: OFPT_(FLOW|GROUP)_MOD")
            self.assertEqual(self.flows(), before)
            self.assertNotIn("group_id", self.run_ofctl("dump-groups"))
            self.assertIn("0 ", self.appctl("ofproto/pending", "br0"))
        self.assertEqual(self.bundle("add-flows", "in_port=3,actions=output:2"), "")
        self.assertEqual(len(self.flows()), 3)

    def test_watched(self) -> None:
        """Who looks at the rules while a bundle fails sees them as they were once it has."""
        before = self.flows()
        self.appctl("ofproto/clog", "br0")
        self.appctl("driver/fault", "br0", "fail", "2")
        file = self.directory / "slow"
        file.write_text("in_port=3,actions=drop\nin_port=4,actions=drop\ndelete in_port=1\n")
        command = ["ovs-ofctl", *V13, "--bundle", "add-flows", "br0", str(file)]
        environment = {**os.environ, "OVS_RUNDIR": str(self.directory / "run")}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=environment
        ) as running:
            self.wait(lambda: "in_port=4" in " ".join(self.flows()))
            self.assertIsNone(running.poll())
            self.appctl("ofproto/unclog", "br0")
            _, said = running.communicate(timeout=TIMEOUT)
            self.assertEqual(self.flows(), before)
        self.assertEqual(running.returncode, 1)
        self.assertIn("OFPBFC_MSG_FAILED", said)
