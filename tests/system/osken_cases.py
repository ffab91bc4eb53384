"""os-ken's cases without its tester, for a machine that is too slow for it.

In an emulated machine four testers, each with its Open vSwitch, have not begun after five minutes.
So here the messages and the frames are made of os-ken's files, by os-ken's classes, and what comes
out is judged here: as its tester does, but without its second of waiting and without a second
switch.  :mod:`tests.system.test_osken` compares both judges.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

import attrs
from os_ken.lib import packet
from os_ken.ofproto import ofproto_parser, ofproto_protocol

from agent.openflow import messages as of
from agent.openflow.errors import CODES
from agent.openflow.match import MATCH_ALL
from agent.packet.protocols import ETH_TOTAL_MIN
from tests.system import need
from tests.system.network import NetworkCase, ip
from tests.system.osken import BIN, CHECKSUMS, PORTS, Case, read_suite, suites

RECEIVE, SEND = 1, 2
"""The ports at which a frame comes in and goes out in every case."""
ERRORS: Final = {code.of13: code.name for code in CODES.values()}
PATIENCE: Final = 3.0
"""Seconds that a frame may take, as with os-ken's tester."""

AGENT: Final = """
[agent]
run_dir = "run"
control = "ofagent.ctl"
"""
BRIDGE: Final = """
[[bridge]]
name = "br{n}"
datapath_id = "{id:016x}"
protocols = ["OpenFlow13"]
listen = ["punix:br{n}.mgmt"]
[bridge.driver]
{driver}
"""
PORT: Final = """
[[bridge.port]]
number = {number}
name = "b{n}p{number}"
type = "netdev"
"""


@attrs.frozen
class Trial:
    """A case, as octets.

    :ivar requests: the messages that add its rules.
    :ivar sent: the frame that is sent into :data:`RECEIVE`.
    :ivar egress: the frame that must come out of :data:`SEND`, or None.
    :ivar packet_in: the frame that the controller must be told of, or None.
    :ivar missed: the tables that may match nothing, at least one of which must be asked.
    """

    case: Case
    requests: tuple[bytes, ...]
    sent: bytes
    egress: bytes | None
    packet_in: bytes | None
    missed: tuple[int, ...]


def packet_classes() -> dict[str, Any]:
    """The classes that the text of a frame names.

    Where two modules have a class of one name, as ``echo``, that of the second is called with the
    module's name before it: ``icmpv6echo``.
    """
    found: dict[str, Any] = {}
    for module in sorted(each.name for each in pkgutil.iter_modules(packet.__path__)):
        loaded = importlib.import_module(f"{packet.__name__}.{module}")
        for name, kind in inspect.getmembers(loaded, inspect.isclass):
            found.setdefault(name, kind)
            found.setdefault(module + name, kind)
    return found


def read_trials(suite: str) -> list[Trial]:
    """The cases of a suite of OpenFlow 1.3 which send one frame each.

    Those that are wrong (:data:`tests.system.osken.CHECKSUMS`) expect what is to come out instead.
    """
    classes = packet_classes()
    datapath = ofproto_protocol.ProtocolDesc(version=of.OFP13)

    def frame(lines: Sequence[str] | None) -> bytes | None:
        if lines is None:
            return None
        # As os-ken itself reads its cases.
        whole = eval("/".join(lines), dict(classes))
        whole.serialize()
        return bytes(whole.data)

    def request(body: Any) -> bytes:
        message = ofproto_parser.ofp_msg_from_jsondict(datapath, body)
        message.set_xid(1)
        message.serialize()
        return bytes(message.buf)

    trials = []
    for file in read_suite(suite):
        parts = json.loads((suites() / file.cases[0].file).read_text())
        bodies = [part for part in parts if isinstance(part, dict)]
        for case, body in zip(file.cases, bodies, strict=True):
            (test,) = body["tests"]
            if case.file in CHECKSUMS:
                right = f"sctp(csum={CHECKSUMS[case.file]}, "
                test["egress"] = [line.replace("sctp(", right) for line in test["egress"]]
            sent = frame(test["ingress"])
            assert sent is not None
            trial = Trial(
                case,
                tuple(map(request, body["prerequisite"])),
                sent,
                frame(test.get("egress")),
                frame(test.get("PACKET_IN")),
                tuple(test.get("table-miss", ())),
            )
            trials.append(trial)
    return trials


