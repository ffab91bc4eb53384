"""Tests of :mod:`agent.admin.changes`."""

from __future__ import annotations

from agent.admin.changes import Difference, differences
from agent.admin.config import Config
from agent.admin.config_bridge import BridgeConfig
from agent.admin.schema import Change, describe
from tests.admin.configfile import BRIDGE, DRIVER, FileCase

PORT = """
[[bridge.port]]
number = 1
name = "p1"
type = "memory"
"""


class ChangesCase(FileCase):
    """Compares bridges."""

    def bridge(self, text: str = "", rest: str = "", driver: str = "") -> BridgeConfig:
        """A bridge with these keys, this at its end, and these of its driver."""
        return self.load(BRIDGE + text + DRIVER + driver + rest).bridges[0]

    def assertDiffer(self, old: BridgeConfig, new: BridgeConfig, *expected: str) -> None:
        """They differ in just this, each with what it asks for."""
        found = [f"{one} ({one.change.value})" for one in differences(old, new)]
        self.assertEqual(found, list(expected))


class ValueTests(ChangesCase):
    """Keys with one value."""

    def test_same(self) -> None:
        """The same file twice, and one that only says what is so anyway, do not differ."""
        self.assertDiffer(self.bridge(), self.bridge())
        self.assertDiffer(self.bridge(), self.bridge("max_pending = 50\n"))
        self.assertDiffer(self.bridge("protocols = ['OpenFlow13', 'OpenFlow10']\n"), self.bridge())

    def test_warm(self) -> None:
        """What takes effect at once, with the values as the file has them."""
        text = "max_pending = 5\nwatchdog = 0\nfail_mode = 'standalone'\nprotocols = ['OpenFlow13']"
        self.assertDiffer(
            self.bridge(),
            self.bridge(f"{text}\n"),
            'protocols: ["OpenFlow10", "OpenFlow13"] -> ["OpenFlow13"] (warm)',
            'fail_mode: "secure" -> "standalone" (warm)',
            "max_pending: 50 -> 5 (warm)",
            "watchdog: 60.0 -> 0.0 (warm)",
        )

    def test_cold(self) -> None:
        """What needs a new start, down to the one option of a driver."""
        old = self.bridge(driver="seed = 1\na = 1\n")
        text = (BRIDGE + DRIVER).replace("0001", "000a").replace("asic", "other")
        new = self.load(text + "seed = 2\nb = 1\n").bridges[0]
        self.assertDiffer(
            old,
            new,
            'datapath_id: "0000000000000001" -> "000000000000000a" (cold)',
            'driver.name: "asic" -> "other" (cold)',
            "driver.seed: 1 -> 2 (cold)",
            "driver.a: removed (cold)",
            "driver.b: added (cold)",
        )

    def test_many(self) -> None:
        """A key with many values, none of which is a table, is one key."""
        self.assertDiffer(
            self.bridge("in_band_next_hops = ['02:00:00:00:00:01']\n"),
            self.bridge(),
            'in_band_next_hops: ["02:00:00:00:00:01"] -> [] (warm)',
        )

    def test_agent(self) -> None:
        """Of the whole file."""
        old = self.load("[agent]\ncontrol = 'x'\n" + BRIDGE + DRIVER)
        new = self.load("[agent]\nlog_level = 'debug'\nhttp = '[::1]:80'\n" + BRIDGE + DRIVER)
        self.assertEqual(
            [f"{one} ({one.change.value})" for one in differences(old, new)],
            [
                f'agent.control: "{self.directory}/run/x" -> none (warm)',
                'agent.http: none -> "[::1]:80" (warm)',
                'agent.log_level: "info" -> "debug" (warm)',
            ],
        )


