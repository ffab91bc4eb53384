"""That the filters of rules do with packets what the software does with the rules.

Rules at random are translated and given to a model of the kernel (:mod:`.model`); frames at random
go through it, and through the datapath in software.  Where the kernel hands a packet to the
software, that goes on with it, as the driver does.  Frames, ports, what the controllers are told
and what each rule counted must be the same.
"""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import event, given
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.match import Match
from agent.packet.packet import parse
from drivers.interfaces import Counters, PacketInEvent
from drivers.software.driver import SoftwareDriver, create
from drivers.software.memory import MemoryPort
from drivers.software.port import NO_FLOOD, PORT_DOWN
from drivers.software.run import Run
from drivers.tcflower.actions import SHOT, TRAP, Gact, Skbedit, TcAction, goto_chain
from drivers.tcflower.credits import Accounts, Credits
from drivers.tcflower.filters import Filter
from drivers.tcflower.keys import needs_tag
from drivers.tcflower.places import FREE_CHAINS, LAST, entry_chain, low_chain
from drivers.tcflower.tails import Tails, credits_of
from drivers.tcflower.translate import Translation, translate
from drivers.tcflower.view import PortView, View
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.fakes import FakeGroup
from tests.drivers.tcflower import model
from tests.drivers.tcflower.model import TAGS, Tc
from tests.drivers.tcflower.worlds import PORTS, TABLES, World, worlds

LENGTH = 60
"""Ethernet's shortest frame: shorter ones are padded when they are sent."""

Result = tuple[list[tuple[int, bytes]], list[tuple[Any, ...]], dict[int, int], list[Any]]


def upcall(table_id: int, counted: bool, match: Match) -> tuple[TcAction, ...]:
    """Hand a packet to the software; the mark says how to go on."""
    return (Skbedit(mark=table_id << 1 | counted), Gact(TRAP))


def said(host: FakeHost) -> list[tuple[Any, ...]]:
    """What the controllers were told."""

    def facts(event: PacketInEvent) -> tuple[Any, ...]:
        data = event.data.ljust(LENGTH, b"\0")
        return data, event.in_port, event.reason, event.table_id, event.cookie

    return sorted(facts(event) for event in host.packet_ins)


class Software:
    """The datapath in software, with rules of its own counters."""

    def __init__(self, world: World) -> None:
        entries = [FakeEntry(f"p{n}", n) for n in PORTS]
        self.driver: SoftwareDriver = create({"tables": TABLES}, entries, [])
        self.host = FakeHost(miss_to_controller=False)
        self.driver.start(self.host)
        self.rules = {rule.cookie: attrs.evolve(rule, counters=Counters()) for rule in world.rules}
        self.groups = {
            one.group_id: FakeGroup(one.group_id, one.type, one.buckets) for one in world.groups
        }
        for group in self.groups.values():
            self.driver.set_numbered(FakeOperation.add(group))
        self.driver.submit([FakeOperation.add(rule) for rule in self.rules.values()])
        self.driver.port_mod(3, NO_FLOOD, NO_FLOOD)
        if world.down:
            self.driver.port_mod(world.down, PORT_DOWN, PORT_DOWN)

    def sent(self) -> list[tuple[int, bytes]]:
        """What was sent where."""
        found = []
        for number in PORTS:
            port = self.driver.port(number)
            assert isinstance(port, MemoryPort)
            found += [(number, frame.ljust(LENGTH, b"\0")) for frame in port.sent]
        return sorted(found)

    def counted(self) -> dict[int, int]:
        """How many packets each rule has counted, by its cookie."""
        return {cookie: rule.counters.packets for cookie, rule in self.rules.items()}

    def result(self) -> Result:
        """What has come of all."""
        groups = [
            [(one.packets, one.bytes) for one in (group.counters, *group.bucket_counters)]
            for group in self.groups.values()
        ]
        return self.sent(), said(self.host), self.counted(), groups

    def enter(self, in_port: int, frame: bytes) -> None:
        """A frame comes in."""
        pipeline = self.driver.pipeline
        pipeline.enter(Run(pipeline, parse(frame, in_port, False), in_port))

    def resume(self, in_port: int, frame: bytes, table_id: int, counted: bool) -> None:
        """A frame comes from the kernel."""
        pipeline = self.driver.pipeline
        packet = parse(frame, in_port, False)
        if counted:
            rule = pipeline.tables[table_id].lookup(packet.key)
            assert rule is not None
            rule.counters.packets -= 1
        pipeline.process(Run(pipeline, packet, in_port), table_id, packet.key)


