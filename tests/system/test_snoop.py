"""`ovs-ofctl snoop`: seeing what a controller and the switch say to each other."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time

from agent.openflow import messages as of
from agent.openflow.match import Match
from tests.system import need
from tests.system.agent import TIMEOUT, AgentCase, Controller, free_port


class SnoopTests(AgentCase):
    """An agent that dials a controller, and somebody who looks on."""

    def dialled(self, server: socket.socket, version: int) -> Controller:
        """The controller that the agent connects to."""
        connection, _ = server.accept()
        controller = Controller(connection, version)
        self.addCleanup(controller.close)
        return controller

    def test_snoop(self) -> None:
        """Messages of both directions are shown, in both versions, by the name of the bridge."""
        need(shutil.which("ovs-ofctl"), "ovs-ofctl is missing: install openvswitch-common")
        port = free_port()
        for version, name in ((of.OFP10, "OpenFlow10"), (of.OFP13, "OpenFlow13")):
            with (
                socket.create_server(("127.0.0.1", port)) as server,
                (self.directory / name).open("w+") as out,
            ):
                server.settimeout(TIMEOUT)
                agent = self.start(bridge=f'snoop = true\ncontrollers = ["tcp:127.0.0.1:{port}"]')
                controller = self.dialled(server, version)
                snoop = subprocess.Popen(
                    ["ovs-ofctl", "-O", name, "snoop", "br0"],
                    env={**os.environ, "OVS_RUNDIR": str(self.directory / "run")},
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
                try:
                    shown = ""
                    end = time.monotonic() + TIMEOUT
                    # It may begin to see things between any two messages.
                    while "REPLY" not in shown.partition("FLOW_MOD")[2]:
                        self.assertLess(time.monotonic(), end, shown)
                        controller.send(of.FlowMod(0, Match.of(in_port=1), priority=7, xid=1))
                        controller.barrier()
                        time.sleep(0.1)
                        out.seek(0)
                        shown = out.read()
                finally:
                    snoop.terminate()
                    snoop.wait()
                self.stop(agent)
            added, request, reply = shown[shown.index("OFPT_FLOW_MOD") :].splitlines()[:3]
            self.assertIn("in_port=1", added)
            self.assertIn("OFPT_BARRIER_REQUEST", request)
            self.assertIn("OFPT_BARRIER_REPLY", reply)
