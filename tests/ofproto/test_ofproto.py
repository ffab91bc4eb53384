"""Tests of :mod:`agent.ofproto.ofproto`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from zope.interface import implementer
from zope.interface.verify import verifyObject

from agent.ofproto.interfaces import IRequester
from agent.ofproto.internal import Internal
from agent.ofproto.ofproto import OFProto
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.actions import Output
from agent.openflow.messages import FragHandling
from drivers.abilities import IFragments
from drivers.interfaces import IDriverHost, PacketInEvent, TableCounters
from drivers.testing import ScriptableDriver
from tests.ofproto.stage import ADD, DELETE, PORT1, PORT2, PORT3, Requester, SwitchTestCase


@implementer(IFragments)
class FragmentDriver(ScriptableDriver):
    """A driver that can drop fragments.

    :ivar handlings: what it was told to do with them.
    """

    frag_handlings = frozenset({FragHandling.NORMAL, FragHandling.DROP})

    def __init__(self) -> None:
        super().__init__()
        self.handlings: list[FragHandling] = []

    def set_frag_handling(self, handling: FragHandling) -> None:
        """Remember."""
        self.handlings.append(handling)


class FragmentTests(SwitchTestCase):
    """SET_CONFIG about fragments, where the driver has a choice."""

    def setUp(self) -> None:
        """A switch with such a driver."""
        super().setUp()
        self.fragments = FragmentDriver()
        self.switch = OFProto("br0", 1, self.fragments, self.clock)
        self.switch.observer = self.observer
        self.switch.start()

    def flags(self, requester: Requester | None = None) -> int:
        """What GET_CONFIG says of them."""
        flags: int = self.handle(of.GetConfigRequest(), requester).flags
        return flags

    def test_set(self) -> None:
        """They are treated as a controller wants, who it is does not matter: it is the switch's
        configuration, of which the driver is told when it changes."""
        verifyObject(IFragments, self.fragments)
        self.assertEqual(self.flags(), FragHandling.NORMAL)
        for flags in (1, 1, 0):
            self.handle(of.SetConfig(flags, 77))
            self.assertEqual((self.flags(), self.flags(self.old)), (flags, flags))
        self.assertEqual(self.fragments.handlings, [FragHandling.DROP, FragHandling.NORMAL])

    def test_refused(self) -> None:
        """What the driver cannot do is refused, and nothing changes then."""
        for flags in (2, 3, 4, 0x8001):
            self.refused(errors.SWITCH_CONFIG_BAD_FLAGS, self.handle, of.SetConfig(flags, 77))
        self.assertEqual((self.flags(), self.requester.miss_send_len), (0, 128))
        self.assertEqual(self.fragments.handlings, [])

    def test_slave(self) -> None:
        """A slave changes how much of packets it is sent, not what becomes of them."""
        slave = Requester()
        slave.slave = True
        self.handle(of.SetConfig(1, 77), slave)
        self.assertEqual((self.flags(), slave.miss_send_len), (0, 77))
        self.assertEqual(self.fragments.handlings, [])


class RequestTests(SwitchTestCase):
    """Requests about the switch as a whole."""

    def reply(self, request: Any, requester: Requester | None = None) -> Any:
        """The reply to a request, at once or by a Deferred that has fired."""
        result = self.handle(request, requester)
        return self.successResultOf(result) if hasattr(result, "addCallback") else result

    def test_unknown(self) -> None:
        """What is not a request is BAD_TYPE."""
        for message in (of.FeaturesReply(1, 0, 1), of.FlowStatsReply([]), object()):
            self.refused(errors.BAD_TYPE, self.handle, message)

    def test_features(self) -> None:
        """Features are the driver's; 1.0 is told of ports and actions as well."""
        reply = self.reply(of.FeaturesRequest(xid=5))
        self.assertEqual((reply.datapath_id, reply.n_tables, reply.n_buffers), (1, 2, 256))
        self.assertEqual((reply.xid, reply.ports, reply.actions), (5, (), 0))
        old = self.reply(of.FeaturesRequest(xid=6), self.old)
        self.assertEqual([port.port_no for port in old.ports], [1, 2])
        self.assertEqual((old.xid, old.actions), (6, 0xFFF))

    def test_config(self) -> None:
        """How much of a packet is sent is each connection's own."""
        other = Requester()
        self.assertIsNone(self.handle(of.SetConfig(0, 77)))
        self.assertEqual(self.reply(of.GetConfigRequest(9)), of.GetConfigReply(0, 77, 9))
        self.assertEqual(self.reply(of.GetConfigRequest(9), other), of.GetConfigReply(0, 128, 9))

    def test_invalid_ttl(self) -> None:
        """A connection of 1.0 says with SET_CONFIG whether it wants packets whose TTL ran out; one
        of 1.3 has other means."""
        flag = of.INVALID_TTL_TO_CONTROLLER
        for flags in (flag, 0, flag):
            self.handle(of.SetConfig(flags, 77), self.old)
            self.assertEqual(self.old.invalid_ttl, bool(flags))
            reply = self.reply(of.GetConfigRequest(9), self.old)
            self.assertEqual(reply, of.GetConfigReply(flags, 77, 9))
        self.refused(errors.SWITCH_CONFIG_BAD_FLAGS, self.handle, of.SetConfig(flag, 77))
        self.assertFalse(self.requester.invalid_ttl)
        self.requester.invalid_ttl = True
        self.assertEqual(self.reply(of.GetConfigRequest(9)), of.GetConfigReply(0, 128, 9))

    def test_config_refused(self) -> None:
        """Fragments are left alone by a driver that has no choice, and there are no other flags;
        nothing changes then."""
        for flags in (1, 2, 3, 4, 0x8000):
            self.refused(errors.SWITCH_CONFIG_BAD_FLAGS, self.handle, of.SetConfig(flags, 77))
        self.assertEqual(self.requester.miss_send_len, 128)

    def test_desc(self) -> None:
        """The description names the hardware; the driver's name stands in for it."""
        reply = self.reply(of.DescRequest(7))
        self.assertEqual(reply, of.DescReply("ofagent", "scriptable", "", "", "br0", 7))

    def test_table_stats(self) -> None:
        """Every table is listed with its rules; a driver need not count in each."""
        self.add(PORT1, table_id=1)
        self.driver.lookups = {1: TableCounters(9, 4)}
        reply = self.reply(of.TableStatsRequest(8))
        self.assertEqual(
            [(t.table_id, t.active_count, t.lookup_count, t.matched_count) for t in reply.tables],
            [(0, 0, 0, 0), (1, 1, 9, 4)],
        )
        self.assertEqual(reply.xid, 8)

    def test_table_mod(self) -> None:
        """Two bits have been without a meaning since 1.3; a table must exist."""
        for table_id in (0, 1, of.ALL_TABLES):
            self.assertIsNone(self.handle(of.TableMod(table_id, 3)))
        self.refused(errors.TABLE_MOD_BAD_TABLE, self.handle, of.TableMod(2, 0))
        self.refused(errors.TABLE_MOD_BAD_CONFIG, self.handle, of.TableMod(0, 4))

    def test_table_features(self) -> None:
        """The tables can be looked at; see :mod:`tests.ofproto.test_pipeline` for the rest."""
        reply = self.reply(of.TableFeaturesRequest(xid=4))
        self.assertEqual([table.max_entries for table in reply.tables], [8, 8])
        self.assertEqual(reply.xid, 4)

    def test_driver_cannot_read(self) -> None:
        """Should the driver be unable to say, the answer is a failure and not silence."""
        self.patch(ScriptableDriver, "port_stats", lambda driver: fail(OSError("no")))
        self.failureResultOf(self.handle(of.PortStatsRequest()), OSError)


