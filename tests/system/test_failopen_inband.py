"""Fail-open and in-band control in networks, with a controller that comes and goes."""

from __future__ import annotations

import socket
import time
from typing import Any

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import MATCH_ALL, Match
from tests.system.agent import TIMEOUT, Controller
from tests.system.network import NetworkCase, inside, ip

CONFIG = """
[agent]
run_dir = "run"
control = "ofagent.ctl"
log_level = "debug"

[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["punix:br0.mgmt"]
{bridge}
[bridge.driver]
name = "software"
"""
PORT = """
[[bridge.port]]
number = {}
name = "p{}"
"""
LOCAL = '\n[[bridge.port]]\nnumber = "LOCAL"\n'
PROBE = 0.4
"""Seconds; a bridge fails open after three times as long."""


class ControlCase(NetworkCase):
    """A switch that dials its controller.

    :ivar server: where the controller waits for it.
    """

    server: socket.socket

    def serve(self, family: socket.AddressFamily, address: Any) -> None:
        """Begin to listen, as a controller does."""
        self.server = socket.socket(family)
        self.addCleanup(self.server.close)
        self.server.settimeout(TIMEOUT)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(address)
        self.server.listen()

    def accept(self, version: int = of.OFP13) -> Controller:
        """The controller, once the switch has connected to it."""
        connection, _ = self.server.accept()
        controller = Controller(connection, version)
        self.addCleanup(controller.close)
        return controller

    def dump(self) -> str:
        """All rules, hidden ones too."""
        return self.appctl("bridge/dump-flows", "br0")


class FailOpenTests(ControlCase):
    """Two hosts, and a controller that is reached otherwise (by a UNIX socket)."""

    def setUp(self) -> None:
        """Connect the hosts."""
        super().setUp()
        self.near = self.host("p1", "10.0.0.1/24")
        self.far = self.host("p2", "10.0.0.2/24")
        self.address = str(self.directory / "controller")

    def run_agent(self, fail_mode: str, controllers: str) -> None:
        """Start it."""
        bridge = f'fail_mode = "{fail_mode}"\ncontrollers = [{controllers}]'
        ports = PORT.format(1, 1) + PORT.format(2, 2)
        self.start(text=CONFIG.format(bridge=bridge) + ports)
        self.ofctl("probe", "br0")

    def dialled(self) -> str:
        """The controller's entry in the configuration."""
        return f'{{ target = "unix:{self.address}", inactivity_probe = {PROBE}, max_backoff = 1 }}'

    def passes(self) -> bool:
        """Whether one host reaches the other now."""
        with inside(self.far):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with inside(self.near):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with server, client:
            server.bind(("10.0.0.2", 7777))
            server.settimeout(0.3)
            client.sendto(b"ping", ("10.0.0.2", 7777))
            try:
                return server.recv(100) == b"ping"
            except TimeoutError:
                return False

    def test_comes_and_goes(self) -> None:
        """The hosts reach each other while nobody controls the switch, also while a controller is
        connected that does nothing; and not when one forbids it."""
        self.run_agent("standalone", self.dialled())
        self.wait(self.passes, "failing open")
        self.assertIn("priority=15790320,actions=NORMAL", self.dump())
        self.serve(socket.AF_UNIX, self.address)
        controller = self.accept()
        # It is sent a packet that does not exist, and still has not taken control.
        packet = controller.expect(of.PacketIn)
        self.assertEqual(packet.match, Match.of(in_port=of.Port.LOCAL))
        self.assertTrue(self.passes())
        self.assertIn("NORMAL", self.dump())
        self.assertEqual(self.ofctl("dump-flows", "--no-stats", "br0").stdout, "")
        # What it does with that packet comes to nothing, but to that it is in control now.
        flood = (Output(of.Port.FLOOD, 0),)
        controller.send(of.PacketOut(packet.buffer_id, of.Port.LOCAL, flood))
        controller.barrier()
        self.assertNotIn("NORMAL", self.dump())
        self.assertFalse(self.passes())
        controller.close()
        self.server.close()
        time.sleep(PROBE)
        self.assertFalse(self.passes())
        self.wait(self.passes, "failing open again")

    def test_rules_are_flushed(self) -> None:
        """The rules of the controller that is gone are gone, too."""
        self.serve(socket.AF_UNIX, self.address)
        self.run_agent("standalone", self.dialled())
        controller = self.accept()
        controller.send(of.FlowMod(of.FlowModCommand.ADD, MATCH_ALL, priority=0xFFFF))
        controller.barrier()
        self.assertFalse(self.passes())
        controller.close()
        self.server.close()
        self.wait(self.passes, "failing open")
        self.assertEqual(self.dump().count("actions"), 1)

    def test_secure(self) -> None:
        """A secure bridge keeps its rules, and forwards nothing else."""
        self.serve(socket.AF_UNIX, self.address)
        self.run_agent("secure", self.dialled())
        controller = self.accept()
        self.assertFalse(self.passes())
        flood = (ApplyActions((Output(of.Port.FLOOD, 0),)),)
        controller.send(of.FlowMod(of.FlowModCommand.ADD, MATCH_ALL, instructions=flood))
        controller.barrier()
        controller.close()
        self.server.close()
        time.sleep(4 * PROBE)
        self.assertTrue(self.passes())
        self.assertIn("FLOOD", self.dump())
        self.assertNotIn("NORMAL", self.dump())

    def test_no_controllers(self) -> None:
        """A standalone bridge without controllers is an ordinary switch from the start, by a rule
        that anybody can delete; after a flush it is back."""
        self.run_agent("standalone", "")
        self.assertTrue(self.passes())
        self.assertIn("priority=0 actions=NORMAL", self.ofctl("dump-flows", "br0").stdout)
        self.ofctl("del-flows", "br0")
        self.assertFalse(self.passes())
        self.appctl("ofproto/flush", "br0")
        self.wait(self.passes, "the flush")


