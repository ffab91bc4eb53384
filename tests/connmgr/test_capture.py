"""Tests for :mod:`agent.connmgr.capture`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.internet.error import ConnectionLost

from agent.connmgr.capture import MAX_CAPTURES, CaptureRefused, Captures
from agent.connmgr.ofconn import OFConn
from agent.openflow import messages as of
from agent.openflow.codec import encode
from tests.connmgr.fakes import Peer, SessionCase
from tests.connmgr.managers import ManagerCase
from tests.connmgr.test_pcap import packets

ECHO = of.EchoRequest(b"ping", 7)


class CaptureCase(SessionCase):
    """Has a session, and a directory for files."""

    def setUp(self) -> None:
        """Nothing is captured."""
        super().setUp()
        self.session_, self.peer = self.connected()
        self.sessions: dict[str, OFConn] = {"one": self.session_}
        self.captures = Captures(self.sessions.get, lambda: 5.0)
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        self.path = directory / "x.pcap"

    def messages(self, path: Path | None = None) -> list[tuple[bool, bytes]]:
        """What a file holds: whether the switch says it, and what."""
        found = list(packets(self, (path or self.path).read_bytes()[24:]))[3:]
        return [(one.target == 6653, one.data) for one in found]

    def refused(self, words: str, name: str = "one", path: Path | None = None) -> None:
        """There is no capture, and the text says why."""
        error = self.assertRaises(CaptureRefused, self.captures.start, name, path or self.path)
        self.assertIn(words, str(error))


class CaptureTests(CaptureCase):
    """From the beginning to the end."""

    def test_messages(self) -> None:
        """What both say from the beginning to the end is in the file, and nothing else."""
        self.peer.send(ECHO)
        self.captures.start("one", self.path)
        self.peer.send(ECHO)
        told = self.captures.stop("one")
        self.peer.send(ECHO)
        request, reply = encode(4, ECHO), encode(4, of.EchoReply(b"ping", 7))
        self.assertEqual(self.messages(), [(False, request), (True, reply)])
        self.assertEqual(told, f"{self.path}: 2 messages, {self.path.stat().st_size} bytes")
        self.assertEqual(self.session_.channel.taps, ())

    def test_private(self) -> None:
        """Others may not read it."""
        self.captures.start("one", self.path)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.captures.stop("one")

    def test_limit(self) -> None:
        """A message for which there is no room is not begun; the capture ends, the session not."""
        self.captures.start("one", self.path, 24 + 3 * (16 + 54) + 16 + 54 + 12)
        self.peer.send(ECHO)
        self.assertEqual(self.messages(), [(False, encode(4, ECHO))])
        self.assertEqual(len(self.peer.received()), 1)
        self.assertRaises(CaptureRefused, self.captures.stop, "one")

    def test_lost(self) -> None:
        """A capture ends with its session."""
        self.captures.start("one", self.path)
        self.captures.forget(self.session_)
        self.captures.forget(self.session_)
        self.assertRaises(CaptureRefused, self.captures.stop, "one")

    def test_full_disk(self) -> None:
        """An error while writing ends the capture, and costs the session nothing."""
        self.captures.start("one", self.path)

        def full(descriptor: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        self.patch(os, "write", full)
        self.peer.send(ECHO)
        self.assertEqual(len(self.peer.received()), 1)
        self.assertEqual(self.messages(), [])
        self.assertRaises(CaptureRefused, self.captures.stop, "one")

    def test_refused(self) -> None:
        """No such connection, one that is captured, a file that is there or cannot be made, and
        too many captures are each told as such; nothing is captured then."""
        self.refused('no connection "two" that is open', "two")
        self.refused("No such file or directory", path=self.path.parent / "none" / "x")
        self.path.write_bytes(b"precious")
        self.refused(f"{self.path} cannot be made: File exists")
        self.assertEqual(self.path.read_bytes(), b"precious")
        self.captures.start("one", self.path.with_suffix(".1"))
        self.refused("one is captured already: ")
        for number in range(1, MAX_CAPTURES):
            self.sessions[str(number)], _ = self.connected()
            self.captures.start(str(number), self.path.with_name(str(number)))
        self.sessions["more"], _ = self.connected()
        self.refused("there are 8 captures already", "more")
        for name in ["one", *map(str, range(1, MAX_CAPTURES))]:
            self.captures.stop(name)


class ManagerTests(ManagerCase):
    """How connections are found."""

    def captured(self, peer: Peer) -> str:
        """Capture and lose a connection; returns why it cannot be stopped then."""
        path = Path(self.mktemp())
        name = self.session(peer).name
        self.manager.captures.start(name, path)
        peer.transport.lose(ConnectionLost())
        self.assertTrue(path.read_bytes())
        return str(self.assertRaises(CaptureRefused, self.manager.captures.stop, name))

    def test_found(self) -> None:
        """Controllers and clients are found by their names while they are connected."""
        for peer in (self.controller(), self.client()):
            self.assertIn("there is no connection", self.captured(peer))
