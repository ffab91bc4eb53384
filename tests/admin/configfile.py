"""What the tests of the configuration share: small files, and how they are refused."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import rmtree

from twisted.trial.unittest import SynchronousTestCase

from agent.admin.config import Config, load
from agent.admin.schema import ConfigError

BRIDGE = """
[[bridge]]
name = "br0"
datapath_id = "0000000000000001"
"""
DRIVER = """
[bridge.driver]
name = "asic"
"""
SECOND = BRIDGE.replace("br0", "br1").replace("1", "2", 2).replace("br2", "br1") + DRIVER


class FileCase(SynchronousTestCase):
    """Writes configuration files into a short directory, as sockets need."""

    def setUp(self) -> None:
        """Make the directory."""
        self.directory = Path(tempfile.mkdtemp(prefix="ofagent-"))
        self.addCleanup(rmtree, self.directory)
        self.file = self.directory / "ofagent.toml"

    def load(self, text: str | bytes) -> Config:
        """What a file with this text is."""
        self.file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(self.file)

    def refused(self, text: str | bytes, expected: str) -> None:
        """The file is refused with one line: its name, and then what is expected."""
        error = self.assertRaises(ConfigError, self.load, text)
        self.assertEqual(str(error), f"{self.file}: {expected}")
