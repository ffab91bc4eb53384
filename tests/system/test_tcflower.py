"""An agent that cannot have tc flower, as a process: it says in one line what is missing.

What it does where it can have it is tried with a kernel that has it (:mod:`tests.kernel`), and some
of this, too.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from tests.system import need
from tests.system.network import NetworkCase

TCFLOWER: Final = """
[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
listen = ["punix:br0.mgmt"]

[bridge.driver]
name = "tcflower"
mode = "{mode}"

[[bridge.port]]
number = 1
name = "flower1"
type = "netdev"
"""
SOFTWARE: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"

[[bridge]]
name = "br9"
datapath_id = "0000000000000009"
listen = ["punix:br9.mgmt"]

[bridge.driver]
name = "software"
"""
WITHOUT: Final = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
"""Runs a command without the capability, but with all others of root."""
LACKS: Final = {
    "both": "cannot make the device by which packets come from the kernel",
    "skip_sw": "cannot share the ingress of device flower1",
}
"""What fails first, in each mode."""
NEEDED: Final = "the capability CAP_NET_ADMIN is needed"


class Refused(NetworkCase):
    """An agent that ends by itself, in a namespace with a device for its port.

    :ivar seconds: after which it should have ended.
    """

    seconds = 30.0

    def setUp(self) -> None:
        """Make the device."""
        need(shutil.which("setpriv"), "setpriv is missing: install util-linux")
        super().setUp()
        self.host("flower1")

    def finish(self, mode: str, *prefix: str) -> None:
        """Run an agent until it has ended: nothing is left, and its log says what it said.

        :param prefix: a command that runs it.
        """
        text = '[agent]\nrun_dir = "run"\n' + TCFLOWER.format(mode=mode)
        process = self.launch(self.directory, text, prefix=prefix)
        self.assertEqual(process.wait(self.seconds), 1, self.log.read_text())
        self.assertEqual(list((self.directory / "run").glob("*")), [])
        self.assertNotIn("clsact", self.inside("tc", "qdisc", "show").stdout)

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run something in the namespace of the agent."""
        return self.run_command(*self.prefix, *command, check=False)

    def told(self) -> list[str]:
        """The lines of the log that say that it cannot start, without what stands before that."""
        lines = self.log.read_text().splitlines()
        return [line.partition("ofagent: ")[2] for line in lines if "cannot start" in line]


class CapabilityTests(Refused):
    """Without CAP_NET_ADMIN."""

    def test_refused(self) -> None:
        """One line, on standard error and in the log, says so."""
        self.finish("both", *WITHOUT)
        self.assertEqual(self.told(), [f"br0: cannot start: {LACKS['both']}: {NEEDED}"] * 2)


class WithoutTests(Refused):
    """In any kernel."""

    def test_no_software(self) -> None:
        """Without CAP_NET_ADMIN, where nothing goes to the software."""
        self.finish("skip_sw", *WITHOUT)
        self.assertEqual(self.told(), [f"br0: cannot start: {LACKS['skip_sw']}: {NEEDED}"] * 2)

    def test_no_flower(self) -> None:
        """Without the classifier."""
        add = "tc filter add dev flower1 ingress protocol all pref 1 flower skip_hw action drop"
        self.inside(*["tc", "qdisc", "add", "dev", "flower1", "clsact"])
        has = not self.inside(*add.split()).returncode
        self.inside(*["tc", "qdisc", "del", "dev", "flower1", "clsact"])
        if has:
            # There is nothing to refuse: tests.kernel tries the rest.
            self.start(text=SOFTWARE.partition("\n[[bridge]]")[0] + TCFLOWER.format(mode="both"))
            return
        self.finish("both")
        (line, again) = self.told()
        self.assertEqual(line, again)
        self.assertRegex(
            line, "^br0: cannot start: cannot have a flower filter: .*are the kernel's cls_flower"
        )

    def test_reloaded(self) -> None:
        """A bridge that comes by a reload, and cannot be had, is named; the others go on."""
        self.start_without()
        (self.directory / "ofagent.toml").write_text(SOFTWARE + TCFLOWER.format(mode="both"))
        said = self.appctl("ofagent/reload", check=False)
        line = f"br0: cannot start: {LACKS['both']}: {NEEDED}"
        self.assertIn(line, said)
        self.assertRegex(self.log.read_text(), rf"\|reload\|ERR\|{line}\n")
        self.assertIn("br9:", self.appctl("driver/show"))
        # It can be taken out again.
        (self.directory / "ofagent.toml").write_text(SOFTWARE)
        self.assertNotIn("cannot start", self.appctl("ofagent/reload"))

    def start_without(self) -> None:
        """Start an agent which has one other bridge, and not the capability."""
        self.launch(self.directory, SOFTWARE, prefix=WITHOUT)
        self.wait((self.directory / "run" / "br9.mgmt").exists)
