"""Tests of :mod:`agent.admin.commands_ofproto`."""

from __future__ import annotations

from agent.admin.commands_ofproto import MAX_OPERATIONS, OFProtoCommands
from agent.admin.unixctl import CommandRegistry
from agent.connmgr.settings import ConnectionKind
from agent.connmgr.status import ConnectionStatus
from agent.ofproto.ofproto import OFProto
from agent.openflow.match import MATCH_ALL, Match
from agent.openflow.messages import FlowModCommand
from tests.admin.agents import CommandCase, FakeAgent, FakeBridge, FaultyDriver
from tests.ofproto.numbered import G_ADD, NumberedTestCase, bucket, group_mod, meter_mod
from tests.ofproto.stage import output

ADD = FlowModCommand.ADD
DELETE = FlowModCommand.DELETE
MODIFY = FlowModCommand.MODIFY


class OFProtoCase(NumberedTestCase, CommandCase):
    """One bridge with a scriptable driver."""

    max_entries = (200, 8)

    def setUp(self) -> None:
        """Make an agent of the switch."""
        super().setUp()
        self.bridge = FakeBridge(self.switch)
        self.agent = FakeAgent({"br0": self.bridge})
        self.registry = CommandRegistry()
        OFProtoCommands(self.agent, self.clock).register(self.registry)

    def pending(self, *args: str) -> list[str]:
        """The lines of ``ofproto/pending``."""
        result = self.registry.execute("ofproto/pending", args)
        self.clock.pump([0] * 3)
        return self.successResultOf(result).splitlines()


class PendingTests(OFProtoCase):
    """``ofproto/pending``."""

    def test_nothing(self) -> None:
        """A bridge with nothing in flight says so."""
        self.assertEqual(self.pending(), ["br0: 0 groups in flight, 0 messages postponed"])
        self.assertEqual(self.pending("br0"), self.pending())

    def test_groups(self) -> None:
        """Each group is shown with its request, its owner and its age, and each of its operations
        with its state."""
        self.start(ADD, Match.of(in_port=1), xid=0x17)
        self.clock.advance(1.5)
        self.send(ADD, MATCH_ALL, requester=self.old, table_id=1, priority=0, instructions=())
        result = self.registry.execute("ofproto/pending", ())
        self.clock.advance(0)
        self.assertEqual(
            self.successResultOf(result).splitlines(),
            [
                "br0: 2 groups in flight, 0 messages postponed",
                "  xid=0x17 of br0<->test, 1.500 s",
                "    add (in flight): table=0, priority=100,in_port=1,actions=output:2",
                "  xid=0x7 of br0<->old, 0.000 s",
                "    add (in flight): table=1, priority=0,actions=drop",
            ],
        )
        self.run_to_end()

    def test_many_operations(self) -> None:
        """Of a group that is large, so many operations are shown as people can read; those that
        are over are only counted."""
        count = MAX_OPERATIONS + 20
        for number in range(count):
            self.start(ADD, Match.of(in_port=number + 1))
            self.driver.finish()
        self.start(DELETE)
        for _ in range(5):
            self.driver.finish()
        head, group, *operations, last = self.pending()
        self.assertEqual(head, "br0: 1 group in flight, 0 messages postponed")
        self.assertIn("xid=0x7 of br0<->test", group)
        self.assertEqual(len(operations), MAX_OPERATIONS)
        self.assertTrue(all("delete (in flight): table=0" in line for line in operations))
        self.assertEqual(last, f"    and 15 more; 5 of {count} are over")
        self.run_to_end()

    def test_undo(self) -> None:
        """A group that is being taken back is shown with why, and with what is done for it."""
        for port in (1, 2):
            self.add(Match.of(in_port=port))
        self.start(MODIFY, instructions=output(3))
        self.driver.finish()
        self.driver.fail()
        self.turn()
        _, _, why, undo = self.pending()
        self.assertIn("being undone, for: ", why)
        self.assertIn("made to fail by a test", why)
        self.assertIn("modify (in flight): table=0, priority=100,in_port=", undo)
        self.assertIn("actions=output:2", undo)
        self.run_to_end()

    def test_attempts(self) -> None:
        """A deletion that is tried again says so."""
        self.add()
        self.start(DELETE)
        self.driver.fail()
        self.assertEqual(
            self.pending()[2],
            "    delete (retrying, attempt 2): table=0, priority=100,actions=output:2",
        )
        self.run_to_end()

    def test_postponed(self) -> None:
        """Each postponed message is shown with its xid, its connection, how long it has waited, and
        for what."""
        status = ConnectionStatus(
            name="br0<->tcp:127.0.0.1:4711",
            kind=ConnectionKind.SERVICE,
            state="ACTIVE",
            since=1.0,
            waiting_for="its own 2 operation groups",
            waiting_xid=0x17,
            waiting_seconds=1.5,
        )
        idle = ConnectionStatus(
            name="br0<->unix#1", kind=ConnectionKind.SERVICE, state="ACTIVE", since=1.0
        )
        self.bridge.connections.found = [idle, status]
        self.assertEqual(
            self.pending(),
            [
                "br0: 0 groups in flight, 1 message postponed",
                "  postponed: xid=0x17 of br0<->tcp:127.0.0.1:4711, 1.500 s, "
                "waits for its own 2 operation groups",
            ],
        )

    def test_ended_meanwhile(self) -> None:
        """A group that ends while a long answer is prepared is left out of it."""
        self.start(ADD)
        result = self.registry.execute("ofproto/pending", ())
        self.driver.finish()
        self.clock.advance(0)
        self.assertEqual(len(self.successResultOf(result).splitlines()), 1)

    def test_unknown_bridge(self) -> None:
        """An unknown bridge is named in the error, with those there are."""
        self.assertEqual(
            self.command_refused("ofproto/pending", "br9"),
            'BRIDGE: there is no bridge "br9" (there are: br0)',
        )
        self.agent.bridges.clear()
        self.assertEqual(
            self.command_refused("ofproto/pending", "br9"),
            'BRIDGE: there is no bridge "br9" (there are: none)',
        )