class PacketTests(SwitchTestCase):
    """Packets that a controller sends."""

    def test_packet_out(self) -> None:
        """A packet goes to the driver, also from no port in particular and to the tables."""
        for port in (1, 99, of.Port.CONTROLLER, of.Port.LOCAL, of.ANY):
            actions = (Output(2), Output(of.Port.TABLE))
            self.assertIsNone(self.handle(of.PacketOut(of.NO_BUFFER, port, actions, b"frame")))
            sent = self.driver.packets[-1]
            self.assertEqual((sent.data, sent.in_port, sent.actions), (b"frame", port, actions))

    def test_packet_out_refused(self) -> None:
        """Port, actions and buffer must be such that the packet can be sent; else it is not."""
        for port in (0, of.Port.MAX, of.Port.FLOOD):
            self.refused(errors.REQUEST_BAD_PORT, self.handle, of.PacketOut(of.NO_BUFFER, port, ()))
        self.refused(
            errors.BAD_OUT_PORT, self.handle, of.PacketOut(of.NO_BUFFER, 1, (Output(0),), b"x")
        )
        self.refused(errors.BUFFER_UNKNOWN, self.handle, of.PacketOut(5, 1, (Output(1),)))
        self.assertEqual(self.driver.packets, [])


class HostTests(SwitchTestCase):
    """What a driver may ask and say."""

    def test_interfaces(self) -> None:
        """It is what the driver's contract says; parts of the agent are requesters."""
        verifyObject(IDriverHost, self.switch)
        verifyObject(IRequester, Internal("br0<->test"))
        self.assertIs(self.driver.host, self.switch)

    def test_rules(self) -> None:
        """A driver that has lost everything can ask for all there should be."""
        rules = [self.add(PORT1), self.add(PORT2, table_id=1)]
        self.assertCountEqual(self.switch.rules(), rules)

    def test_now(self) -> None:
        """The clock is the agent's."""
        self.clock.advance(3)
        self.assertEqual(self.switch.now(), 3.0)

    def test_events(self) -> None:
        """Packets and changes of ports go to the observer."""
        event = PacketInEvent(b"frame", 1, of.PacketInReason.ACTION)
        desc = of.PortDesc(1, 0x020000000001, "p1")
        self.switch.packet_in(event)
        self.switch.port_status(of.PortReason.DELETE, desc)
        self.assertEqual(self.observer.packet_ins, [event])
        self.assertEqual(self.observer.port_statuses, [of.PortStatus(of.PortReason.DELETE, desc)])

    def test_degraded(self) -> None:
        """A driver may find out later that an entry is not as it should be, and mend it."""
        rule, other = self.add(PORT1), self.add(PORT2)
        self.switch.degraded(rule.handle, "parity error")
        self.assertEqual((rule.degraded, other.degraded), ("parity error", ""))
        self.switch.restored(rule.handle)
        self.assertEqual(rule.degraded, "")
        self.switch.degraded(12345, "no such entry")

    def test_degraded_many(self) -> None:
        """All that a driver names at once are degraded, and no others."""
        rules = [self.add(PORT1), self.add(PORT2)]
        self.switch.degraded_many({rules[1].handle: None, 12345: None}.keys(), "reset")
        self.assertEqual([rule.degraded for rule in rules], ["", "reset"])


