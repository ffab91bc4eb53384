"""Open vSwitch beside the agent: the same is asked of both, and the same is to come back."""

from __future__ import annotations

import itertools
import re
import subprocess
from typing import Final

from bench.switches import OpenVSwitch
from tests.system import need
from tests.system.agent import AgentCase

_NOISE: Final = (
    (re.compile(r" \((?:OF1\.3\) \()?xid=0x[0-9a-f]+\)"), ""),
    (re.compile(r"\b(tcp:127\.0\.0\.1:[0-9]+|br0)\b"), "SWITCH"),
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


class PeerCase(AgentCase):
    """An agent with the software driver and, once it is asked for, Open vSwitch.

    Its bridge has no ports either, and it is gone with the test.
    """

    def setUp(self) -> None:
        """Start the agent."""
        super().setUp()
        self.start()

    def start_peer(self) -> OpenVSwitch:
        """Start Open vSwitch, in its own directory.

        :raises SkipTest: when it cannot be had here.
        """
        missing = OpenVSwitch.missing()
        need(not missing, missing)
        peer = OpenVSwitch(self.directory / "ovs")
        self.addCleanup(peer.stop)
        self.peer = f"tcp:{peer.address[0]}:{peer.address[1]}"
        return peer

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