class OtherTests(OFProtoCase):
    """The other commands."""

    def test_list(self) -> None:
        """The bridges are listed by name."""
        self.agent.bridges["a0"] = self.bridge
        self.assertEqual(self.run_command("ofproto/list"), "a0\nbr0")

    def test_clog(self) -> None:
        """Hardware is halted and goes on, of the bridge that is named, or of all that can be."""
        drivers = {}
        for name in ("br1", "br2"):
            drivers[name] = FaultyDriver()
            ofproto = OFProto(name, 1, drivers[name], self.clock)
            self.agent.bridges[name] = FakeBridge(ofproto)
        self.assertEqual(self.run_command("ofproto/clog", "br1"), "br1: clogged")
        self.assertEqual([one.clogged for one in drivers.values()], [True, False])
        self.assertEqual(self.run_command("ofproto/clog"), "br1: clogged\nbr2: clogged")
        self.assertEqual([one.clogged for one in drivers.values()], [True, True])
        self.assertEqual(self.run_command("ofproto/unclog", "br2"), "br2: unclogged")
        self.assertEqual([one.clogged for one in drivers.values()], [True, False])
        self.assertEqual(self.run_command("ofproto/unclog"), "br1: unclogged\nbr2: unclogged")
        self.assertEqual([one.clogged for one in drivers.values()], [False, False])

    def test_cannot_be_clogged(self) -> None:
        """Hardware that cannot be halted is named in the error."""
        for args in (("br0",), ()):
            self.assertEqual(
                self.command_refused("ofproto/clog", *args),
                "BRIDGE: no driver that can be halted: br0 (scriptable)",
            )

    def test_flush(self) -> None:
        """Flushing is answered when every rule is gone."""
        self.add()
        result = self.registry.execute("ofproto/flush", ("br0",))
        self.turn()
        self.assertNoResult(result)
        self.assertIn("flushing: ", self.pending()[1])
        self.run_to_end()
        self.assertEqual(self.successResultOf(result), "br0: 0 rules left")

    def test_flush_stubborn(self) -> None:
        """What the hardware would not delete is counted."""
        self.add()
        for request in (group_mod(G_ADD, 1, bucket()), meter_mod(G_ADD, 2)):
            self.handle(request)
        self.run_to_end()
        self.switch.ledger.delete_attempts = 1
        result = self.registry.execute("ofproto/flush", ("br0",))
        for _ in range(40):
            self.turn()
            while self.driver.in_flight:
                self.driver.fail()
        self.assertEqual(self.successResultOf(result), "br0: 1 rule, 1 group, 1 meter left")

    def test_flush_nobody_waits_for(self) -> None:
        """A flush goes on when the one who asked for it has gone."""
        self.add()
        result = self.registry.execute("ofproto/flush", ())
        result.cancel()
        self.successResultOf(result)
        self.run_to_end()
        self.assertEqual(self.rules(), [])
        self.assertIsNone(self.switch.flushing)