class SlotTests(SwitchTestCase):
    """A place among the groups in flight that was promised is used, or given back."""

    max_pending = 1

    def setUp(self) -> None:
        """One group is in flight; two others wait for its place."""
        super().setUp()
        self.group = self.start(ADD, PORT1)
        self.one, self.two = Requester(name="br0<->one"), Requester(name="br0<->two")
        self.first = self.postponed(self.send, ADD, PORT2, requester=self.one)
        self.second = self.postponed(self.send, ADD, PORT3, requester=self.two)

    def cleared(self) -> tuple[bool, bool]:
        """Who may go on."""
        return self.first.cleared, self.second.cleared

    def test_used(self) -> None:
        """The one whose turn it is uses it; then it is the next one's."""
        self.driver.finish()
        self.assertEqual(self.cleared(), (True, False))
        self.start(ADD, PORT2, requester=self.one)
        self.assertFalse(self.second.cleared)
        self.driver.finish()
        self.assertTrue(self.second.cleared)
        self.start(ADD, PORT3, requester=self.two)
        self.driver.finish()
        self.assertEqual(len(self.switch.admission), 0)

    def test_nobody_overtakes(self) -> None:
        """The place is not taken by one who comes between the promise and its use."""
        self.driver.finish()
        self.postponed(self.send, ADD, PORT3, requester=self.requester)
        self.start(ADD, PORT2, requester=self.one)
        self.driver.finish()
        self.assertTrue(self.second.cleared)

    def test_not_needed(self) -> None:
        """A request that turns out to have nothing to do, or to be wrong, gives it back."""
        self.driver.finish()
        self.assertIsNone(self.send(DELETE, PORT2, requester=self.one))
        self.assertTrue(self.second.cleared)
        self.refused(errors.FLOW_MOD_BAD_TABLE_ID, self.send, ADD, requester=self.two, table_id=9)
        self.assertEqual(len(self.switch.admission), 0)
        self.assertIsNotNone(self.send(ADD, PORT3))

    def test_now_in_the_way(self) -> None:
        """A request that now waits for something else gives it back, and comes last again."""
        self.driver.finish()
        self.start(ADD, PORT2, requester=self.internal)
        self.postponed(self.send, ADD, PORT2, requester=self.one)
        self.assertTrue(self.second.cleared)
        self.start(ADD, PORT3, requester=self.two)
        self.driver.finish_all()
        self.assertEqual(len(self.switch.admission), 0)

    def test_gone(self) -> None:
        """A session that is gone gives back what it was promised, and leaves the line."""
        self.driver.finish()
        self.switch.forgo(self.one)
        self.assertTrue(self.second.cleared)
        self.switch.forgo(self.two)
        self.assertEqual(len(self.switch.admission), 0)
        self.assertIsNotNone(self.send(ADD, PORT3))

    def test_its_groups_run_on(self) -> None:
        """What a session that is gone has in flight runs on, and still counts."""
        self.switch.forgo(self.requester)
        self.assertFalse(self.group.ended)
        self.assertEqual(self.cleared(), (False, False))
        self.driver.finish()
        self.assertEqual(self.requester.ended, [self.group])

    def test_no_traces(self) -> None:
        """A request that does not wait for a place leaves nothing behind."""
        self.assertEqual(len(self.switch.admission), 2)
        self.successResultOf(self.handle(of.FlowStatsRequest(), self.requester))
        self.assertEqual(self.handle(of.GetConfigRequest(), self.requester).miss_send_len, 128)
        self.assertEqual(len(self.switch.admission), 2)
