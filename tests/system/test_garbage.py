"""Peers that send anything but OpenFlow, while others work."""

from __future__ import annotations

import random
import socket
import struct

from agent.openflow import messages as of
from agent.openflow.codec import decode, encode, header
from agent.openflow.match import MATCH_ALL
from bench.load import memory
from tests.system.agent import TIMEOUT, AgentCase

SEED = 20110523


class GarbageTests(AgentCase):
    """Whatever a peer sends, it gets a typed error or a clean end, and nobody else notices."""

    def say(self, data: bytes, *, hello: bool) -> list[of.Message]:
        """What the agent answers to these bytes, until it closes or has answered an echo."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as peer:
            peer.settimeout(TIMEOUT)
            greeting = encode(of.OFP13, of.Hello(frozenset({of.OFP13}))) if hello else b""
            received = b""
            try:
                peer.sendall(greeting + data)
                peer.shutdown(socket.SHUT_WR)
                while True:
                    more = peer.recv(1 << 16)
                    if not more:
                        break
                    received += more
            except ConnectionResetError:
                pass
        messages = []
        while received:
            length = header(received, 0)[2]
            messages.append(decode(received[0], received[:length]))
            received = received[length:]
        return messages

    def test_garbage(self) -> None:
        """Random bytes, short lengths, unknown versions and types, cut messages: the agent answers
        with HELLO and errors only, and another connection goes on as if nothing were.
        """
        self.start()
        steady = self.controller()
        steady.barrier()
        chance = random.Random(SEED)
        flow = encode(of.OFP13, of.FlowMod(0, MATCH_ALL, xid=9))
        inputs = [chance.randbytes(chance.randrange(1, 200)) for _ in range(50)]
        inputs += [struct.pack("!BBHI", 4, 14, length, 1) for length in range(8)]
        inputs += [struct.pack("!BBHI", version, 2, 8, 1) for version in (0, 2, 3, 5, 255)]
        inputs += [struct.pack("!BBHI", 4, kind, 8, 1) for kind in range(256)]
        inputs += [flow[:length] for length in range(len(flow))]
        inputs += [flow[:2] + struct.pack("!H", n) + flow[4:] for n in range(8, len(flow))]
        for number, data in enumerate(inputs):
            for hello in (True, False):
                for message in self.say(data, hello=hello):
                    self.assertIsInstance(
                        message,
                        of.Hello
                        | of.ErrorMessage
                        | of.EchoReply
                        | of.FeaturesReply
                        | of.GetConfigReply
                        | of.BarrierReply
                        | of.GetAsyncReply,
                        data,
                    )
            if number % 20 == 0:
                self.assertLess(steady.echo(), 1.0)
        steady.barrier()
        self.assertEqual(steady.arrivals, [])

    def test_flood_without_reading(self) -> None:
        """A peer who asks and never reads makes the agent neither large nor slow."""
        process = self.start()
        deaf = self.controller()
        request = encode(of.OFP13, of.PortDescRequest(1)) * 1000
        deaf.socket.settimeout(0.5)
        sent = 0
        try:
            for _ in range(1000):
                sent += deaf.socket.send(request)
        except TimeoutError:
            pass
        self.assertLess(sent, 1000 * len(request), "the agent read everything")
        steady = self.controller()
        self.assertLess(steady.echo(), 1.0)
        self.assertLess(memory(process.pid), 200 << 20)
