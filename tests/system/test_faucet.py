"""Faucet drives the agent, as it would drive any switch: hosts ping each other across it.

Each test is one case (:mod:`tests.system.faucet`) on one driver, with a bridge and three hosts for
each kind of hardware that Faucet can be told of; the four are driven and tried at once.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from agent.openflow import group_messages as gm
from agent.openflow import messages as of
from agent.openflow.codec import header
from tests.system import need
from tests.system.agent import ROOT
from tests.system.faucet import (
    HARDWARE,
    HOSTS,
    PROGRAMS,
    Faucet,
    addresses,
    configuration,
    dpid,
)
from tests.system.network import NetworkCase, ip, ping

PORT: Final = 6653
FLOW_MOD: Final = 14
GROUP_MOD: Final = 15
BARRIER_REQUEST: Final = 20
BARRIER_REPLY: Final = 21

AGENT: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"
log_level = "debug"
"""
BRIDGE: Final = """
[[bridge]]
name = "br{n}"
datapath_id = "{dpid}"
protocols = ["OpenFlow13"]
listen = ["punix:br{n}.mgmt"]
controllers = [{{ target = "tcp:127.0.0.1:{port}", max_backoff = 1 }}]
{bridge}
[bridge.driver]
{driver}
"""
DEVICE: Final = """
[[bridge.port]]
number = {host}
name = "s{n}p{host}"
type = "netdev"
"""

OVS: Final = {"basic": 6, "acl": 4, "route": 5, "meter": 6}
"""How many of the six pairs of hosts reach each other across Open vSwitch 3.1, with each kind of
hardware: with "acl" two must not, and with "route" a first packet is lost while Faucet resolves."""

FORBIDDEN: Final = {"acl": {(1, 3), (3, 1)}}
"""The pairs which must not reach each other: either the request or the answer is from 1 to 3."""

TOO_EARLY: Final = {"meter": {"METER_MOD_FAILED.UNKNOWN_METER: meter 1"}}
"""What is rightly refused: Faucet takes up ports before it has set up the switch, and may add rules
that name a meter before the meter.  It adds them again."""

SOFTWARE: Final = 'name = "software"'


def asic() -> str:
    """A profile with the times of one that was measured, and as many tables as Faucet asks for."""
    measured = (ROOT / "etc" / "profiles" / "quanta.toml").read_text()
    tables = ", ".join(f"{{ id = {number}, size = 512 }}" for number in range(254))
    text, count = re.subn("^tables = .*$", f"tables = [{tables}]", measured, flags=re.MULTILINE)
    assert count == 1
    return text


