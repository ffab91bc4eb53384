"""Tests of what the datapath does with fragments of IP packets."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from agent.openflow.actions import ApplyActions, Output, SetField
from agent.openflow.fields import UDP_DST
from agent.openflow.messages import FragHandling, Port
from agent.packet.flowkey import flow_key
from drivers.abilities import IFragments, TraceKind
from drivers.testing.frames import FRAME
from tests.drivers.software.test_pipeline import PipelineCase
from tests.packet.frames import CORPUS

TO_2, TO_3, TO_4 = (ApplyActions((Output(port),)) for port in (2, 3, 4))

IPV4 = {"eth_type": 0x800}


class FragmentTests(PipelineCase):
    """Fragments of packets to the UDP port 5353, over IPv4 and IPv6."""

    def setUp(self) -> None:
        """A rule for that port, one for later fragments, and one for what is left."""
        super().setUp()
        self.first = (CORPUS["first fragment"], CORPUS["first fragment6"])
        self.later = (CORPUS["later fragment"], CORPUS["later fragment6"])
        for eth_type in (0x800, 0x86DD):
            self.add(TO_2, priority=3, eth_type=eth_type, ip_proto=17, udp_dst=5353)
        self.add(TO_3, priority=2, eth_type=0x800, nw_frag=(2, 2))
        self.add(TO_3, priority=2, eth_type=0x86DD, nw_frag=(2, 2))
        self.add(TO_4, priority=1)

    def ports(self, *frames: bytes) -> list[int]:
        """Where frames come out."""
        found = []
        for frame in frames:
            sent = self.send(frame)
            self.assertLessEqual(len(sent), 1)
            found += list(sent) or [0]
        return found

    def test_normal(self) -> None:
        """As it begins, no fragment has ports, for all of a packet shall go the same way; later
        ones can be told from first ones."""
        verifyObject(IFragments, self.driver)
        self.assertEqual(self.ports(*self.first, *self.later), [4, 4, 3, 3])

    def test_nx_match(self) -> None:
        """With NX_MATCH first fragments have ports, later ones have not."""
        self.driver.set_frag_handling(FragHandling.NX_MATCH)
        self.assertEqual(self.ports(*self.first, *self.later), [2, 2, 3, 3])

    def test_drop(self) -> None:
        """With DROP no fragment gets as far as the tables, not by a packet-out either; what is no
        fragment does, and it can be taken back."""
        self.driver.set_frag_handling(FragHandling.DROP)
        self.assertEqual(self.ports(*self.first, *self.later, FRAME), [0, 0, 0, 0, 4])
        for frame in (*self.first, *self.later):
            self.driver.packet_out(frame, 1, (Output(Port.TABLE),))
        self.assertEqual(self.sent(), {})
        counters = self.successResultOf(self.driver.table_stats())[0]
        self.assertEqual(counters.lookups, 1)
        self.driver.packet_out(self.first[0], 1, (Output(2),))
        self.assertEqual(self.sent(), {2: [self.first[0]]})
        self.driver.set_frag_handling(FragHandling.NORMAL)
        self.assertEqual(self.ports(*self.first), [4, 4])

    def test_rewritten(self) -> None:
        """A first fragment has a port to be written, whether it can be matched or not, as in Open
        vSwitch; what is in that place of a later one is no port."""
        self.add(ApplyActions((SetField(UDP_DST, 9), Output(2))), priority=9, ip_proto=17, **IPV4)
        for handling in (FragHandling.NORMAL, FragHandling.NX_MATCH):
            self.driver.set_frag_handling(handling)
            (frame,) = self.send(self.first[0])[2]
            self.assertEqual(UDP_DST.get(flow_key(frame, 0)), 9)
            self.assertEqual(self.send(self.later[0]), {2: [self.later[0]]})

    def test_cannot_reassemble(self) -> None:
        """Reassembly is not among what it can do."""
        self.assertNotIn(FragHandling.REASM, self.driver.frag_handlings)

    def test_trace(self) -> None:
        """A trace says what would become of a fragment as the switch is configured now."""
        frame = self.first[0]
        key = flow_key(frame, 1)
        for handling, actions in (
            (FragHandling.NORMAL, ["4"]),
            (FragHandling.NX_MATCH, ["2"]),
            (FragHandling.DROP, []),
        ):
            self.driver.set_frag_handling(handling)
            trace = self.driver.trace(frame, key)
            self.assertEqual(trace.actions, actions)
        (warning,) = trace.nodes
        self.assertIs(warning.kind, TraceKind.WARNING)
        self.assertIn("fragment handling mode", warning.text)
