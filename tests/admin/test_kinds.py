"""Tests of :mod:`agent.admin.kinds` and :mod:`agent.admin.values`: every way a key can be wrong.

They go through whole files, for the message is what matters.
"""

from __future__ import annotations

from agent.admin.schema import ConfigError
from tests.admin.configfile import BRIDGE, DRIVER, FileCase


class KeyErrorTests(FileCase):
    """Keys that are unknown or missing."""

    def test_unknown(self) -> None:
        """An unknown key is named with its place and value, and with the keys there are."""
        self.refused(
            '[agent]\ncontroll = "x"\n' + BRIDGE + DRIVER,
            'agent.controll = "x": unknown key; did you mean control? allowed here: '
            "run_dir, control, http, http_token, log_level, log_format, drain",
        )
        self.refused(
            "port = 1\n" + BRIDGE + DRIVER,
            "port = 1: unknown key; allowed here: agent, tls, bridge",
        )
        self.refused(
            BRIDGE + DRIVER + "[[bridge.port]]\nnumber = 1\nname = 'p'\nspeed = 1",
            "bridge[0].port[0].speed = 1: unknown key; allowed here: number, name, type, queues",
        )
        self.refused(
            BRIDGE + "controllers = [{ target = 'tcp:127.0.0.1', probe = 5 }]" + DRIVER,
            "bridge[0].controllers[0].probe = 5: unknown key; allowed here: "
            "target, max_backoff, inactivity_probe, "
            "controller_rate_limit, controller_burst_limit",
        )

    def test_strange_key(self) -> None:
        """A key that is no plain word is quoted, on the same line."""
        self.refused(
            '"a\\nb" = 1\n' + BRIDGE + DRIVER,
            '"a\\nb" = 1: unknown key; allowed here: agent, tls, bridge',
        )

    def test_missing(self) -> None:
        """A key that must be there is named with what it must be."""
        self.refused(
            BRIDGE.replace('name = "br0"\n', "") + DRIVER,
            "bridge[0].name: missing; must be a name of 1 to 15 letters, digits, '.', '_' and "
            "'-', not starting with '.' or '-'",
        )
        self.refused(
            BRIDGE,
            'bridge[0].driver: missing; must be a table with the key name ("asic", "software" '
            "or a plugin's) and the driver's own options",
        )
        self.refused(
            BRIDGE + "[bridge.driver]\nseed = 1",
            "bridge[0].driver.name: missing; must be the name of a driver",
        )
        self.refused(
            BRIDGE + DRIVER + "[[bridge.port]]\nname = 'p1'",
            'bridge[0].port[0].number: missing; must be an integer from 1 to 65279, or "LOCAL"',
        )
        error = self.assertRaises(ConfigError, self.load, "")
        self.assertEqual(error.key, "bridge")
        self.assertIn("missing; must be an array, not empty", str(error))


