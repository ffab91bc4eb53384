"""What is packed, sent and read, with the kernel that it is for."""

from __future__ import annotations

import errno
import itertools
import socket
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from drivers.software.system import SYSTEM
from drivers.tcflower import describe, found, nla, pack
from drivers.tcflower.actions import PIPE, SHOT, Gact, Mirred, Police, Policer, Skbedit, TcAction
from drivers.tcflower.dump import Reader, Reading
from drivers.tcflower.dumper import Dumper
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.pipeline import Pipeline
from drivers.tcflower.runs import each
from tests.drivers.tcflower.examples import ACTIONS
from tests.kernel import need_flower, run
from tests.kernel.reactors import make_reactor, result, turn

BLOCK = 78
FLAGS = pack.NLM_F_ACK | pack.NLM_F_CREATE

# Each key with a value that can be, where there must be other keys for it to mean anything.
IP4: dict[str, Any] = {"eth_type": 0x0800}
IP6: dict[str, Any] = {"eth_type": 0x86DD}
TCP: dict[str, Any] = {**IP4, "ip_proto": 6}
UDP: dict[str, Any] = {**IP4, "ip_proto": 17}
TAGGED: dict[str, Any] = {"eth_type": 0x8100}
TWICE: dict[str, Any] = {"eth_type": 0x88A8, "vlan_id": 1, "vlan_eth_type": 0x8100}
MPLS: dict[str, Any] = {"eth_type": 0x8847}
ARP: dict[str, Any] = {"eth_type": 0x0806}
KEYS: tuple[dict[str, Any], ...] = (
    {},
    {"eth_dst": 0x020000000001},
    {"eth_dst": (0x010000000000, 0x010000000000), "eth_src": (0x02 << 40, 0xFF << 40)},
    {"eth_type": 0x88CC},
    {**IP4, "ipv4_src": 0x0A000001, "ipv4_dst": (0x0A000000, 0xFF000000)},
    {**IP4, "ip_tos": (0xB8, 0xFC), "ip_ttl": (1, 1)},
    {**IP6, "ipv6_src": 1, "ipv6_dst": (0x20010DB8 << 96, 0xFFFFFFFF << 96), "ip_ttl": 255},
    {**TCP, "tcp_src": 80, "tcp_dst": (0x400, 0xFC00), "tcp_flags": (0x002, 0x012)},
    {**UDP, "udp_src": (1, 1), "udp_dst": 53},
    {**IP4, "ip_proto": 132, "sctp_src": 1, "sctp_dst": (2, 0xFFFE)},
    {**IP4, "ip_proto": 1, "icmpv4_type": 8, "icmpv4_code": (0, 0x80)},
    {**IP6, "ip_proto": 58, "icmpv6_type": (128, 0xFE), "icmpv6_code": 0},
    {**TCP, "port_src_min": 10, "port_src_max": 20, "port_dst_min": 1, "port_dst_max": 2},
    {**IP4, "flags": (1, 1)},
    {"num_of_vlans": 0},
    {**TAGGED, "vlan_id": 0xFFE, "vlan_prio": 7, "vlan_eth_type": 0x0800, "ipv4_src": 1},
    {**TWICE, "cvlan_id": 2, "cvlan_prio": 3, "cvlan_eth_type": 0x86DD},
    {**ARP, "arp_sip": 1, "arp_tip": (2 << 8, 0xFF00), "arp_op": 1},
    {**ARP, "arp_sha": 1, "arp_tha": (1 << 47, 1 << 47)},
    {**MPLS, "mpls_label": 16, "mpls_tc": 5, "mpls_bos": 1, "mpls_ttl": 64},
    {"enc_key_id": 7, "enc_ipv4_src": 1, "enc_ipv4_dst": (2, 0xFF), "enc_udp_dst_port": 4789},
    {"enc_ipv6_src": 1, "enc_ipv6_dst": (2, 0xFF), "enc_udp_src_port": (1, 1)},
    {"enc_key_id": 7, "enc_ip_tos": 1, "enc_ip_ttl": (64, 0xC0)},
    {**IP4, "ct_state": (0x0A, 0x0A), "ct_zone": 3, "ct_mark": (1, 3), "ct_labels": (1, 1)},
    {"hash": (1, 1)},
)


