"""Tests of :mod:`agent.admin.config`: what a right file says, and what is no such file."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import cast

import attrs
from hypothesis import given
from hypothesis import strategies as st

from agent.admin.config import load
from agent.admin.config_bridge import DriverConfig, PortConfig, TableConfig
from agent.admin.schema import ConfigError
from agent.connmgr.target import Kind, Target
from tests.admin.configfile import BRIDGE, DRIVER, FileCase


class LoadTests(FileCase):
    """What a right file says is what the agent gets."""

    def test_minimal(self) -> None:
        """A bridge's name, its datapath id and its driver are enough; the rest has defaults."""
        config = self.load(BRIDGE + DRIVER)
        bridge = config.bridges[0]
        self.assertEqual(config.agent.run_dir, self.directory / "run")
        self.assertEqual(
            (config.agent.control, config.agent.http, config.agent.log_level, config.tls),
            (None, None, "info", None),
        )
        self.assertEqual((bridge.name, bridge.datapath_id), ("br0", 1))
        self.assertEqual(bridge.protocols, ("OpenFlow10", "OpenFlow13"))
        self.assertEqual(bridge.versions, (1, 4))
        self.assertEqual((bridge.fail_mode, bridge.in_band), ("secure", False))
        self.assertEqual((bridge.max_pending, bridge.watchdog), (50, 60.0))
        self.assertEqual((bridge.listen, bridge.controllers), ((), ()))
        self.assertEqual((bridge.tables, bridge.ports), ((), ()))
        self.assertEqual(bridge.driver, DriverConfig("asic"))

    def test_everything(self) -> None:
        """Every key is read into its place."""
        for name in ("agent.pem", "agent.key", "ca.pem"):
            (self.directory / name).touch()
        config = self.load(
            """
            [agent]
            run_dir = "/tmp/ofagent"
            control = "ofagent.ctl"
            http = "[::1]:8653"
            log_level = "debug"
            log_format = "json"
            [tls]
            certificate = "agent.pem"
            private_key = "agent.key"
            ca = "ca.pem"
            [[bridge]]
            name = "br0"
            datapath_id = "00000000000000aF"
            protocols = ["OpenFlow13"]
            fail_mode = "standalone"
            in_band = true
            max_pending = 7
            watchdog = 0
            listen = [
                "ptcp:6633:127.0.0.1",
                "punix:br0.mgmt",
                { target = "pssl:", inactivity_probe = 0 },
            ]
            controllers = [
                "tcp:192.0.2.1",
                { target = "ssl:[2001:db8::1]:6633", max_backoff = 4, inactivity_probe = 2.5 },
            ]
            [bridge.driver]
            name = "asic"
            profile = "quanta"
            fail = [1, 2]
            [[bridge.table]]
            id = 0
            name = "acl"
            size = 1000
            [[bridge.table]]
            id = 1
            [[bridge.port]]
            number = 1
            name = "p1"
            type = "memory"
            """
        )
        agent, tls, bridge = config.agent, config.tls, config.bridges[0]
        self.assertEqual(agent.run_dir, Path("/tmp/ofagent"))
        self.assertEqual(agent.control, Path("/tmp/ofagent/ofagent.ctl"))
        self.assertEqual(agent.http, ("::1", 8653))
        self.assertEqual((agent.log_level, agent.log_format), ("debug", "json"))
        assert tls is not None
        self.assertEqual(tls.certificate, self.directory / "agent.pem")
        self.assertEqual(tls.private_key, self.directory / "agent.key")
        self.assertEqual(tls.ca, self.directory / "ca.pem")
        self.assertEqual((bridge.datapath_id, bridge.versions), (0xAF, (4,)))
        self.assertEqual((bridge.fail_mode, bridge.in_band), ("standalone", True))
        self.assertEqual((bridge.max_pending, bridge.watchdog), (7, 0.0))
        self.assertEqual(
            [(str(one.target), one.inactivity_probe) for one in bridge.listen],
            [
                ("ptcp:6633:127.0.0.1", 5.0),
                ("punix:/tmp/ofagent/br0.mgmt", 5.0),
                ("pssl:6653:0.0.0.0", 0.0),
            ],
        )
        self.assertEqual(
            [
                (str(one.target), one.max_backoff, one.inactivity_probe)
                for one in bridge.controllers
            ],
            [("tcp:192.0.2.1:6653", 8.0, 5.0), ("ssl:[2001:db8::1]:6633", 4.0, 2.5)],
        )
        self.assertEqual(bridge.driver.name, "asic")
        self.assertEqual(bridge.driver.options, {"profile": "quanta", "fail": [1, 2]})
        self.assertEqual(
            bridge.tables, (TableConfig(id=0, name="acl", size=1000), TableConfig(id=1))
        )
        self.assertEqual(bridge.ports, (PortConfig(number=1, name="p1", type="memory"),))

    def test_port_kinds(self) -> None:
        """A port is a netdev unless it says otherwise; LOCAL is a TAP device called like its
        bridge, by whichever of its names it goes."""
        port = "[[bridge.port]]\nnumber = {}\n"
        text = port.format(7) + 'name = "eth7"\n'
        for local in ('"LOCAL"', "65534"):
            config = self.load(BRIDGE + DRIVER + text + port.format(local))
            self.assertEqual(
                config.bridges[0].ports,
                (
                    PortConfig(number=7, name="eth7", type="netdev"),
                    PortConfig(number=0xFFFFFFFE, name="br0", type="tap"),
                ),
            )
        text = port.format('"LOCAL"') + 'name = "host"\ntype = "memory"\n'
        self.assertEqual(
            self.load(BRIDGE + DRIVER + text).bridges[0].ports,
            (PortConfig(number=0xFFFFFFFE, name="host", type="memory"),),
        )

    def test_wrong_ports(self) -> None:
        """Numbers are ordinary ones or LOCAL, and every other port needs a name."""
        port = BRIDGE + DRIVER + "[[bridge.port]]\nnumber = {}\n"
        for number in ("0", "65280", "65533", "4294967294", "-1", "1.0", "true", '"CONTROLLER"'):
            error = self.assertRaises(ConfigError, self.load, port.format(number))
            self.assertEqual(error.key, "bridge[0].port[0].number")
            self.assertEqual(error.problem, 'must be an integer from 1 to 65279, or "LOCAL"')
        error = self.assertRaises(ConfigError, self.load, port.format(1))
        self.assertEqual(error.key, "bridge[0].port[0].name")
        self.assertIn("missing; must be a name", error.problem)
        error = self.assertRaises(ConfigError, self.load, port.format(1) + 'name = ""')
        self.assertEqual((error.key, error.value), ("bridge[0].port[0].name", ""))

    def test_relative_paths(self) -> None:
        """Sockets are relative to run_dir, run_dir to the file; absolute paths stay."""
        config = self.load(
            '[agent]\nrun_dir = "a/../here"\ncontrol = "/tmp/x.ctl"\n'
            + BRIDGE
            + 'listen = ["punix:br0.mgmt", "punix:/tmp/br0"]\ncontrollers = ["unix:c"]\n'
            + DRIVER
        )
        here = self.directory / "here"
        self.assertEqual(config.agent.run_dir, here)
        self.assertEqual(config.agent.control, Path("/tmp/x.ctl"))
        bridge = config.bridges[0]
        targets = [one.target for one in bridge.listen] + [one.target for one in bridge.controllers]
        self.assertEqual(
            targets,
            [
                Target(Kind.PUNIX, path=f"{here}/br0.mgmt"),
                Target(Kind.PUNIX, path="/tmp/br0"),
                Target(Kind.UNIX, path=f"{here}/c"),
            ],
        )

    def test_empty_strings_switch_off(self) -> None:
        """An empty control or http is none."""
        config = self.load('[agent]\ncontrol = ""\nhttp = ""\n' + BRIDGE + DRIVER)
        self.assertEqual((config.agent.control, config.agent.http), (None, None))

    def test_protocols_order(self) -> None:
        """The order of the protocols means nothing."""
        one = self.load(BRIDGE + 'protocols = ["OpenFlow13", "OpenFlow10", "OpenFlow13"]' + DRIVER)
        self.assertEqual(one, self.load(BRIDGE + DRIVER))

    def test_driver_files(self) -> None:
        """A driver's option that names a file beside the configuration becomes its path; a plain
        word stays a word even when there is such a file."""
        for name in ("mine.toml", "quanta"):
            (self.directory / name).touch()
        driver = '[bridge.driver]\nname = "asic"\nprofile = "{}"\n'
        for written, expected in [
            ("mine.toml", f"{self.directory}/mine.toml"),
            ("./mine.toml", f"{self.directory}/./mine.toml"),
            ("quanta", "quanta"),
            ("other.toml", "other.toml"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("/" + "x" * 5000, "/" + "x" * 5000),
        ]:
            config = self.load(BRIDGE + driver.format(written))
            self.assertEqual(config.bridges[0].driver.options["profile"], expected)

    def test_compared_by_value(self) -> None:
        """Two files that say the same are equal, wherever they stand; any difference shows."""
        config = self.load('[agent]\nrun_dir = "/tmp/r"' + BRIDGE + DRIVER)
        other = Path(self.mktemp())
        other.write_text('[agent]\nrun_dir = "/tmp/r" # the same' + BRIDGE + DRIVER)
        self.assertEqual(load(other), config)
        self.assertEqual(hash(load(other)), hash(config))
        other.write_text('[agent]\nrun_dir = "/tmp/r"' + BRIDGE + DRIVER + "seed = 1")
        self.assertNotEqual(load(other), config)

    def test_immutable(self) -> None:
        """Nobody can change a configuration, a driver's options included."""
        config = self.load(BRIDGE + DRIVER + "seed = 1")
        self.assertRaises(
            attrs.exceptions.FrozenInstanceError, setattr, config.bridges[0], "name", "x"
        )
        options = cast(dict[str, object], config.bridges[0].driver.options)
        self.assertRaises(TypeError, operator.setitem, options, "seed", 2)


class FileErrorTests(FileCase):
    """The file as a whole."""

    def test_missing_file(self) -> None:
        """A file that is not there is named, as it was given."""
        missing = f"{self.directory}/no.toml"
        error = self.assertRaises(ConfigError, load, missing)
        self.assertEqual(str(error), f"{missing}: cannot be read: No such file or directory")

    def test_directory(self) -> None:
        """A directory is no file."""
        error = self.assertRaises(ConfigError, load, self.directory)
        self.assertEqual(str(error), f"{self.directory}: cannot be read: Is a directory")

    def test_not_toml(self) -> None:
        """A syntax error has its line and column."""
        self.refused(
            "[agent]\nrun_dir = run\n", "must be TOML: Invalid value (at line 2, column 11)"
        )

    def test_not_utf8(self) -> None:
        """Other encodings are refused with the position."""
        self.refused(b"# caf\xe9\n", "must be UTF-8 text, and byte 5 is not")

    def test_too_deep(self) -> None:
        """Nesting without end is refused like any other text that is not TOML."""
        error = self.assertRaises(ConfigError, self.load, "x = " + "[" * 100_000)
        self.assertIn("must be TOML: ", str(error))

    @given(st.binary(max_size=60) | st.text('[]{}="\n.,#ab1', max_size=60).map(str.encode))
    def test_any_bytes(self, content: bytes) -> None:
        """Any bytes are refused with one line (no configuration is this short); no crash."""
        error = self.assertRaises(ConfigError, self.load, content)
        self.assertEqual(str(error).splitlines(), [str(error)])
        self.assertTrue(str(error).isprintable())