class CasesCase(NetworkCase):
    """An agent with some bridges, each of which has ports for the cases."""

    def setUp(self) -> None:
        """Look for the cases."""
        need(BIN.exists(), "os-ken's cases are missing: make .venv-faucet/stamp")
        super().setUp()

    def start_bridges(self, *drivers: str) -> None:
        """Start it.

        :param drivers: what stands in ``[bridge.driver]`` of each bridge.
        """
        self.hosts = self.namespace()
        text = AGENT
        for n, driver in enumerate(drivers):
            text += BRIDGE.format(n=n, id=n + 1, driver=driver)
            for number in PORTS:
                text += PORT.format(n=n, number=number)
                peer = ("peer", "name", f"h{n}p{number}", "netns", self.hosts)
                device = f"b{n}p{number}"
                ip("link", "add", "name", device, "type", "veth", *peer, namespace=self.switch)
                ip("link", "set", "dev", f"h{n}p{number}", "up", namespace=self.hosts)
                ip("link", "set", "dev", device, "up", namespace=self.switch)
        self.start(text=text)
        self.wait(lambda: all(map(self._listens, range(len(drivers)))), "to listen")
        self.judges = [Judge(self, n) for n in range(len(drivers))]

    def _listens(self, n: int) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return not probe.connect_ex(str(self.directory / "run" / f"br{n}.mgmt"))


class Judge:
    """Tries cases on one bridge.

    :param test: whose bridge it is.
    :param n: which.
    """

    def __init__(self, test: CasesCase, n: int) -> None:
        self._control = test.unix_controller(f"br{n}")
        # Without it a connection that the agent has not made is told of no packets.
        self._control.send(of.SetConfig(0, 0xFFFF, 1))
        self._in, self._out = (test.wire(test.hosts, f"h{n}p{port}") for port in (RECEIVE, SEND))
        self._test = test

    def judge(self, trial: Trial) -> str:
        """Try a case.

        :returns: why it has failed, or nothing; ``refused: ...`` is a rule's OpenFlow error.
        """
        control = self._control
        control.send(of.FlowMod(of.FlowModCommand.DELETE, MATCH_ALL, table_id=of.ALL_TABLES))
        for request in trial.requests:
            control.socket.sendall(request)
        control.send(of.BarrierRequest(2))
        refused = ""
        # What packets of the case before still say is no answer.
        while not isinstance(answer := control.next().message, of.BarrierReply):
            if isinstance(answer, of.ErrorMessage) and not refused:
                refused = f"refused: {ERRORS[answer.type, answer.code]}"
        if refused:
            return refused
        if len(control.flows()) != len(set(trial.requests)):
            return "the rules are not those that were added"
        if trial.egress is not None:
            return self._egress(trial, trial.egress)
        if trial.packet_in is not None:
            return self._packet_in(trial, trial.packet_in)
        return self._miss(trial)

    def _egress(self, trial: Trial, expected: bytes) -> str:
        self._out.drain()
        self._in.send(trial.sent)
        found = self._out.receive(PATIENCE)
        if found is None:
            return "nothing came out"
        # What rules have made too short, network cards pad; a pair of virtual devices has none.
        wire = found.ljust(ETH_TOTAL_MIN, b"\0")
        return "" if wire == expected else f"came out: {found.hex()}"

    def _packet_in(self, trial: Trial, expected: bytes) -> str:
        self._in.send(trial.sent)
        try:
            event = self._control.next(PATIENCE).message
        except TimeoutError:
            return "no packet-in"
        if not isinstance(event, of.PacketIn) or event.reason != of.PacketInReason.ACTION:
            return f"not the packet-in: {event}"
        return "" if event.data == expected else f"told: {event.data.hex()}"

    def _miss(self, trial: Trial) -> str:
        before = self._tables()
        self._in.send(trial.sent)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            after = self._tables()
            asked = [n for n in trial.missed if after[n][0] > before[n][0]]
            if any(after[n][1] > before[n][1] for n in asked):
                return "it was matched"
            if asked:
                return ""
        return "no table was asked"

    def _tables(self) -> dict[int, tuple[int, int]]:
        self._control.send(of.TableStatsRequest())
        tables = self._control.expect(of.TableStatsReply).tables
        return {one.table_id: (one.lookup_count, one.matched_count) for one in tables}