class MessageCase(SynchronousTestCase):
    """A block on a device, and sockets to the kernel."""

    def setUp(self) -> None:
        """Make them."""
        need_flower()
        run("ip link add kernel0 type dummy")
        self.addCleanup(run, "ip link del kernel0")
        run(f"tc qdisc add dev kernel0 ingress_block {BLOCK} clsact")
        self.device = socket.if_nametoindex("kernel0")
        self.reactor = make_reactor()
        self.pipeline = Pipeline(SYSTEM)
        self.pipeline.open(self.reactor)
        self.addCleanup(self.pipeline.close)
        self.dumper = Dumper(SYSTEM)
        self.dumper.open(self.reactor)
        self.addCleanup(self.dumper.close)
        self.answers: list[tuple[int, str]] = []

    def send(self, *wanted: Filter) -> list[tuple[int, str]]:
        """Install filters; returns what the kernel answers."""
        self.answers.clear()
        for one in wanted:
            sequence = self.pipeline.sequence()
            request = pack.new_filter(one, BLOCK, FLAGS, sequence)
            self.pipeline.push(sequence, request, lambda *answer: self.answers.append(answer))
        self.assertTrue(turn(self.reactor, lambda: len(self.answers) == len(wanted)))
        return self.answers

    def dump(self) -> tuple[dict[int, Reading], dict[int, Any]]:
        """The filters in the kernel by their handles, read in both ways."""
        readings: dict[int, Reading] = {}
        decoded: dict[int, Any] = {}
        reader = Reader()

        def take(data: bytes, at: int, length: int) -> None:
            reading = reader.read(data, at, length)
            if reading is not None:
                readings[reading.handle] = reading
                decoded[reading.handle] = nla.decode(data[at : at + length])

        result(self.reactor, self.dumper.dump(self.request, each(take)))
        return readings, decoded

    def request(self, sequence: int) -> bytes:
        """For a dump of the block."""
        return pack.dump_filters(BLOCK, sequence)


