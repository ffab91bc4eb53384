"""Flow monitors: `ovs-ofctl monitor BRIDGE watch:`, beside Open vSwitch, and a slow reader."""

from __future__ import annotations

import re
import shutil
import socket
import struct
from collections.abc import Iterable
from typing import Final

from agent.openflow import messages as of
from agent.openflow import nx_messages as nxm
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.codec import encode
from agent.openflow.match import Match
from agent.openflow.nx_messages import FlowMonitorFlags as Flags
from tests.system import need
from tests.system.agent import AgentCase, Controller
from tests.system.peer import PeerCase
from tests.system.test_monitor import Monitor

VERSIONS: Final = (of.OFP10, of.OFP13)
OPTIONS: Final = {of.OFP10: ("-O", "OpenFlow10"), of.OFP13: ("-O", "OpenFlow13")}
ALL: Final = int(Flags.INITIAL | Flags.ADD | Flags.DELETE | Flags.MODIFY)
EVENT: Final = re.compile(r"^ event=.*", re.MULTILINE)

WATCHES: Final = (
    "",
    "!initial,!actions",
    "out_port=2",
    "in_port=1,!own",
    "!add",
    "!delete,!modify",
    "tcp,!actions",
    "table=0,in_port=3",
)
"""What the manual says of which flows can be watched, in many ways."""

COMMANDS: Final = (
    ("add-flow", "in_port=1,priority=5,cookie=3,idle_timeout=60,actions=output:2"),
    ("add-flow", "tcp,tp_dst=80,hard_timeout=70,actions=output:1,output:3"),
    ("mod-flows", "in_port=1,actions=output:1"),
    ("mod-flows", "in_port=1,actions=output:1"),
    ("mod-flows", "in_port=7,actions=output:2"),
    ("add-flow", "in_port=1,priority=5,actions=output:3"),
    ("add-flow", "in_port=1,priority=5,actions=output:3"),
    ("--strict", "mod-flows", "in_port=1,priority=5,cookie=9,actions=output:2"),
    ("--strict", "del-flows", "in_port=1,priority=5"),
    ("add-flow", "in_port=3,actions=drop"),
    ("del-flows", "in_port=9"),
    ("del-flows",),
)
"""What becomes of flows, in many ways."""


GARBLED: Final = ("an error about another request",)


class WatchTests(PeerCase):
    """The same is done to both switches, and the same is to be told."""

    def setUp(self) -> None:
        """Start both."""
        super().setUp()
        need(shutil.which("ovs-ofctl"), "ovs-ofctl is missing: install openvswitch-common")
        self.start_peer()

    def story(self, target: str, version: int, watch: str) -> list[list[str]]:
        """What a monitor prints at first, and then for each command, by line."""
        self.change(target, version, "add-flow", "in_port=1,priority=1,actions=output:2")
        self.change(target, version, "add-flow", "udp,priority=2,actions=output:1")
        monitor = Monitor(self, target, version, f"watch:{watch}")
        told = [self.events(monitor)]
        for command in COMMANDS:
            self.change(target, version, *command)
            told.append(self.events(monitor))
        return told

    def change(self, target: str, version: int, *command: str) -> None:
        """Run a command of ovs-ofctl."""
        words = list(command)
        words.insert(2 if words[0].startswith("-") else 1, target)
        self.run_command("ovs-ofctl", *OPTIONS[version], *words, check=True)

    @staticmethod
    def events(monitor: Monitor) -> list[str]:
        """What the monitor was told of flows since the last time.

        One command may concern several flows, in any order.
        """
        return sorted(line for line in monitor.fresh() if EVENT.match(line))

    def test_watch(self) -> None:
        """Additions, changes and deletions, with all filters, in both versions."""
        for version in VERSIONS:
            for watch in WATCHES:
                ours, theirs = (self.story(target, version, watch) for target in ("br0", self.peer))
                self.assertEqual(ours, theirs, (version, watch))
                self.assertGreater(sum(map(len, ours)), 1, (version, watch))

    def test_own(self) -> None:
        """What a monitor has asked for itself it is told by xid, or in full, as it likes."""
        for version in VERSIONS:
            for watch in ("!own", ""):
                told = []
                for target in ("br0", self.peer):
                    self.change(target, version, "del-flows")
                    monitor = Monitor(self, target, version, f"watch:{watch}")
                    rounds = []
                    for xid, command in enumerate(of.FlowModCommand, 0x31):
                        match = Match.of(in_port=1) if command in (0, 4) else Match()
                        actions = (ApplyActions((Output(1 + command),)),)
                        monitor.send(of.FlowMod(command, match, 5, actions, xid=xid))
                        rounds.append(self.events(monitor))
                    told.append(rounds)
                self.assertEqual(told[0], told[1], (version, watch))
                self.assertGreater(sum(map(len, told[0])), 1)

    def test_errors(self) -> None:
        """What is wrong with a request is so for both, in the same way.

        Open vSwitch 3.1 quotes memory that it has given back in some of its errors, and takes their
        version from there: those do not count.
        """
        for version in VERSIONS:
            counted = 0
            ours, theirs = (self.connect(target, version) for target in ("br0", self.peer))
            for frame in self.mistakes(version):
                found, wanted = self.answer(ours, frame), self.answer(theirs, frame)
                self.assertNotIn(GARBLED, found)
                if GARBLED not in wanted:
                    counted += 1
                    self.assertEqual(found, wanted, frame.hex())
            self.assertGreater(counted, 20)
            for controller in (ours, theirs):
                controller.close()

    @staticmethod
    def mistakes(version: int) -> Iterable[bytes]:
        """Requests, most of them wrong."""

        def request(*monitors: nxm.FlowMonitor) -> bytes:
            return encode(version, nxm.FlowMonitorRequest(monitors, 9))

        def monitor(number: int, flags: int = ALL, **fields: int) -> nxm.FlowMonitor:
            return nxm.FlowMonitor(number, flags, **fields)  # type: ignore[arg-type]

        yield request(monitor(1))
        yield request(monitor(1))
        yield request(monitor(2), monitor(3), monitor(2))
        yield request(monitor(2, 0))
        yield request(monitor(2, int(Flags.INITIAL)))
        yield request(monitor(2, 0x40))
        yield request(monitor(2, 0x42))
        yield request(monitor(2, table_id=255))
        for number in (2, 1, 1, 3, 0, 0xFFFFFFFF):
            yield encode(version, nxm.FlowMonitorCancel(number, 9))
        whole = request(monitor(7))
        for length in range(24, len(whole)):
            yield whole[:2] + struct.pack("!H", length) + whole[4:length]
        yield whole[:-1] + b"\1"

    @staticmethod
    def answer(controller: Controller, frame: bytes) -> list[tuple[object, ...]]:
        """Errors by their numbers, and of replies what they say."""
        controller.socket.sendall(frame + encode(controller.version, of.BarrierRequest(2)))
        found: list[tuple[object, ...]] = []
        while not isinstance(message := controller.next().message, of.BarrierReply):
            if isinstance(message, of.ErrorMessage):
                vendor, quoted = b"", message.data
                if message.type in (0xB0C2, 0xFFFF):
                    size = 8 if message.type == 0xB0C2 else 4
                    vendor, quoted = quoted[:size], quoted[size:]
                quotes = len(quoted) >= 8 and frame.startswith(quoted[:64])
                found.append((message.type, message.code, vendor) if quotes else GARBLED)
            elif isinstance(message, nxm.FlowMonitorReply):
                found.append((message.xid, len(list(message.updates))))
        return found


