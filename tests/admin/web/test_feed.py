"""Tests of :mod:`agent.admin.web.feed`, through HTTP."""

from __future__ import annotations

import json
from typing import Any

from agent.admin.web.feed import INTERVAL, MAX_ENDED, MAX_WATCHERS
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from tests.admin.agents import FakeBridge
from tests.admin.web.clients import Answer, Client, WebCase

ADD = FlowModCommand.ADD


class FeedTests(WebCase):
    """What happens, as it happens."""

    def look(self) -> Client:
        """Somebody looks."""
        client = Client(self.site)
        client.ask("/events")
        return client

    def pieces(self, client: Client) -> list[Any]:
        """What it was told since it was last asked."""
        data = client.transport.value()
        client.transport.clear()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = Answer(data if data.startswith(b"HTTP") else head + data).body
        found = body.decode().split("\n\n")
        self.assertEqual(found.pop(), "")
        self.assertTrue(all(piece.startswith("data: ") for piece in found))
        return [json.loads(piece.removeprefix("data: ")) for piece in found]

    def test_at_once(self) -> None:
        """Who begins to look sees everything as it is, and then every half second."""
        client = self.look()
        (first,) = self.pieces(client)
        self.assertEqual([one["name"] for one in first["bridges"]], ["br0"])
        self.clock.advance(INTERVAL)
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.pieces(client)), 2)

    def test_groups(self) -> None:
        """What is in flight is shown, and that it has ended, how and after how long, once."""
        client = self.look()
        self.start(ADD, match=Match.of(in_port=1), xid=7)
        self.clock.advance(INTERVAL)
        (group,) = self.pieces(client)[-1]["bridges"][0]["in_flight"]
        self.assertEqual((group["xid"], group["kind"], group["count"]), (7, "add", 1))
        self.driver.finish_all()
        self.turn()
        self.clock.advance(INTERVAL)
        (bridge,) = self.pieces(client)[-1]["bridges"]
        self.assertEqual(bridge["in_flight"], [])
        self.assertEqual((bridge["ended"]["count"], bridge["ended"]["failed"]), (1, 0))
        (ended,) = bridge["ended"]["groups"]
        self.assertEqual((ended["key"], ended["error"]), (group["key"], None))
        self.clock.advance(INTERVAL)
        self.assertEqual(self.pieces(client)[-1]["bridges"][0]["ended"]["count"], 0)

    def test_bounded(self) -> None:
        """Of very many groups the last are listed, and all are counted."""
        client = self.look()
        self.pieces(client)
        for _ in range(MAX_ENDED + 5):
            self.add(Match.of(in_port=1))
        self.clock.advance(INTERVAL)
        ended = self.pieces(client)[-1]["bridges"][0]["ended"]
        self.assertEqual((ended["count"], len(ended["groups"])), (MAX_ENDED + 5, MAX_ENDED))

    def test_nobody(self) -> None:
        """While nobody looks nothing is noted, and no timer runs."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        client = self.look()
        self.assertEqual(len(self.switch.ledger.watchers), 1)
        client.leave()
        self.turn()
        self.assertEqual(self.switch.ledger.watchers, [])
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.active()], [])

    def test_slow(self) -> None:
        """Who does not read is told nothing until it does, and nothing piles up."""
        client = self.look()
        self.pieces(client)
        producer = client.transport.producer
        assert producer is not None
        producer.pauseProducing()
        for _ in range(10):
            self.clock.advance(INTERVAL)
        self.assertEqual(client.transport.value(), b"")
        producer.resumeProducing()
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.pieces(client)), 1)

    def test_too_many(self) -> None:
        """There is a bound on who looks at once."""
        clients = [self.look() for _ in range(MAX_WATCHERS)]
        self.assertEqual(Answer(self.look().transport.value()).status, 503)
        clients[0].leave()
        self.assertEqual(len(self.pieces(self.look())), 1)

    def test_bridges_come_and_go(self) -> None:
        """A bridge that was replaced is not held on to."""
        client = self.look()
        before = self.switch.ledger
        self.agent.bridges.clear()
        self.clock.advance(INTERVAL)
        self.assertEqual(self.pieces(client)[-1]["bridges"], [])
        self.assertEqual(before.watchers, [])
        self.agent.bridges["br0"] = FakeBridge(self.switch)
        self.clock.advance(INTERVAL)
        self.assertEqual(len(before.watchers), 1)

    def test_stop(self) -> None:
        """At the end all are let go."""
        client = self.look()
        self.feed.stop()
        self.turn()
        self.assertTrue(client.transport.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(self.switch.ledger.watchers, [])
