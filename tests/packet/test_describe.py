"""Tests of :mod:`agent.packet.describe`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.fields import FIELDS
from agent.packet.describe import describe
from agent.packet.flowkey import flow_key
from tests.packet.frames import CORPUS
from tests.packet.ovsflow import same

OVS_FLOWS = Path(__file__).with_name("ovs_flows.txt")
"""What ``ovs-ofctl parse-pcap`` of Open vSwitch 3.1 prints for each frame of the corpus."""


class DescribeTests(SynchronousTestCase):
    """Flow keys as text."""

    def test_open_vswitch(self) -> None:
        """Every frame of the corpus is described as Open vSwitch describes it."""
        theirs = dict(line.split(": ", 1) for line in OVS_FLOWS.read_text().splitlines())
        self.assertEqual(set(theirs), set(CORPUS))
        for name, data in CORPUS.items():
            ours = describe(flow_key(data, 0xFFFFFFFF))
            self.assertTrue(same(ours, theirs[name]), f"{name}\n{ours}\n{theirs[name]}")

    def test_ports(self) -> None:
        """Ports are numbers, but for the reserved ones that a packet can come from."""
        for port, name in ((7, "7"), (0xFFFFFFFE, "LOCAL"), (0xFFFFFFFD, "CONTROLLER")):
            self.assertIn(f",in_port={name},", describe(flow_key(CORPUS["udp"], port)))

    def test_pipeline(self) -> None:
        """Fields that belong to no header are told when they are not zero."""
        key = flow_key(CORPUS["arp"], 1)
        for name, value in (
            ("reg1", 0x10),
            ("metadata", 0x20),
            ("tunnel_id", 0x30),
            ("tun_src", 0xC0000201),
            ("pkt_mark", 0x40),
        ):
            key = FIELDS[name].put(key, value)
        self.assertTrue(
            describe(key).startswith(
                "arp,pkt_mark=0x40,reg1=0x10,metadata=0x20,tun_id=0x30,tun_src=192.0.2.1,in_port=1,"
            )
        )

    def test_beyond_open_vswitch(self) -> None:
        """What Open vSwitch cannot match is told, too."""
        self.assertIn(",dl_type=0x88e7,pbb_isid=0x123456", describe(flow_key(CORPUS["pbb"], 1)))
        self.assertIn(",ipv6_exthdr=0x48,", describe(flow_key(CORPUS["extension headers"], 1)))