class FaucetCase(NetworkCase):
    """A Faucet, and an agent with a bridge for each kind of hardware."""

    def setUp(self) -> None:
        """Look for Faucet."""
        need((PROGRAMS / "faucet").exists(), "Faucet is missing: make .venv-faucet/stamp")
        super().setUp()

    def start_asic_bridges(self, case: str, **options: Any) -> None:
        """Start an agent on simulated hardware."""
        profile = self.directory / "many.toml"
        profile.write_text(asic())
        self.start_bridges(case, f'name = "asic"\nprofile = "{profile}"', **options)

    def start_bridges(
        self, case: str, driver: str, bridge: str = "", hardware: tuple[str, ...] = HARDWARE
    ) -> None:
        """Start an agent, and the hosts.

        :param driver: what stands in ``[bridge.driver]``.
        :param bridge: more keys of the bridges.
        """
        self.hosts: list[dict[int, str]] = []
        self.rules: list[int] = []
        text = AGENT
        for n in range(len(hardware)):
            text += BRIDGE.format(n=n, dpid=dpid(n), port=PORT, driver=driver, bridge=bridge)
            hosts = {}
            for host, (address, router) in addresses(case).items():
                text += DEVICE.format(n=n, host=host)
                hosts[host] = self.host(f"s{n}p{host}", address)
                if router:
                    ip("route", "add", "default", "via", router, namespace=hosts[host])
            self.hosts.append(hosts)
        self.hardware = hardware
        self.start(text=text)

    def start_faucet(self, case: str) -> Faucet:
        """Start Faucet."""
        text = configuration(case, self.hardware)
        faucet = Faucet(self.directory, text, PORT, self.prefix)
        self.addCleanup(faucet.stop)
        return faucet

    def wait_for_faucet(self, faucet: Faucet, times: int = 1) -> None:
        """Wait until Faucet has set up every switch, and nothing is in flight any more.

        :param times: how often it has to have done so, since it was started.
        """
        told = [f"sw{n} table ID 0 table config" for n in range(len(self.hardware))]
        end = time.monotonic() + self.patience
        while not all(faucet.said(text) >= times for text in told) or not self.quiet():
            if time.monotonic() > end or not faucet.running:
                self.fail(f"the switches are not set up\n{self.story(faucet)}")
            time.sleep(0.2)

    def quiet(self) -> bool:
        """Whether all bridges have rules, as many as when it was last asked, and none in flight."""
        before, self.rules = (
            self.rules,
            [
                self.appctl("bridge/dump-flows", f"br{n}").count("\n")
                for n in range(len(self.hardware))
            ],
        )
        return (
            all(self.rules) and self.rules == before and "xid" not in self.appctl("ofproto/pending")
        )

    def story(self, faucet: Faucet) -> str:
        """What everybody has said, for the case that something went wrong."""
        return f"{faucet.tail()}\n--- agent\n{self.log.read_text()[-5000:]}"

    def pings(self, case: str) -> list[dict[tuple[int, int], int]]:
        """Have every host ping every other; returns, for each switch, how many of three packets
        were answered."""
        to = {host: address.partition("/")[0] for host, (address, _) in addresses(case).items()}

        def of_one(hosts: dict[int, str]) -> dict[tuple[int, int], int]:
            return {(a, b): ping(hosts[a], to[b]) for a in HOSTS for b in HOSTS if a != b}

        with ThreadPoolExecutor(len(self.hosts)) as pool:
            return list(pool.map(of_one, self.hosts))

    def run_case(self, case: str, driver: str) -> None:
        """Try a case on a driver."""
        if driver == "asic":
            self.start_asic_bridges(case)
        else:
            self.start_bridges(case, SOFTWARE)
        faucet = self.start_faucet(case)
        self.check_pings(case, faucet)
        self.assertEqual(faucet.exceptions(), "", self.story(faucet))
        refused = set(re.findall(r"xid \d+ refused: (.*)", self.log.read_text()))
        self.assertLessEqual(refused, TOO_EARLY.get(case, set()), self.story(faucet))
        self.check_tables()
        if case == "acl":
            self.assertTrue(all(reply.groups for reply in self.ask(gm.GroupDescRequest())))
        elif case == "meter":
            for reply in self.ask(gm.MeterStatsRequest()):
                self.assertGreater(reply.meters[0].packet_in_count, 0)

    def ask(self, request: of.Message) -> list[Any]:
        """The first reply of each bridge to a request."""
        replies = []
        for n in range(len(self.hardware)):
            controller = self.unix_controller(f"br{n}")
            controller.send(request)
            replies.append(controller.next().message)
        return replies

    def check_pings(self, case: str, faucet: Faucet, times: int = 1) -> None:
        """As many pairs reach each other as across Open vSwitch, and none that must not.

        :param times: see :meth:`wait_for_faucet`.
        """
        self.wait_for_faucet(faucet, times)
        for hardware, answered in zip(self.hardware, self.pings(case), strict=True):
            whole = [pair for pair, count in answered.items() if count == 3]
            told = f"{hardware}: {answered}\n{self.story(faucet)}"
            self.assertGreaterEqual(len(whole), OVS[case], told)
            for pair in FORBIDDEN.get(case, ()):
                self.assertEqual(answered[pair], 0, told)

    def check_tables(self) -> None:
        """Where Faucet asks for tables, it has got them, by their names and no others."""
        for n, hardware in enumerate(self.hardware):
            controller = self.unix_controller(f"br{n}")
            controller.send(of.TableFeaturesRequest())
            names: list[str] = []
            more = True
            while more:
                reply = controller.expect(of.TableFeaturesReply)
                names += [table.name for table in reply.tables]
                more = reply.more
            if hardware == "GenericTFM":
                self.assertLess(len(names), 20)
            else:
                self.assertEqual(len(names), 254)
            self.assertEqual({"vlan", "eth_src", "flood"} <= set(names), "TFM" in hardware, names)