class MessageTests(MessageCase):
    """Filters get there and come back."""

    def wanted(self) -> list[Filter]:
        """A filter for each set of keys, and for each action."""
        drop = (Gact(SHOT),)
        filters = [Filter.of(1, n, drop, **keys) for n, keys in enumerate(KEYS, 1)]
        for n, action in enumerate(ACTIONS, 1):
            actions: tuple[TcAction, ...] = (action,)
            if isinstance(action, Mirred):
                actions = (attrs.evolve(action, ifindex=self.device),)
            elif isinstance(action, Police):
                actions = (attrs.evolve(action, control=PIPE),)
            elif isinstance(action, Policer):
                # One of the others is there; its cookie would be that of all who share it.
                actions = (Gact(PIPE), Policer(7))
            filters.append(Filter.of(2, n, (*actions, Gact(SHOT)), eth_type=0x0800))
        return [
            attrs.evolve(one, handle=n, cookie=n.to_bytes(16, "big"), flags=FilterFlags.SKIP_HW)
            for n, one in enumerate(filters, 1)
        ]

    def test_round_trip(self) -> None:
        """The kernel takes every key and every action, and gives back what it was sent."""
        wanted = self.wanted()
        answers = zip(wanted, self.send(*wanted), strict=True)
        refused = [(answer, one) for one, answer in answers if answer != (0, "")]
        self.assertEqual(refused, [])
        readings, decoded = self.dump()
        self.assertEqual(sorted(readings), [one.handle for one in wanted])
        for one in wanted:
            reading = readings[one.handle]
            self.assertEqual((reading.chain, reading.pref), (one.chain, one.pref))
            self.assertEqual(reading.cookie, one.cookie)
            self.assertEqual((reading.packets, reading.bytes, reading.in_hw_count), (0, 0, 0))
            self.assertEqual(reading.flags, FilterFlags.SKIP_HW | FilterFlags.NOT_IN_HW)
            options = flat(decoded[one.handle].get_attr("TCA_OPTIONS")["attrs"])
            for name, value in describe.describe(attrs.evolve(one, flags=FilterFlags(9))):
                if name == "TCA_FLOWER_ACT":
                    self.same_actions(value["attrs"], options[name]["attrs"], one)
                else:
                    # Of a filter about tags the kernel says only the innermost EtherType.
                    if not (name.endswith("ETH_TYPE") and one.key("vlan_id")):
                        self.assertEqual(options.get(name), value, (name, one))

    def test_compared(self) -> None:
        """Every filter that comes back is told to be what was asked for, and no other."""
        wanted = [
            attrs.evolve(one, cookie=found.marked(found.cookie_of(BLOCK, 1), one))
            for one in self.wanted()
        ]
        self.send(*wanted)
        there: dict[int, found.Found] = {}

        def take(data: bytes, at: int, length: int) -> None:
            one = found.read(data, at, length)
            if one is not None:
                there[one.key[2]] = one

        result(self.reactor, self.dumper.dump(self.request, each(take)))
        for one in wanted:
            should = found.of(one)
            wrong = found.difference(should, there[one.handle])
            self.assertEqual(wrong, "", (one, should, there[one.handle]))
            self.assertTrue(there[one.handle].ours(BLOCK))
        identities = {one.identity for one in there.values()}
        self.assertEqual(len(identities), len(wanted))
        actions = [there[one.handle] for one in wanted if one.chain == 2]
        for one, other in itertools.permutations(wanted[-len(actions) :], 2):
            should = attrs.evolve(found.of(one), keys=there[other.handle].keys)
            self.assertNotEqual(found.difference(should, there[other.handle]), "", (one, other))

    def same_actions(self, sent: Any, found: Any, one: Filter) -> None:
        """The actions which came back are those that were sent."""
        self.assertEqual(len(sent), len(found))
        for (_, wanted), slot in zip(sent, found, strict=True):
            there = flat(slot[1]["attrs"])
            asked = dict(wanted["attrs"])
            self.assertEqual(there["TCA_ACT_KIND"], asked["TCA_ACT_KIND"])
            options = flat(there["TCA_ACT_OPTIONS"]["attrs"])
            for name, value in asked["TCA_ACT_OPTIONS"]["attrs"]:
                self.same_option(name, value, options.get(name), one)

    def same_option(self, name: str, sent: Any, found: Any, one: Filter) -> None:
        """An option of an action came back, but for what the kernel keeps to itself."""
        if name == "TCA_POLICE_TBF" and "mtu" not in sent:
            # What it refers to came back.
            self.assertEqual(found["index"], sent["index"])
            return
        if name in ("TCA_POLICE_RATE", "TCA_PEDIT_KEYS_EX"):
            return
        if name == "TCA_PEDIT_PARMS_EX":
            # Its number, references and bindings are the kernel's.
            self.assertEqual(found[8:12] + found[20:], sent[8:12] + sent[20:], one)
        elif isinstance(sent, dict):
            for field, value in sent.items():
                if field not in ("index", "burst", "cell_log", "cell_align"):
                    self.assertEqual(found[field], value, (name, field, one))
        else:
            self.assertEqual(found, sent, (name, one))

    def test_extended(self) -> None:
        """A filter that is refused is answered by the kernel's own words."""
        (answer,) = self.send(Filter.of(1, 1, (Gact(SHOT),), eth_type=0x0800, ct_state=(1, 1)))
        self.assertEqual(answer[0], errno.EINVAL)
        self.assertIn("no trk", answer[1])

    def test_many(self) -> None:
        """Two thousand filters are installed without an acknowledgement being lost, and are all
        read with few layouts."""
        wanted = [
            Filter.of(1, 1, (Skbedit(mark=n), Gact(SHOT)), eth_type=0x0800, ipv4_dst=n)
            for n in range(1, 2001)
        ]
        wanted = [attrs.evolve(one, handle=n) for n, one in enumerate(wanted, 1)]
        self.assertEqual(set(self.send(*wanted)), {(0, "")})
        self.assertEqual(self.pipeline.lost, 0)
        readings, _ = self.dump()
        self.assertEqual(len(readings), 2000)

    def test_overrun(self) -> None:
        """When what the kernel says is lost, every request is answered all the same, and what is in
        the kernel can be seen there: one of a thousand filters that compare the same."""
        wanted = [Filter.of(1, 1, (Gact(SHOT),), eth_type=0x0800, ipv4_dst=1)] * 1000
        small = Pipeline(SYSTEM, window=1000)
        small.open(self.reactor)
        self.addCleanup(small.close)
        small._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small._pace = lambda seconds, room: None  # type: ignore[method-assign]
        answers: list[int] = []
        small._batch = 500.0
        for n, one in enumerate(wanted, 1):
            sequence = small.sequence()
            request = pack.new_filter(attrs.evolve(one, handle=n), BLOCK, FLAGS, sequence)
            small.push(sequence, request, lambda error, text: answers.append(error))
        self.assertTrue(turn(self.reactor, lambda: len(answers) == 1000))
        self.assertGreater(small.lost, 0)
        self.assertEqual(answers.count(-1), small.lost)
        self.assertEqual(len(self.dump()[0]), 1)


def flat(attributes: Any) -> dict[str, Any]:
    """Attributes as pyroute2 has read them, by name."""
    return {slot[0]: slot[1] for slot in attributes}
