"""Captures of single connections into files, for whoever wants to see what really was said.

A capture begins in the middle of a session and ends with it, with a command, or when its file is as
long as it may be; a message that would not fit any more is not begun.  A message is in the file
when it is executed, which is later than it arrived where another one had to wait before it.

Files are written in the reactor's thread: what a message adds goes into the page cache.  An error
(a full disk) ends the capture, and costs the session nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.ofconn import OFConn
from agent.connmgr.pcap import HEADER, Conversation

MAX_BYTES: Final = 64 * 1024 * 1024
"""The longest file, unless told otherwise."""

MAX_CAPTURES: Final = 8
"""Captures of one bridge at once."""


class CaptureRefused(Exception):
    """There can be no such capture; the text says why."""


class NoConnection(CaptureRefused):
    """Nobody of that name is connected."""


class Capture:
    """One capture.

    :ivar path: its file.
    :ivar messages: those in it.
    :ivar size: bytes in it.
    """

    def __init__(self, path: Path, descriptor: int, most: int, time: Callable[[], float]) -> None:
        """
        :param descriptor: its file, open and empty; closed by :meth:`close`.
        :param most: bytes that it may have.
        :param time: seconds since the epoch.
        :raises OSError: when nothing can be written into it.
        """
        self.path = path
        self.messages = 0
        self.size = 0
        self._descriptor = descriptor
        self._most = most
        self._time = time
        self._conversation = Conversation()
        self._write(HEADER + self._conversation.opening(time()))

    def add(self, frame: bytes, *, sent: bool) -> bool:
        """Add a message; returns whether there was room for it.

        :raises OSError: when it cannot be written.
        """
        data = self._conversation.message(self._time(), frame, by_switch=sent)
        if self.size + len(data) > self._most:
            return False
        self._write(data)
        self.messages += 1
        return True

    def close(self) -> None:
        """It is complete."""
        os.close(self._descriptor)

    def __str__(self) -> str:
        return f"{self.path}: {self.messages} messages, {self.size} bytes"

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.size += len(data)


class Captures:
    """The captures of one bridge."""

    _log = Logger()

    def __init__(self, find: Callable[[str], OFConn | None], time: Callable[[], float]) -> None:
        """
        :param find: gives the session of a name, if it has agreed on a version.
        :param time: seconds since the epoch.
        """
        self._find = find
        self._time = time
        self._captures: dict[OFConn, tuple[Capture, Callable[[bytes, bool], None]]] = {}

    def start(self, name: str, path: Path, most: int = MAX_BYTES) -> None:
        """Write what is said in a session into a new file, which only its owner may read.

        :param name: of the connection.
        :param most: bytes that the file may have.
        :raises CaptureRefused: when there is no such session, it is captured already, or the file
            cannot be made or is there already.
        """
        session = self._session(name)
        if session in self._captures:
            raise CaptureRefused(f"{name} is captured already: {self._captures[session][0]}")
        if len(self._captures) >= MAX_CAPTURES:
            raise CaptureRefused(f"there are {MAX_CAPTURES} captures already")
        try:
            # An existing file is never overwritten: it may be anything.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CaptureRefused(f"{path} cannot be made: {error.strerror}") from None
        try:
            capture = Capture(path, descriptor, most, self._time)
        except OSError as error:
            os.close(descriptor)
            raise CaptureRefused(f"{path} cannot be written: {error.strerror}") from None

        def tap(frame: bytes, sent: bool) -> None:
            self._add(session, capture, frame, sent)

        self._captures[session] = (capture, tap)
        session.channel.add_tap(tap)

    def stop(self, name: str) -> str:
        """End the capture of a connection; returns what it has got.

        :raises CaptureRefused: when there is none.
        """
        session = self._session(name)
        if session not in self._captures:
            raise CaptureRefused(f"{name} is not captured")
        return self._end(session)

    def forget(self, session: OFConn) -> None:
        """A session is over, and with it its capture."""
        if session in self._captures:
            self._finish(session, "the connection is closed")

    def _session(self, name: str) -> OFConn:
        session = self._find(name)
        if session is None:
            raise NoConnection(f'there is no connection "{name}" that is open')
        return session

    def _add(self, session: OFConn, capture: Capture, frame: bytes, sent: bool) -> None:
        try:
            if not capture.add(frame, sent=sent):
                self._finish(session, "the file is as long as it may be")
        except OSError as error:
            self._finish(session, f"the file cannot be written: {error.strerror}")

    def _finish(self, session: OFConn, why: str) -> None:
        self._log.info(
            "{connection}: capture ends, {why}: {capture}",
            connection=session.name,
            why=why,
            capture=self._end(session),
        )

    def _end(self, session: OFConn) -> str:
        capture, tap = self._captures.pop(session)
        channel: FrameProtocol = session.channel
        channel.remove_tap(tap)
        capture.close()
        return str(capture)