class SlowTests(AgentCase):
    """Slow hardware, and slow readers."""

    def test_hardware(self) -> None:
        """A change is told when the hardware has confirmed it, before the barrier behind it; what
        the hardware refuses is not told, though it is shown for a while."""
        self.start_asic(200, size=2)
        watcher, writer = self.controller(), self.controller()
        watcher.send(nxm.FlowMonitorRequest((nxm.FlowMonitor(1, ALL),), 5))
        self.assertEqual(watcher.expect(nxm.FlowMonitorReply).xid, 5)
        for port in (1, 2, 3):
            writer.send(of.FlowMod(0, Match.of(in_port=port), 5, xid=port))
        self.assertEqual(len(writer.flows()), 3)
        told = []
        for _ in range(2):
            arrival = watcher.next()
            told += [update.match for update in arrival.message.updates]
        self.assertEqual(told, [Match.of(in_port=1), Match.of(in_port=2)])
        self.assertEqual(writer.expect(of.ErrorMessage).xid, 3)
        writer.barrier()
        watcher.barrier()

    def test_reader(self) -> None:
        """Who does not read is paused, others go on, and in the end he knows everything."""
        self.start()
        path = str(self.directory / "run" / "br0.mgmt")
        for version in VERSIONS:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(path)
            slow, writer = Controller(connection, version), self.controller(version)
            slow.send(nxm.FlowMonitorRequest((nxm.FlowMonitor(1, ALL),), 5))
            slow.expect(nxm.FlowMonitorReply)
            ports = range(1, 20_001)
            for port in ports:
                writer.send(of.FlowMod(0, Match.of(in_port=port), 5))
            writer.barrier()
            writer.send(of.FlowMod(3, Match.of(in_port=1)), of.FlowMod(3, Match.of(in_port=20_000)))
            writer.barrier()
            copy: set[Match] = set()
            kinds: list[type] = []
            while nxm.FlowMonitorResumed not in kinds:
                message = slow.next().message
                if isinstance(message, nxm.FlowMonitorReply):
                    for update in message.updates:
                        assert isinstance(update, nxm.FlowUpdate)
                        if update.event == nxm.FlowUpdateEvent.DELETED:
                            copy.remove(update.match)
                        else:
                            copy.add(update.match)
                else:
                    kinds.append(type(message))
            self.assertEqual(kinds, [nxm.FlowMonitorPaused, nxm.FlowMonitorResumed])
            slow.barrier()
            self.assertEqual(copy, {Match.of(in_port=port) for port in ports[1:-1]})
            slow.close()
            writer.send(of.FlowMod(3, Match()))
            writer.barrier()