class ValueErrorTests(FileCase):
    """Values of a wrong type, or out of range."""

    def refusedValue(self, key: str, value: str, allowed: str) -> None:
        """A bridge's key with this value in TOML is refused; ``allowed`` is said."""
        error = self.assertRaises(ConfigError, self.load, f"{BRIDGE}{key} = {value}\n{DRIVER}")
        self.assertTrue(error.key.startswith(f"bridge[0].{key}"), error)
        self.assertIn(allowed, str(error))
        self.assertTrue(str(error).isprintable(), error)

    def test_whole_line(self) -> None:
        """File, key, value and what is allowed stand on one line."""
        self.refused(
            BRIDGE + "max_pending = 0\n" + DRIVER,
            "bridge[0].max_pending = 0: must be an integer from 1 to 100000",
        )

    def test_integer(self) -> None:
        """An integer is in its range, and neither a boolean nor a fraction nor a string."""
        for value in ("0", "-1", "100001", "true", "false", "50.0", '"50"', "[50]", "1979-05-27"):
            self.refusedValue("max_pending", value, "must be an integer from 1 to 100000")

    def test_seconds(self) -> None:
        """Seconds may be a fraction, but neither a boolean, infinite, nor no number."""
        for value in ("-1", "0.01", "86401", "true", "inf", "-inf", "nan", '"60"'):
            self.refusedValue("watchdog", value, "must be seconds from 0.1 to 86400, or 0 for no")
        for value in ("0", "0.0", "0.1", "86400"):
            bridge = self.load(f"{BRIDGE}watchdog = {value}\n{DRIVER}").bridges[0]
            self.assertEqual(bridge.watchdog, float(value))

    def test_boolean(self) -> None:
        """Only true and false are."""
        for value in ("0", "1", '"true"', "[]"):
            self.refusedValue("in_band", value, "must be true or false")

    def test_word(self) -> None:
        """A word is one of those listed, to the letter."""
        for value in ('"Secure"', '""', '"open"', "1", "true"):
            self.refusedValue("fail_mode", value, 'must be one of "secure", "standalone"')

    def test_array(self) -> None:
        """A list is an array; its items are named by index."""
        self.refusedValue("protocols", '"OpenFlow10"', "must be an array, not empty")
        self.refusedValue("protocols", "[]", "must be an array, not empty")
        self.refusedValue(
            "protocols",
            '["OpenFlow10", "OpenFlow15"]',
            'protocols[1] = "OpenFlow15": must be one of "OpenFlow10", "OpenFlow13"',
        )

    def test_table(self) -> None:
        """A table is a table, and an array of tables an array."""
        self.refused(
            "agent = 1\n" + BRIDGE + DRIVER,
            "agent = 1: must be a table with the keys "
            "run_dir, control, http, http_token, log_level, log_format, drain",
        )
        self.refusedValue("port", '"p1"', "must be an array; each item a table with the keys")
        self.refusedValue("port", "[1]", "port[0] = 1: must be a table with the keys number")
        error = self.assertRaises(ConfigError, self.load, BRIDGE + "driver = 'asic'")
        self.assertIn('bridge[0].driver = "asic": must be a table with the key name', str(error))
        error = self.assertRaises(ConfigError, self.load, BRIDGE + "driver = { name = 1 }")
        self.assertIn("bridge[0].driver.name = 1: must be a string", str(error))

    def test_name(self) -> None:
        """A bridge's name becomes a file's and a device's name, so it must be fit for both."""
        for name in ("", "a/b", ".", "..", "-x", "a b", "sixteen-letters-", "bré", "br0\\n"):
            text = BRIDGE.replace("br0", name) + DRIVER
            error = self.assertRaises(ConfigError, self.load, text)
            self.assertIn("must be a name of 1 to 15 letters", str(error), name)

    def test_datapath_id(self) -> None:
        """A datapath id is 16 hexadecimal digits in a string, and not zero."""
        for value in ('"1"', '"0x00000000000001"', '"000000000000000g"', '"0000000000000000"', "1"):
            text = BRIDGE.replace('"0000000000000001"', value) + DRIVER
            self.refused(
                text,
                f"bridge[0].datapath_id = {value}: must be a string of 16 hexadecimal digits, "
                "not all of them 0",
            )

    def test_targets(self) -> None:
        """Controllers are dialled and listeners are not; what a target may be is said."""
        self.refusedValue("listen", '["tcp:127.0.0.1"]', "must be ptcp:[PORT][:IP]")
        self.refusedValue("controllers", '["ptcp:"]', "must be tcp:IP[:PORT], ssl:IP[:PORT], unix:")
        self.refusedValue("controllers", '["tcp:localhost"]', "not a host name")
        self.refusedValue("controllers", '["192.0.2.1"]', "a target is one of tcp:IP[:PORT]")
        self.refusedValue("controllers", "[6653]", "or a table with the keys target, max_backoff")
        self.refusedValue("listen", '["ptcp:65536"]', "a number from 0 to 65535")
        self.refusedValue(
            "controllers",
            '["tcp:192.0.2.1", { target = "tcp:" }]',
            'controllers[1].target = "tcp:": IP in tcp:IP[:PORT] is an IPv4 address',
        )

    def test_socket_path(self) -> None:
        """A path that no socket can have is refused here, not when it is bound."""
        self.refusedValue("listen", f'["punix:{"x" * 108}"]', "must be at most 107 bytes")
        self.refusedValue("controllers", f'["unix:/{"x" * 107}"]', "must be at most 107 bytes")
        self.refusedValue("listen", '["punix:a\\u0000"]', "needs the path of a socket")
        self.load(f'{BRIDGE}listen = ["punix:/{"x" * 106}"]\n{DRIVER}')

    def test_http(self) -> None:
        """Where HTTP is served needs an address and a port."""
        for value in ('"8653"', '"localhost:8653"', '"127.0.0.1"', "8653"):
            text = f"[agent]\nhttp = {value}\n{BRIDGE}{DRIVER}"
            error = self.assertRaises(ConfigError, self.load, text)
            self.assertIn(f"agent.http = {value}: ", str(error))
            self.assertIn("IP:PORT", str(error))

    def test_run_dir(self) -> None:
        """The run directory has a name."""
        for value in ('""', "1", '"a\\u0000b"'):
            text = f"[agent]\nrun_dir = {value}\n{BRIDGE}{DRIVER}"
            error = self.assertRaises(ConfigError, self.load, text)
            self.assertEqual(error.key, "agent.run_dir")
            self.assertIn("a path", str(error))

    def test_tls_files(self) -> None:
        """A file of [tls] must be there."""
        (self.directory / "a.pem").touch()
        self.refused(
            "[tls]\ncertificate = 'a.pem'\nprivate_key = 'k'\nca = 'a.pem'\n" + BRIDGE + DRIVER,
            f'tls.private_key = "k": {self.directory}/k cannot be read (No such file or '
            "directory); must be a path, relative to this file's directory unless absolute",
        )

    def test_long_value(self) -> None:
        """A value of any length makes a message of bounded length."""
        error = self.assertRaises(
            ConfigError, self.load, f'{BRIDGE}fail_mode = "{"x" * 10_000}"\n{DRIVER}'
        )
        self.assertLess(len(str(error)), 400)
