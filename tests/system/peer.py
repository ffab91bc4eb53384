"""Open vSwitch beside the agent: the same is asked of both, and the same is to come back."""

from __future__ import annotations

import itertools
import re
import socket
import subprocess
from typing import Final

from tests.system.agent import Controller
from tests.system.network import NetworkCase
from tests.system.openvswitch import OpenVSwitch, need_openvswitch

_NOISE: Final = (
    (re.compile(r" \((?:OF1\.3\) \()?xid=0x[0-9a-f]+\)"), ""),
    (re.compile(r"\b(unix:\S+br0\.mgmt|br0)\b"), "SWITCH"),
    (re.compile(r"duration[0-9.]+s"), "duration"),
    # Open vSwitch shows it in 1.3 of rules that 1.0 has added, which knows no such flag.
    (re.compile(r"\breset_counts "), ""),
)
_REQUEST: Final = re.compile(r"^(?:\(\*\*\*|0000|[A-Z_]+(?: \(OF1\.3\))?: ).*\n?", re.MULTILINE)
"""The request as an error quotes it: Open vSwitch quotes all of it, we the 64 bytes one must."""


def plain(text: str) -> str:
    """What ovs-ofctl printed, without what differs from run to run."""
    for pattern, instead in _NOISE:
        text = pattern.sub(instead, text)
    return text


def errors_of(text: str) -> list[str]:
    """The names of the errors that ovs-ofctl printed."""
    return re.findall(r"OFPT_ERROR(?: \(OF1\.3\))?(?: \(xid=0x[0-9a-f]+\))?: (\S+)", text)


class PeerCase(NetworkCase):
    """An agent with the software driver and, once it is asked for, Open vSwitch.

    Both are in a namespace of their own, and reached by UNIX sockets.

    :ivar peer: how ovs-ofctl is told of Open vSwitch.
    """

    def setUp(self) -> None:
        """Start the agent."""
        super().setUp()
        self.start()

    def start_peer(self) -> None:
        """Start Open vSwitch.

        :raises SkipTest: when it cannot be had here.
        """
        need_openvswitch()
        directory = self.directory / "ovs"
        switch = OpenVSwitch(directory, self.namespace())
        self.addCleanup(switch.stop)
        switch.start()
        switch.add_bridge(1, (), "tcp:127.0.0.1:1", "OpenFlow10,OpenFlow13")
        self.peer = f"unix:{directory}/br0.mgmt"

    def connect(self, target: str, version: int) -> Controller:
        """A controller of the switch at ``unix:`` a socket, or of the agent: ``br0``."""
        ours = self.directory / "run" / "br0.mgmt"
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(ours) if target == "br0" else target.removeprefix("unix:"))
        controller = Controller(connection, version)
        self.addCleanup(controller.close)
        return controller

    def ask_peer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ovs-ofctl against Open vSwitch; where an argument is ``br0``, its address is put."""
        placed = [self.peer if argument == "br0" else argument for argument in arguments]
        return self.run_command("ovs-ofctl", *placed, check=False)

    def assert_alike(self, *arguments: str) -> str:
        """Ask both, and compare all that is printed, but for the request that an error quotes.

        :returns: what was printed.
        """
        ours = self.ofctl(*arguments, check=False)
        theirs = self.ask_peer(*arguments)
        self.assertEqual(errors_of(ours.stderr), errors_of(theirs.stderr), arguments)
        shown = [plain(done.stdout).splitlines() for done in (ours, theirs)]
        differing = [pair for pair in itertools.zip_longest(*shown) if pair[0] != pair[1]]
        self.assertEqual(differing, [], arguments)
        self.assertEqual(ours.returncode, theirs.returncode, arguments)
        return ours.stdout
