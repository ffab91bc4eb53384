"""Debian's ovs-ofctl against the agent, over TCP and a UNIX socket, in both versions."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

from tests.system import need
from tests.system.agent import TIMEOUT, AgentCase

FRAME = "ffffffffffff02000000000108004500001c00000000401166cf0a0000010a000002"
FRAME += "0001000200080000"


class OvsOfctlTests(AgentCase):
    """What an engineer types, in every way to type it."""

    def ways(self) -> Iterator[tuple[str, ...]]:
        """Options and target: versions 1.0 and 1.3, the UNIX socket by name and the TCP port."""
        for version in ("OpenFlow10", "OpenFlow13"):
            for target in ("br0", f"tcp:127.0.0.1:{self.port}"):
                yield version, target

    def run_all(self) -> None:
        """Everything that leaves the switch as it was."""
        for version, target in self.ways():

            def ofctl(command: str, *arguments: str, v: str = version, t: str = target) -> str:
                return self.ofctl("-O", v, command, t, *arguments).stdout

            self.assertIn("dpid:0000000000000001", ofctl("show"))
            ofctl("probe")
            self.assertIn("p2", ofctl("dump-ports-desc"))
            self.assertIn("2 ports", ofctl("dump-ports"))
            self.assertIn("Software: ofagent", ofctl("dump-desc"))
            self.assertIn("active=0", ofctl("dump-tables"))
            ofctl("add-flow", "priority=7,cookie=0x5,in_port=1,tcp,tp_dst=80,actions=output:2")
            flows = ofctl("dump-flows", "--no-stats")
            self.assertIn("cookie=0x5, priority=7,tcp,in_port=1,tp_dst=80 actions=output:2", flows)
            ofctl("mod-flows", "tcp,actions=output:1,output:2")
            self.assertIn("actions=output:1,output:2", ofctl("dump-flows", "--no-stats"))
            self.assertIn("flow_count=1", ofctl("dump-aggregate"))
            self.assertIn("active=1", ofctl("dump-tables"))
            ofctl("packet-out", f"in_port=1 packet={FRAME} actions=output:2")
            self.assertIn("n_packets=0", ofctl("dump-flows"))
            ofctl("del-flows", "tcp")
            self.assertNotIn("cookie", ofctl("dump-flows", "--no-stats"))
            refused = self.ofctl("-O", version, "mod-port", target, "77", "down", check=False)
            self.assertNotEqual(refused.returncode, 0)

    def test_software(self) -> None:
        """The commands of the manual, with the software driver."""
        self.start()
        self.run_all()

    def test_fragments(self) -> None:
        """How fragments are treated is shown, and changed but to what cannot be done; in both
        versions it is the same switch's."""
        self.start()
        self.assertIn("normal", self.ofctl("get-frags", "br0").stdout)
        for mode in ("drop", "nx-match", "normal"):
            for version in ("OpenFlow10", "OpenFlow13"):
                self.ofctl("-O", version, "set-frags", "br0", mode)
            for version in ("OpenFlow10", "OpenFlow13"):
                self.assertIn(mode, self.ofctl("-O", version, "get-frags", "br0").stdout)
        refused = self.ofctl("-O", "OpenFlow13", "set-frags", "br0", "reassemble", check=False)
        self.assertIn("OFPSCFC_BAD_FLAGS", refused.stdout + refused.stderr)
        self.assertIn("normal", self.ofctl("get-frags", "br0").stdout)

    def test_asic(self) -> None:
        """The same with the simulated ASIC."""
        self.start('name = "asic"\nprofile = "quanta"')
        self.run_all()

    def test_many_flows(self) -> None:
        """A file of 10,000 rules goes in and comes out again, in both versions."""
        self.start()
        file = self.directory / "flows"
        lines = [
            f"priority={1 + n % 9},ip,nw_dst=10.0.{n >> 8}.{n & 255},actions={1 + n % 2}"
            for n in range(10_000)
        ]
        file.write_text("\n".join(lines))
        for version, target in self.ways():
            self.ofctl("-O", version, "add-flows", target, str(file))
            shown = self.ofctl("-O", version, "dump-flows", "--no-stats", target).stdout
            self.assertEqual(shown.count("actions="), 10_000)
            aggregate = self.ofctl("-O", version, "dump-aggregate", target).stdout
            self.assertIn("flow_count=10000", aggregate)
            # All that ovs-ofctl reads back is what it would have put there.
            differences = self.ofctl("-O", version, "diff-flows", target, str(file), check=False)
            self.assertEqual(differences.stdout, "")
            self.ofctl("-O", version, "del-flows", target)
            shown = self.ofctl("-O", version, "dump-flows", "--no-stats", target).stdout
            self.assertEqual(shown.count("actions="), 0)

    def test_monitor(self) -> None:
        """`monitor` prints packets that reach a table-miss or an output to the controller."""
        need(shutil.which("ovs-ofctl"), "ovs-ofctl is missing: install openvswitch-common")
        self.start()
        for version in ("OpenFlow10", "OpenFlow13"):
            target = f"tcp:127.0.0.1:{self.port}"
            self.ofctl("-O", version, "add-flow", target, "in_port=1,actions=controller")
            with (self.directory / f"monitor-{version}").open("w+") as out:
                monitor = subprocess.Popen(
                    ["ovs-ofctl", "-O", version, "monitor", target, "65534"],
                    env={**os.environ, "OVS_RUNDIR": str(self.directory)},
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
                try:
                    end = time.monotonic() + TIMEOUT
                    text = ""
                    while "PACKET_IN" not in text and time.monotonic() < end:
                        self.ofctl(
                            "-O", version, "packet-out", target,
                            f"in_port=1 packet={FRAME} actions=table",
                        )  # fmt: skip
                        time.sleep(0.1)
                        out.seek(0)
                        text = out.read()
                finally:
                    monitor.terminate()
                    monitor.wait()
            # In 1.0 it asks for Nicira's format, which tells more.
            self.assertRegex(text, "(OFPT|NXT)_PACKET_IN")
            self.assertIn("in_port=1 (via action)", text)
            self.assertIn("nw_src=10.0.0.1", text)
            self.ofctl("-O", version, "del-flows", target)

    def test_wrong(self) -> None:
        """What the switch refuses, ovs-ofctl shows as the error it is."""
        self.start()
        done = self.ofctl("-O", "OpenFlow13", "add-flow", "br0", "actions=group:5", check=False)
        self.assertIn("OFPBAC_BAD_OUT_GROUP", done.stderr)
        done = self.ofctl("add-flow", "br0", "check_overlap,ip,actions=1")
        done = self.ofctl("add-flow", "br0", "check_overlap,tcp,actions=2", check=False)
        self.assertIn("OFPFMFC_OVERLAP", done.stderr)
