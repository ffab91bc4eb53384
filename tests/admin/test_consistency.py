"""Tests of :mod:`agent.admin.consistency`."""

from __future__ import annotations

from agent.admin.schema import ConfigError
from tests.admin.configfile import BRIDGE, DRIVER, SECOND, FileCase


class ConsistencyTests(FileCase):
    """What must be unlike any other, and what needs something else."""

    def test_bridges(self) -> None:
        """Two bridges share neither a name nor a datapath id."""
        self.load(BRIDGE + DRIVER + SECOND)
        self.refused(
            BRIDGE + DRIVER + SECOND.replace("br1", "br0"),
            'bridge[1].name = "br0": bridge[0].name has it already; '
            "every bridge needs a name of its own",
        )
        self.refused(
            BRIDGE + DRIVER + BRIDGE.replace("br0", "br1") + DRIVER,
            'bridge[1].datapath_id = "0000000000000001": bridge[0].datapath_id has it already; '
            "every bridge needs a datapath id of its own",
        )

    def test_datapath_id_spelling(self) -> None:
        """Upper and lower case are one datapath id."""
        first = BRIDGE.replace("0001", "00aB") + DRIVER
        second = BRIDGE.replace("0001", "00Ab").replace("br0", "br1") + DRIVER
        error = self.assertRaises(ConfigError, self.load, first + second)
        self.assertEqual(error.key, "bridge[1].datapath_id")

    def test_listeners(self) -> None:
        """One socket is listened on once, however it is written and in whichever bridge."""
        for listen in (
            ["ptcp:", "ptcp:6653:0.0.0.0"],
            ["ptcp:1:[::1]", "pssl:1:[0::1]"],
            ["punix:a", "punix:./a"],
        ):
            text = f"{BRIDGE}listen = {listen}\n{DRIVER}"
            tls = "[tls]\ncertificate = 'ofagent.toml'\nprivate_key = 'ofagent.toml'\n"
            error = self.assertRaises(ConfigError, self.load, f"{tls}ca = 'ofagent.toml'\n{text}")
            self.assertEqual(error.key, "bridge[0].listen[1]")
            self.assertIn("bridge[0].listen[0] has it already", str(error))
        second = SECOND.replace(DRIVER, f"listen = ['ptcp:']\n{DRIVER}")
        error = self.assertRaises(
            ConfigError, self.load, f"{BRIDGE}listen = ['ptcp:']\n{DRIVER}{second}"
        )
        self.assertEqual(error.key, "bridge[1].listen[0]")

    def test_peers(self) -> None:
        """A peer is described once, and only where there is TLS."""
        entry = '[[bridge.peer]]\nname = "boss"\nrole = "controller"\n'
        tls = "[tls]\n" + "".join(
            f"{key} = 'ofagent.toml'\n" for key in ("certificate", "private_key", "ca")
        )
        text = f"{tls}{BRIDGE}{DRIVER}{entry}"
        self.assertEqual(self.load(text).bridges[0].peers[0].name, "boss")
        self.refused(
            text + entry,
            'bridge[0].peer[1].name = "boss": bridge[0].peer[0].name has it already; '
            "every peer is described once",
        )
        self.refused(
            f"{BRIDGE}{DRIVER}{entry}",
            "bridge[0].peer[0].name: a peer has a name by TLS: needs a [tls] table in this file",
        )

    def test_any_free_port(self) -> None:
        """Port 0 is another one each time."""
        config = self.load(f"{BRIDGE}listen = ['ptcp:0', 'ptcp:0']\n{DRIVER}")
        self.assertEqual(len(config.bridges[0].listen), 2)

    def test_own_sockets(self) -> None:
        """The control socket and HTTP are sockets like the others."""
        self.refused(
            f"[agent]\nhttp = '127.0.0.1:6653'\n{BRIDGE}listen = ['ptcp::127.0.0.1']\n{DRIVER}",
            'bridge[0].listen[0] = "ptcp:6653:127.0.0.1": agent.http has it already; '
            "every socket can be listened on once",
        )
        error = self.assertRaises(
            ConfigError,
            self.load,
            f"[agent]\ncontrol = 'br0.mgmt'\n{BRIDGE}listen = ['punix:br0.mgmt']\n{DRIVER}",
        )
        self.assertEqual(error.key, "bridge[0].listen[0]")

    def test_controllers(self) -> None:
        """A bridge has a controller once; two bridges may have the same."""
        controllers = "controllers = ['tcp:192.0.2.1', 'tcp:192.0.2.1:6653']\n"
        self.refused(
            BRIDGE + controllers + DRIVER,
            'bridge[0].controllers[1] = "tcp:192.0.2.1:6653": bridge[0].controllers[0] has it '
            "already; a bridge connects to a controller once",
        )
        one = "controllers = ['tcp:192.0.2.1']\n" + DRIVER
        self.load(BRIDGE + one + SECOND.replace(DRIVER, one))

    def test_tls(self) -> None:
        """Secure targets need certificates."""
        self.refused(
            f"{BRIDGE}controllers = ['ssl:192.0.2.1']\n{DRIVER}",
            'bridge[0].controllers[0] = "ssl:192.0.2.1:6653": '
            "ssl: needs a [tls] table in this file",
        )
        self.refused(
            f"{BRIDGE}listen = ['pssl:']\n{DRIVER}",
            'bridge[0].listen[0] = "pssl:6653:0.0.0.0": pssl: needs a [tls] table in this file',
        )

    def test_tables(self) -> None:
        """Tables differ in id and name."""
        table = "[[bridge.table]]\nid = {}\nname = '{}'\n"
        for first, second, key in [((0, "a"), (0, "b"), "id"), ((0, "a"), (1, "a"), "name")]:
            text = BRIDGE + DRIVER + table.format(*first) + table.format(*second)
            error = self.assertRaises(ConfigError, self.load, text)
            self.assertEqual(error.key, f"bridge[0].table[1].{key}")

    def test_ports(self) -> None:
        """A bridge's ports differ in number and name."""
        port = "[[bridge.port]]\nnumber = {}\nname = '{}'\ntype = 'memory'\n"
        for first, second, key in [((1, "a"), (1, "b"), "number"), ((1, "a"), (2, "a"), "name")]:
            text = BRIDGE + DRIVER + port.format(*first) + port.format(*second)
            error = self.assertRaises(ConfigError, self.load, text)
            self.assertEqual(error.key, f"bridge[0].port[1].{key}")

    def test_local(self) -> None:
        """A bridge has one port LOCAL, and no other port of the name that it has by itself."""
        port = "[[bridge.port]]\nnumber = {}\n"
        self.refused(
            BRIDGE + DRIVER + 2 * port.format('"LOCAL"'),
            'bridge[0].port[1].number = "LOCAL": bridge[0].port[0].number has it already; '
            "every port of a bridge needs a number of its own",
        )
        self.refused(
            BRIDGE + DRIVER + port.format('"LOCAL"') + port.format(1) + 'name = "br0"\n',
            'bridge[0].port[1].name = "br0": bridge[0].port[0].name has it already; '
            "every port of a bridge needs a name of its own",
        )

    def test_in_band_queue(self) -> None:
        """In-band control uses a queue that some port has, if any has one."""
        port = "[[bridge.port]]\nnumber = 1\nname = 'a'\n"
        text = BRIDGE + "in_band_queue = 5\n" + DRIVER + port
        for queues in ("[]", "[5, 1]"):
            self.load(f"{text}queues = {queues}\n")
        self.refused(
            f"{text}queues = [1, 6]\n",
            "bridge[0].in_band_queue = 5: must be a queue of some port",
        )

    def test_devices(self) -> None:
        """A device is a port of one bridge; ports in memory are each bridge's own."""
        port = "[[bridge.port]]\nnumber = 1\nname = 'eth1'\ntype = '{}'\n"
        two = BRIDGE + DRIVER + port + SECOND + port
        self.load(two.format("memory", "memory"))
        self.refused(
            two.format("netdev", "tap"),
            'bridge[1].port[0].name = "eth1": bridge[0].port[0].name has it already; '
            "a device can be a port of one bridge only",
        )