class Kernel:
    """The same rules in the model of the kernel, and the software behind it."""

    def __init__(self, world: World) -> None:
        self.software = Software(world)
        self.tc = Tc()
        self.translations: list[Translation] = []
        ports = {
            n: PortView(
                f"p{n}", 10 + n, forwards=n != world.down, floods=n != 3, live=n != world.down
            )
            for n in PORTS
        }
        view = View(ports, {group.group_id: group for group in world.groups}, upcall=upcall)
        tails = Tails()
        self.accounts = Accounts(self.software.groups)
        self.credits: dict[Filter, Credits] = {}
        self.sizes = True
        self.owner: dict[tuple[int, int], FakeRule] = {}
        for table in range(TABLES):
            go = (Gact(goto_chain(low_chain(table))),)
            self.tc.add([Filter(entry_chain(table), LAST, go)])
            self.tc.add([Filter(low_chain(table), LAST, (Gact(SHOT),))])
        for rule in world.rules:
            made = translate(rule, view, fallback=True)
            if made.reason is not None:
                event(made.reason.kind)
            self.translations.append(made)
            chain = 0
            if made.tail:
                chain, new = tails.hold(made.tail)
                self.tc.add(new)
                self.credits.update(zip(new, credits_of(made.tail), strict=False))
            own = made.filters(chain)
            self.credits.update(dict.fromkeys(own, made.credits))
            self.tc.add(own)
            if not made.upcall:
                self.owner[made.chain, made.pref] = rule
        self.sent: list[tuple[int, bytes]] = []
        self.counts = dict.fromkeys(self.software.rules, 0)

    def enter(self, in_port: int, frame: bytes) -> None:
        """A frame comes in."""
        verdict = self.tc.run(frame, f"p{in_port}")
        self.sent += [(ifindex - 10, data) for ifindex, data in verdict.sent]
        before = verdict.hits[:1]
        for hit, data in zip(verdict.hits, verdict.frames, strict=True):
            credited = self.credits.get(hit, ())
            tagged, told = model.number(data, 12, 2) in TAGS, needs_tag(hit.keys)
            # It does not count the outer tag, which is known if the rule or its tail match one.
            self.accounts.count(credited, 1, len(data) + 4 * (told - tagged))
            if credited and tagged and not told:
                self.sizes &= hit.chain >= FREE_CHAINS and needs_tag(before[0].keys)
            before = [hit]
            rule = self.owner.get((hit.chain, hit.pref))
            if rule is not None:
                self.counts[rule.cookie] += 1
        if verdict.trapped is not None:
            skb, hit = verdict.trapped
            marked = hit.actions[-2]
            assert isinstance(marked, Skbedit) and marked.mark is not None
            table, counted = marked.mark >> 1, bool(marked.mark & 1)
            self.software.resume(in_port, bytes(skb.data), table, counted)

    def result(self) -> Result:
        """What has come of all."""
        sent, told, counted, groups = self.software.result()
        sent += [(number, frame.ljust(LENGTH, b"\0")) for number, frame in self.sent]
        return sorted(sent), told, {c: n + self.counts[c] for c, n in counted.items()}, groups


class EquivalenceTests(SynchronousTestCase):
    """The kernel does what the software does."""

    def check(self, world: World) -> None:
        """Check every frame alone, so that the one that tells is seen."""
        for in_port, frame in world.frames:
            if in_port == world.down:
                continue
            software, kernel = Software(world), Kernel(world)
            software.enter(in_port, frame)
            kernel.enter(in_port, frame)
            *done, groups = kernel.result()
            *wanted, counted = software.result()
            self.assertEqual(done, wanted, (in_port, frame.hex()))
            if not kernel.sizes:
                groups, counted = (
                    [[one[0] for one in group] for group in of] for of in (groups, counted)
                )
            self.assertEqual(groups, counted, (in_port, frame.hex()))

    @given(worlds())
    def test_rules(self, world: World) -> None:
        """With rules of all tables."""
        self.check(world)

    @given(worlds(groups=True))
    def test_groups(self, world: World) -> None:
        """With groups, too."""
        self.check(world)
