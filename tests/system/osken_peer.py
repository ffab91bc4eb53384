"""What Open vSwitch makes of os-ken's switch tests, to be compared with the agent.

``python -m twisted.trial tests.system.osken_peer``; not a part of ``make system-test``.  It has the
same rigs, and its cache is off, as the tester's is: with it, fewer cases pass.
"""

from __future__ import annotations

import sys

from tests.system import osken_long
from tests.system.openvswitch import OpenVSwitch
from tests.system.osken import CONTROLLER, PORTS, TARGET, OskenCase, Rig


class OpenVSwitchCase(OskenCase):
    """Debian's Open vSwitch, with its datapath in user space."""

    def start_target(self, rig: Rig) -> None:
        """Start Open vSwitch as the target of a rig; it ends with the test."""
        switch = OpenVSwitch(rig.directory / "target", rig.namespace)
        self.addCleanup(switch.stop)
        switch.start()
        devices = [f"tgt{number}" for number in PORTS]
        protocol = f"OpenFlow{rig.version}"
        switch.add_bridge(TARGET, devices, f"tcp:{CONTROLLER}:6653", protocol)
        switch.cache_nothing()


class OpenVSwitchTests(OpenVSwitchCase):
    """The cases that pass are counted."""

    def count(self, suite: str) -> None:
        """Say how many cases of a suite pass; all must have been run."""
        results = self.run_suite(suite, timeout=600)
        self.assertEqual([why for why in results.values() if why.startswith("it was not run")], [])
        passed = list(results.values()).count("")
        sys.stdout.write(f"\n{suite}: {passed} of {len(results)} cases passed\n")

    def test_of10(self) -> None:
        """The cases of OpenFlow 1.0."""
        self.count("of10")

    def test_match(self) -> None:
        """The cases of OpenFlow 1.3 about matches."""
        self.count("of13/match")

    def test_action(self) -> None:
        """The cases of OpenFlow 1.3 about actions."""
        self.count("of13/action")


class OpenVSwitchLongTests(OpenVSwitchCase, osken_long.LongTests):
    """The same for groups and meters; it fails where Open vSwitch does."""
