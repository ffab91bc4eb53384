"""Tests of the keys about how a bridge is controlled: fail modes, in-band, packets, snoops."""

from __future__ import annotations

from agent.connmgr.target import Target
from tests.admin.configfile import BRIDGE, DRIVER, FileCase


class ControlTests(FileCase):
    """What is read, and what is refused."""

    def test_defaults(self) -> None:
        """Without any of them: secure, out of band, as many packets as Open vSwitch, no snoops."""
        bridge = self.load(BRIDGE + DRIVER).bridges[0]
        self.assertEqual((bridge.fail_mode, bridge.in_band), ("secure", False))
        self.assertEqual((bridge.in_band_queue, bridge.in_band_remotes), (None, ()))
        self.assertEqual(bridge.in_band_next_hops, ())
        self.assertEqual((bridge.controller_rate_limit, bridge.controller_burst_limit), (1000, 0))
        self.assertEqual((bridge.snoop, bridge.listen), (False, ()))

    def test_given(self) -> None:
        """Each is read as what it stands for."""
        bridge = self.load(
            BRIDGE
            + """
            in_band = true
            in_band_queue = 0
            in_band_remotes = ["192.0.2.9:6640"]
            in_band_next_hops = ["02:00:00:00:0B:ff"]
            controller_rate_limit = 0
            controller_burst_limit = 7
            controllers = [
                "tcp:192.0.2.1",
                { target = "tcp:192.0.2.2", controller_rate_limit = 5, controller_burst_limit = 2 },
            ]
            """
            + DRIVER
        ).bridges[0]
        self.assertEqual(bridge.in_band_queue, 0)
        self.assertEqual(bridge.in_band_remotes, (("192.0.2.9", 6640),))
        self.assertEqual(bridge.in_band_next_hops, (0x020000000BFF,))
        self.assertEqual((bridge.controller_rate_limit, bridge.controller_burst_limit), (0, 7))
        self.assertEqual(
            [(one.controller_rate_limit, one.controller_burst_limit) for one in bridge.controllers],
            [(None, None), (5, 2)],
        )

    def test_snoop(self) -> None:
        """A bridge listens for snoops where ovs-ofctl looks for them, or where it is told to."""
        bridge = self.load(
            BRIDGE
            + """
            snoop = true
            listen = ["punix:br0.mgmt", { target = "punix:other", snoop = true }]
            """
            + DRIVER
        ).bridges[0]
        run_dir = self.directory / "run"
        names = [("br0.mgmt", False), ("other", True), ("br0.snoop", True)]
        self.assertEqual(
            [(one.target, one.snoop) for one in bridge.listen],
            [(Target.parse(f"punix:{run_dir / name}"), snoop) for name, snoop in names],
        )

    def test_snoop_refused(self) -> None:
        """A socket is listened on once, and its path must not be too long."""
        socket = f"punix:{self.directory / 'run' / 'br0.snoop'}"
        self.refused(
            BRIDGE + 'snoop = true\nlisten = ["punix:br0.snoop"]' + DRIVER,
            f'bridge[0].listen[1] = "{socket}": bridge[0].listen[0] has it already; '
            "every socket can be listened on once",
        )
        run_dir = "/" + "d" * 100
        self.refused(
            f'[agent]\nrun_dir = "{run_dir}"' + BRIDGE + "snoop = true" + DRIVER,
            f"bridge[0].snoop = true: {run_dir}/br0.snoop is no path for a socket; "
            "must be at most 107 bytes",
        )

    def test_refused(self) -> None:
        """What is wrong is named, with what is allowed there."""
        remote = "must be IP:PORT with an IPv4 address, and not port 0"
        mac = "must be the Ethernet address of a station, like 02:00:00:00:00:01"
        for key, value, problem in (
            ("in_band_queue", "-1", "must be an integer from 0 to 4294967294"),
            ("controller_rate_limit", "1000001", "must be an integer from 0 to 1000000"),
            ("snoop", "1", "must be true or false"),
        ):
            self.refused(
                BRIDGE + f"{key} = {value}" + DRIVER, f"bridge[0].{key} = {value}: {problem}"
            )
        for key, value, problem in (
            ("in_band_remotes", "[2001:db8::1]:6640", remote),
            ("in_band_remotes", "192.0.2.1:0", remote),
            ("in_band_next_hops", "00:00:00:00:00:00", mac),
            ("in_band_next_hops", "01:00:00:00:00:01", mac),
            ("in_band_next_hops", "02:00:00:00:00", mac),
            ("in_band_next_hops", "0200.0000.0001", mac),
        ):
            self.refused(
                BRIDGE + f'{key} = ["{value}"]' + DRIVER,
                f'bridge[0].{key}[0] = "{value}": {problem}',
            )
