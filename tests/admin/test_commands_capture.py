"""Tests of :mod:`agent.admin.commands_capture`."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock

from agent.admin.commands_capture import CaptureCommands
from agent.admin.unixctl import CommandRegistry
from agent.connmgr.capture import MAX_BYTES, Captures
from agent.ofproto.ofproto import OFProto
from drivers.testing import ScriptableDriver
from tests.admin.agents import CommandCase, FakeAgent, FakeBridge


class NotingCaptures(Captures):
    """Captures nothing, but remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(lambda name: None, lambda: 0.0)
        self.started: list[tuple[str, Path, int]] = []

    def start(self, name: str, path: Path, most: int = MAX_BYTES) -> None:
        """Remember it."""
        self.started.append((name, path, most))


class CaptureCommandsTests(CommandCase):
    """``bridge/capture`` and ``bridge/capture-stop``."""

    def setUp(self) -> None:
        """A bridge without connections."""
        bridge = FakeBridge(OFProto("br0", 1, ScriptableDriver(), Clock()))
        self.captures = bridge.connections.captures = NotingCaptures()
        self.registry = CommandRegistry()
        agent = FakeAgent({"br0": bridge}, run_dir=Path("/run/here"))
        CaptureCommands(agent).register(self.registry)

    def start(self, *arguments: str) -> str:
        """Begin a capture."""
        return self.successResultOf(self.registry.execute("bridge/capture", arguments))

    def test_start(self) -> None:
        """A relative path is in run_dir, a name may leave its bridge out, and a size be given."""
        self.assertEqual(self.start("br0", "tcp:1", "x.pcap"), "capturing into /run/here/x.pcap")
        self.start("br0", "br0<->tcp:1", "/tmp/x.pcap", "2")
        self.assertEqual(
            self.captures.started,
            [
                ("br0<->tcp:1", Path("/run/here/x.pcap"), MAX_BYTES),
                ("br0<->tcp:1", Path("/tmp/x.pcap"), 2 << 20),
            ],
        )

    def test_refused(self) -> None:
        """What cannot be is told with the argument's name; what is not captured is not stopped."""
        for arguments, words in (
            (("br9", "tcp:1", "x"), 'BRIDGE: there is no bridge "br9"'),
            (("br0", "tcp:1", ""), "FILE: must be the path of a file"),
            (("br0", "tcp:1", "a\0b"), "FILE: must be"),
            (("br0", "tcp:1", "x", "0"), "MEGABYTES: must be an integer from 1 to 4096"),
            (("br0", "tcp:1", "x", "4097"), "MEGABYTES"),
            (("br0", "tcp:1", "x", "-1"), "MEGABYTES"),
            (("br0", "tcp:1", "x", "\N{SUPERSCRIPT TWO}"), "MEGABYTES"),
        ):
            self.assertIn(words, self.command_refused("bridge/capture", *arguments))
        refused = self.command_refused("bridge/capture-stop", "br0", "tcp:1")
        self.assertEqual(refused, 'CONNECTION: there is no connection "br0<->tcp:1" that is open')

    def test_start_refused(self) -> None:
        """A capture that cannot be is told as such."""
        self.patch(NotingCaptures, "start", Captures.start)
        refused = self.command_refused("bridge/capture", "br0", "tcp:1", "x")
        self.assertEqual(refused, 'CONNECTION: there is no connection "br0<->tcp:1" that is open')