class ArrayTests(ChangesCase):
    """Keys with many entries, which are told apart by one of their keys."""

    def test_controllers(self) -> None:
        """Those that come, go and change; their order means nothing."""
        self.assertDiffer(
            self.bridge("controllers = ['tcp:192.0.2.1', 'tcp:192.0.2.2', 'tcp:192.0.2.3']\n"),
            self.bridge(
                "controllers = ['tcp:192.0.2.4', 'tcp:192.0.2.3',"
                "{target = 'tcp:192.0.2.1', max_backoff = 4}]\n"
            ),
            "controllers[tcp:192.0.2.1:6653].max_backoff: 8.0 -> 4.0 (warm)",
            "controllers[tcp:192.0.2.2:6653]: removed (warm)",
            "controllers[tcp:192.0.2.4:6653]: added (warm)",
        )

    def test_same_target_twice(self) -> None:
        """Of two listeners on any free port one can go."""
        self.assertDiffer(
            self.bridge("listen = ['ptcp:0', {target = 'ptcp:0', inactivity_probe = 1}]\n"),
            self.bridge("listen = ['ptcp:0']\n"),
            "listen[ptcp:0:0.0.0.0]: removed (warm)",
        )

    def test_ports(self) -> None:
        """Ports are the driver's, and so cold."""
        self.assertDiffer(self.bridge(), self.bridge(rest=PORT), "port[1]: added (cold)")
        self.assertDiffer(
            self.bridge(rest=PORT),
            self.bridge(rest=PORT.replace("p1", "p7")),
            'port[1].name: "p1" -> "p7" (cold)',
        )
        self.assertDiffer(
            self.bridge(),
            self.bridge(rest='[[bridge.port]]\nnumber = "LOCAL"\n'),
            "port[LOCAL]: added (cold)",
        )

    def test_tables(self) -> None:
        """A table that is not mentioned is as the driver has it; a driver cannot be asked for more
        than it was started with."""
        bare, small, large, evicting = (
            self.bridge(rest=f"[[bridge.table]]\nid = 3\n{text}" if text else "")
            for text in ("", 'size = 10\nname = "a"\n', "size = 20\n", "overflow = 'evict'\n")
        )
        self.assertDiffer(
            bare,
            small,
            'table[3].name: none -> "a" (warm)',
            "table[3].size: none -> 10 (warm)",
        )
        self.assertDiffer(
            small,
            large,
            'table[3].name: "a" -> none (cold)',
            "table[3].size: 10 -> 20 (cold)",
        )
        self.assertDiffer(large, bare, "table[3].size: 20 -> none (cold)")
        self.assertDiffer(bare, evicting, 'table[3].overflow: "refuse" -> "evict" (warm)')

    def test_bridges(self) -> None:
        """Bridges come and go with the whole file."""
        old = self.load(BRIDGE + DRIVER)
        new = self.load(BRIDGE.replace("br0", "br9") + DRIVER)
        self.assertEqual(
            [str(one) for one in differences(old, new)],
            ["bridge[br0]: removed", "bridge[br9]: added"],
        )

    def test_tls(self) -> None:
        """So do the certificates."""
        (self.directory / "x").touch()
        tls = "[tls]\ncertificate = 'x'\nprivate_key = 'x'\nca = 'x'\n"
        bare, secure = self.load(BRIDGE + DRIVER), self.load(BRIDGE + DRIVER + tls)
        [difference] = differences(bare, secure)
        self.assertEqual(str(difference), "tls: added")
        [difference] = differences(secure, bare)
        self.assertEqual((str(difference), difference.change), ("tls: removed", Change.WARM))


class DeclarationTests(ChangesCase):
    """What the keys declare."""

    def test_identities(self) -> None:
        """Every array of tables has one key that tells its entries apart, and no other table."""
        parts = ("listen", "controllers", "peer", "table", "port")
        arrays = {"bridge", *(f"bridge.{part}" for part in parts)}
        for way, keys in describe(Config):
            identities = [key.name for key in keys if key.change is Change.IDENTITY]
            self.assertEqual(len(identities), 1 if way in arrays else 0, way)

    def test_cold_if(self) -> None:
        """Only what is warm can be cold for a special reason."""
        for way, keys in describe(Config):
            for key in keys:
                if key.cold_if is not None:
                    self.assertIs(key.change, Change.WARM, f"{way}.{key.name}")

    def test_one_line(self) -> None:
        """A difference is one line, whatever it is about."""
        difference = Difference("a\nb", Change.WARM, "c\nd", "e\u2028f")
        self.assertTrue(str(difference).isprintable())
