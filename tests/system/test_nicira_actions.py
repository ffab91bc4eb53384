"""Nicira's actions and fields as Debian's ovs-ofctl writes and reads them.

Each is written here as Open vSwitch prints it, so that what comes back must be what was sent.  With
Open vSwitch at hand, it is asked for the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from tests.system.peer import PeerCase, errors_of

REG: Final = "NXM_NX_REG0[]"
MAC: Final = "00:11:22:33:44:55"

MULTIPATH: Final = [
    f"multipath({fields},{basis},{algorithm},{links},{arg},NXM_NX_REG0[0..9])"
    for fields, algorithm in itertools.product(
        (
            *("eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "symmetric_l3"),
            *("nw_src", "nw_dst"),
        ),
        ("modulo_n", "hash_threshold", "hrw", "iter_hash"),
    )
    for basis, links, arg in ((50, 1, 0), (1024, 16, 7))
]
BUNDLE: Final = [
    f"bundle{load}({fields},{basis},{algorithm},ofport{to},members:2,3)"
    for fields, algorithm in itertools.product(
        ("eth_src", "symmetric_l4", "nw_src"), ("active_backup", "hrw")
    )
    for load, to in (("", ""), ("_load", ",NXM_NX_REG1[0..15]"))
    for basis in (0, 60)
]
LEARN: Final = [
    "learn(table=1)",
    "learn(table=2,idle_timeout=10,hard_timeout=20,fin_idle_timeout=1,fin_hard_timeout=2,"
    "priority=10,send_flow_rem,delete_learned,cookie=0xfedcba9876543210)",
    "learn(table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
    "output:NXM_OF_IN_PORT[])",
    "learn(table=1,load:0x5->NXM_NX_REG0[],load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15])",
    "learn(table=1,reg0=0x5,NXM_OF_ETH_SRC[],output:NXM_NX_REG1[])",
    "learn(table=1,in_port=99,NXM_NX_REG2[3..7]=0x15)",
]
ACTIONS: Final = [
    *("resubmit:1", "resubmit(1,2)", "resubmit(,2)", "resubmit:LOCAL"),
    *("set_queue:3,output:1", "set_queue:3,output:1,pop_queue,output:2"),
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]",
    "move:NXM_OF_IN_PORT[]->NXM_NX_REG7[5..20]",
    *("load:0x5->NXM_NX_REG3[0..7]", "load:0x1->NXM_NX_REG3[31]", "load:0x7->NXM_NX_TUN_ID[]"),
    *("load:0x1005->NXM_OF_VLAN_TCI[]", "load:0x123->NXM_OF_VLAN_TCI[0..11]"),
    *("note:00.11.22.00.00.00", "note:00.11.22.33.44.55.66.77.00.00.00.00.00.00"),
    *("output:NXM_NX_REG0[]", "output:NXM_NX_REG1[5..10]", "output:NXM_OF_IN_PORT[]"),
    *("CONTROLLER:65535", "CONTROLLER:100", "controller(id=7)", "controller(reason=no_match)"),
    *("controller(reason=invalid_ttl,max_len=128,id=65535)",),
    *("exit", "exit,output:1", "push:NXM_NX_REG0[3..7],pop:NXM_NX_REG1[0..4]"),
    *("output:1,write_metadata:0x5", "write_metadata:0x500/0xff00"),
    *MULTIPATH,
    *BUNDLE,
    *LEARN,
]
"""What any packet can be done to, in every format."""
ACTIONS_IP: Final = [
    *("dec_ttl", "dec_ttl(1,2,3)", "dec_ttl(5)", "learn(table=1,eth_type=0x800,NXM_OF_IP_SRC[])"),
    "load:0x1020304->NXM_OF_IP_DST[]",
]
ACTIONS_TCP: Final = [
    "fin_timeout(idle_timeout=10,hard_timeout=20)",
    *("fin_timeout(hard_timeout=20)", "fin_timeout(idle_timeout=9)"),
    "load:0x50->NXM_OF_TCP_DST[]",
    "learn(table=1,eth_type=0x800,nw_proto=6,NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[],output:NXM_NX_REG1[])",
]
ACTIONS10: Final = [
    *("set_tunnel:0x5", "set_tunnel64:0x123456789abcdef0"),
    *(f"mod_dl_src:{MAC}", "mod_vlan_vid:5", "mod_vlan_pcp:3", "strip_vlan", "enqueue:1:5"),
    *("push_mpls:0x8847", "resubmit(,3),write_metadata:0x5"),
]
"""What only 1.0 says so."""
ACTIONS13: Final = [
    *(f"set_field:{MAC}->eth_src", "set_field:0x5->reg0", "set_field:0x9->tun_id"),
    *("push_vlan:0x8100,set_field:4101->vlan_vid", "push_vlan:0x88a8", "write_actions(output:1)"),
    *("load:0x5->NXM_NX_REG0[0..7]", "goto_table:1", "output:1,write_metadata:0x5,goto_table:3"),
    *("clear_actions", "set_queue:3,output:1,pop_queue", "push_mpls:0x8847,set_mpls_ttl(9)"),
]
"""What only 1.3 says so."""

MATCHES: Final = [
    *("in_port=1", "in_port=LOCAL", f"dl_src={MAC}", "dl_src=00:11:00:00:00:00/ff:ff:00:00:00:00"),
    *("dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", "dl_type=0x88cc"),
    *("dl_vlan=291,dl_vlan_pcp=0", "dl_vlan=291", "vlan_tci=0x1000/0x1000", "dl_vlan_pcp=3"),
    *("vlan_tci=0x0000/0x1fff", "vlan_tci=0x1003/0x100f"),
    *("ip,nw_src=10.0.0.0/8", "ip,nw_dst=10.0.0.1", "ip,nw_src=10.0.0.1/255.0.0.255"),
    *("ip,nw_tos=32", "ip,nw_ecn=1", "ip,nw_ttl=64", "ip,nw_proto=50"),
    *("ip,nw_frag=yes", "ip,nw_frag=first", "ip,nw_frag=later", "ip,nw_frag=no"),
    *("ip,nw_frag=not_later",),
    *("tcp,tp_src=80", "udp,tp_dst=53", "sctp,tp_dst=53", "icmp,icmp_type=8,icmp_code=0"),
    *("arp,arp_op=1", "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/24", f"arp,arp_sha={MAC}"),
    *("arp,arp_tha=00:11:22:00:00:00/ff:ff:ff:00:00:00", "rarp,arp_op=3"),
    *("ipv6,ipv6_src=2001:db8::1", "ipv6,ipv6_dst=2001:db8::/32", "ipv6,ipv6_dst=::1/::ffff"),
    *("ipv6,ipv6_label=0x12345", "ipv6,ipv6_label=0x00045/0x000ff"),
    *("tcp6,tp_dst=80", "udp6,tp_src=80", "sctp6,tp_dst=80"),
    "icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1",
    f"icmp6,icmp_type=135,icmp_code=0,nd_sll={MAC}",
    f"icmp6,icmp_type=136,icmp_code=0,nd_target=fe80::1,nd_tll={MAC}",
    *(f"reg{number}=0x{number + 1:x}" for number in range(8)),
    *("reg1=0x1/0xff", "reg2=0x2,reg3=0x3,reg4=0x4,reg5=0x5,reg6=0x6,reg7=0x7"),
    *("tun_id=0x7", "tun_id=0x7/0xff", "tun_src=1.2.3.4", "tun_dst=1.2.0.0/16"),
    *("metadata=0x5", "metadata=0x5/0xff", "pkt_mark=0x1"),
    *("mpls,mpls_label=3", "mpls,mpls_tc=3,mpls_bos=1"),
]
"""What rules match on, in NXM and in 1.3."""
MATCHES_NXM: Final = [
    "tcp,tp_src=0x50/0xfff0",
    "tcp,tcp_flags=+syn-ack",
    "icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::/16",
    "icmp6,icmp_type=136,icmp_code=0,nd_tll=ff:00:00:00:00:00/ff:00:00:00:00:00",
]
"""What only NXM says so: 1.3.5 has no masks there."""

FLAGS: Final = ["cookie=0x123", "idle_timeout=5,hard_timeout=6", "send_flow_rem", "check_overlap"]

NXM: Final = ("-O", "OpenFlow10", "-F", "nxm")
NXM_TABLE_ID: Final = ("-O", "OpenFlow10", "-F", "nxm+table_id")
OXM: Final = ("-O", "OpenFlow13")

MISTAKES: Final = [
    # Matches and actions that Open vSwitch refuses.
    ("OFPBAC_MATCH_INCONSISTENT", "actions=mod_nw_ttl:3"),
    ("OFPBAC_MATCH_INCONSISTENT", "actions=mod_nw_ecn:1"),
    ("OFPBAC_BAD_OUT_GROUP", "actions=group:77"),
]
UNSUPPORTED: Final = [
    ("OFPBAC_BAD_VENDOR_TYPE", "actions=controller(userdata=01.02.03)"),
    ("OFPBAC_BAD_VENDOR_TYPE", "actions=conjunction(1,1/2)"),
    ("OFPBAC_BAD_VENDOR_TYPE", "actions=clone(output:1)"),
    ("OFPBAC_BAD_VENDOR_TYPE", "actions=learn(table=1,limit=4)"),
    ("OFPBAC_BAD_VENDOR_TYPE", "actions=output(port=1,max_len=100)"),
    ("OFPBMC_BAD_FIELD", "reg8=1,actions=output:1"),
    ("OFPBMC_BAD_FIELD", "ct_state=+trk,actions=output:1"),
]
"""What later versions of Open vSwitch have."""


def flows() -> Iterator[tuple[str, str]]:
    """Match and actions of all rules that every format can say."""
    for actions in ACTIONS:
        yield "", actions
    for actions in ACTIONS_IP:
        yield "ip", actions
    for actions in ACTIONS_TCP:
        yield "tcp", actions
    for match in MATCHES:
        yield match, "output:1"


def flows10() -> Iterator[tuple[str, str]]:
    """What NXM says, too."""
    yield from flows()
    for actions in ACTIONS10:
        yield "", actions
    for match in MATCHES_NXM:
        yield match, "output:1"


def flows13() -> Iterator[tuple[str, str]]:
    """What 1.3 says, too."""
    yield from flows()
    for actions in ACTIONS13:
        yield "", actions


def lines(rules: Iterable[tuple[str, str]]) -> list[str]:
    """Rules as ovs-ofctl prints them, in the order in which it does: each has its own priority."""
    return [
        f"priority={20000 - number}{',' * bool(match)}{match} actions={actions}"
        for number, (match, actions) in enumerate(rules)
    ]


class FlowTests(PeerCase):
    """Rules that go in and come out."""

    def add(self, options: tuple[str, ...], rules: list[str]) -> None:
        """Add rules, all at once."""
        file = self.directory / "flows"
        file.write_text("".join(f"{rule}\n" for rule in rules))
        self.ofctl(*options, "add-flows", "br0", str(file))

    def shown(self, *options: str) -> list[str]:
        """All rules, the highest first."""
        printed = self.ofctl(*options, "--no-stats", "--rsort", "dump-flows", "br0").stdout
        return [line.strip() for line in printed.splitlines() if "actions=" in line]

    def assert_as_sent(self, options: tuple[str, ...], rules: list[str]) -> None:
        """What comes back is what was sent."""
        self.add(options, rules)
        pairs = zip(self.shown(*options), rules, strict=True)
        self.assertEqual([(shown, sent) for shown, sent in pairs if shown != sent], [])

    def test_nxm(self) -> None:
        """Every action and every field, as NXM."""
        self.assert_as_sent(NXM, lines(flows10()))

    def test_oxm(self) -> None:
        """Every action and every field, in 1.3."""
        self.assert_as_sent(OXM, lines(flows13()))

    def test_across(self) -> None:
        """What came as NXM is shown in 1.3 as well, and the other way round."""
        rules = lines(("", actions) for actions in ACTIONS[:17])
        for one, other in ((NXM, OXM), (OXM, NXM)):
            self.add(one, rules)
            self.assertEqual(self.shown(*other), self.shown(*one))
            self.ofctl("del-flows", "br0")

    def test_table_id(self) -> None:
        """A table, a cookie, timeouts and flags with every format."""
        for options in (NXM_TABLE_ID, OXM):
            self.ofctl(*options, "add-flow", "br0", "table=7,reg0=1,send_flow_rem,actions=drop")
            shown = self.ofctl(*OXM, "--no-stats", "dump-flows", "br0").stdout
            self.assertIn("table=7, send_flow_rem reg0=0x1 actions=drop", shown)
            self.ofctl(*options, "del-flows", "br0", "table=7")
            self.assertEqual(self.shown(*OXM), [])

    def test_peer(self) -> None:
        """Open vSwitch prints the same, also where it does not print what was sent."""
        self.start_peer()
        odd = [
            *("vlan_tci=0x1123,actions=1", "vlan_tci=0,actions=1", "arp,nw_src=10.0.0.1,actions=1"),
            *("actions=note:00.11.22", "actions=bundle(eth_src,0,hrw,ofport,slaves:1,2)"),
            "actions=controller(reason=action,max_len=100)",
            f"actions=set_field:{MAC}->eth_src",
            "ip,actions=set_field:1.2.3.4->ip_dst,set_field:5->nw_ecn",
            *(f"{flag},actions=output:1" for flag in FLAGS),
        ]
        for options, rules in ((NXM, lines(flows10())), (OXM, lines(flows13()))):
            file = self.directory / "flows"
            file.write_text("".join(f"{rule}\n" for rule in rules))
            self.assert_alike(*options, "add-flows", "br0", str(file))
            for number, rule in enumerate(odd):
                self.assert_alike(*options, "add-flow", "br0", f"priority={number},{rule}")
            shown = self.assert_alike(*options, "--no-stats", "--rsort", "dump-flows", "br0")
            self.assertGreater(shown.count("actions="), len(rules))
            for asked in ("", "reg0=1", "ip", "cookie=0x123/-1", "out_port=2", "table=3"):
                self.assert_alike(*options, "dump-aggregate", "br0", asked)
            for other in (NXM, OXM):
                self.assert_alike(*other, "--no-stats", "--rsort", "dump-flows", "br0")
            self.assert_alike(*options, "mod-flows", "br0", "tcp,actions=output:7")
            self.assert_alike(*options, "del-flows", "br0", "cookie=0x123/-1")
            self.assert_alike(*options, "--strict", "del-flows", "br0", "priority=20000")
            self.assert_alike(*options, "--no-stats", "--rsort", "dump-flows", "br0")
            self.assert_alike(*options, "del-flows", "br0")

    def test_aggregate(self) -> None:
        """NXST_AGGREGATE counts the rules that it is asked for."""
        for number in range(4):
            self.ofctl(*NXM, "add-flow", "br0", f"cookie={number},reg{number}=1,actions=1")
        for asked, count in (("", 4), ("reg1=1", 1), ("cookie=2/2", 2), ("out_port=2", 0)):
            printed = self.ofctl(*NXM, "dump-aggregate", "br0", asked).stdout
            self.assertIn("NXST_AGGREGATE", printed)
            self.assertIn(f"flow_count={count}", printed)

    def test_mistakes(self) -> None:
        """Each mistake has its error, and changes nothing."""
        for name, rule in (*MISTAKES, *UNSUPPORTED):
            done = self.ofctl(*NXM, "add-flow", "br0", rule, check=False)
            self.assertEqual(errors_of(done.stderr), [name], rule)
        self.assertEqual(self.shown(), [])

    def test_mistakes_of_peer(self) -> None:
        """The errors are those of Open vSwitch."""
        self.start_peer()
        for _, rule in MISTAKES:
            self.assert_alike(*NXM, "add-flow", "br0", rule)