class Snoop:
    """Somebody who sees what a bridge and its controller say.

    :ivar seen: every message, as its type and, of modifications, the command.
    :ivar times: when each of them was seen, in seconds of :func:`time.time`.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.settimeout(0.05)
        self._rest = b""
        self.seen: list[tuple[int, int]] = []
        self.times: list[float] = []

    def look(self, seconds: float = 0.1) -> None:
        """Take what comes for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                self._rest += self._socket.recv(1 << 16)
            while len(self._rest) >= 8:
                _, kind, length, _ = header(self._rest)
                if len(self._rest) < length:
                    break
                self.times.append(time.time())
                self.seen.append((kind, self._command(kind, self._rest)))
                self._rest = self._rest[length:]

    @staticmethod
    def _command(kind: int, data: bytes) -> int:
        if kind == FLOW_MOD:
            return data[25]
        return data[9] if kind == GROUP_MOD else 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def barrier(self) -> int | None:
        """The place of the first barrier request behind something that adds, if there is any yet.

        Its xid says nothing: all barriers of Faucet have the same.
        """
        self.look()
        added = False
        for place, (kind, command) in enumerate(self.seen):
            if kind in (FLOW_MOD, GROUP_MOD) and command == of.FlowModCommand.ADD:
                added = True
            elif kind == BARRIER_REQUEST and added:
                return place
        return None

    def answered(self, place: int) -> bool:
        """Whether the barrier request at this place was answered."""
        self.look()
        return any(kind == BARRIER_REPLY for kind, _ in self.seen[place:])


class SoftwareTests(FaucetCase):
    """The software driver."""

    def test_basic(self) -> None:
        """A VLAN: all reach each other."""
        self.run_case("basic", "software")

    def test_acl(self) -> None:
        """Groups, and a rule against some packets."""
        self.run_case("acl", "software")

    def test_route(self) -> None:
        """Faucet routes between two VLANs."""
        self.run_case("route", "software")

    def test_meter(self) -> None:
        """A meter on one host's packets."""
        self.run_case("meter", "software")


class AsicTests(FaucetCase):
    """Simulated hardware that takes its time."""

    def test_basic(self) -> None:
        """A VLAN: all reach each other."""
        self.run_case("basic", "asic")

    def test_acl(self) -> None:
        """Groups, and a rule against some packets."""
        self.run_case("acl", "asic")

    def test_route(self) -> None:
        """Faucet routes between two VLANs."""
        self.run_case("route", "asic")

    def test_meter(self) -> None:
        """A meter on one host's packets."""
        self.run_case("meter", "asic")

    def test_barrier(self) -> None:
        """With the hardware halted, no barrier of Faucet's is answered that stands behind something
        the hardware has to do; when it goes on they are, and hosts reach each other.
        """
        self.start_asic_bridges("acl", bridge="snoop = true", hardware=("Generic",))
        self.appctl("ofproto/clog")
        snoop = Snoop(self.directory / "run" / "br0.snoop")
        self.addCleanup(snoop.close)
        faucet = self.start_faucet("acl")
        self.wait(snoop.barrier, "a barrier")
        barrier = snoop.barrier()
        assert barrier is not None
        snoop.look(1.0)
        self.assertFalse(snoop.answered(barrier), self.story(faucet))
        self.assertIn("xid", self.appctl("ofproto/pending"))
        self.appctl("ofproto/unclog")
        self.wait(lambda: snoop.answered(barrier), "the answer")
        self.check_pings("acl", faucet)