class InBandTests(ControlCase):
    """A controller on a host that is reached through the switch alone."""

    def setUp(self) -> None:
        """The controller listens on a host, and the switch has an address in its network."""
        super().setUp()
        self.far = self.host("p1", "10.0.0.1/24")
        with inside(self.far):
            self.serve(socket.AF_INET, ("10.0.0.1", 6653))

    def run_agent(self, bridge: str) -> None:
        """Start it, with an address for its port LOCAL."""
        controller = '{ target = "tcp:10.0.0.1", max_backoff = 1 }'
        bridge += f"controllers = [{controller}]"
        self.start(text=CONFIG.format(bridge=bridge) + PORT.format(1, 1) + LOCAL)
        self.ofctl("probe", "br0")
        ip("addr", "add", "10.0.0.9/24", "dev", "br0", namespace=self.switch)

    def priorities(self) -> list[int]:
        """Those of the hidden rules, in order."""
        words = self.dump().replace(",", " ").split()
        found = [int(word[9:]) for word in words if word.startswith("priority=")]
        return sorted(priority for priority in found if priority > 0xFFFF)

    def test_in_band(self) -> None:
        """The controller is reached without any rule but the hidden ones, and whatever it or
        anybody else does to the others; also after a flush, and when it has been away."""
        self.run_agent("in_band = true\nin_band_queue = 1\n")
        for _ in range(2):
            controller = self.accept()
            controller.barrier()
            # The next hop is known as soon as the kernel had to find it.
            self.wait(lambda: self.priorities() == list(range(180000, 180009)), "nine rules")
            self.assertIn("actions=set_queue:1,NORMAL", self.dump())
            controller.send(of.FlowMod(of.FlowModCommand.DELETE, MATCH_ALL, table_id=0xFF))
            controller.send(of.FlowMod(of.FlowModCommand.ADD, MATCH_ALL, priority=0xFFFF))
            controller.barrier()
            self.assertEqual(len(controller.flows()), 1)
            self.appctl("ofproto/flush", "br0")
            controller.barrier()
            self.assertEqual(controller.flows(), [])
            self.assertEqual(len(self.priorities()), 9)
            controller.close()

    def test_address_changes(self) -> None:
        """The rules follow the address of the local port."""
        self.run_agent("in_band = true\n")
        self.accept().barrier()
        ip("link", "set", "br0", "down", namespace=self.switch)
        ip("link", "set", "br0", "address", "02:00:00:00:99:99", namespace=self.switch)
        ip("link", "set", "br0", "up", namespace=self.switch)
        self.wait(lambda: "dl_src=02:00:00:00:99:99" in self.dump(), "the new address")
        self.assertEqual(self.dump().count("dl_src=02:00:00:00:99:99"), 2)

    def test_out_of_band(self) -> None:
        """Without it, the controller is not reached, for nothing forwards its packets."""
        self.run_agent("")
        self.server.settimeout(2)
        self.assertRaises(TimeoutError, self.server.accept)
        self.assertEqual(self.priorities(), [])

    def test_given_next_hops(self) -> None:
        """Next hops that are given are those that there are."""
        self.run_agent('in_band = true\nin_band_next_hops = ["02:00:00:00:12:34"]\n')
        self.accept().barrier()
        self.assertIn("dl_dst=02:00:00:00:12:34", self.dump())
        self.assertEqual(self.priorities(), list(range(180000, 180009)))
