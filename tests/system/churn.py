"""Controllers that keep an agent busy, each in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Final

from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.match import Match
from tests.system.agent import TIMEOUT, Controller

BATCH: Final = 8
"""Requests before a barrier."""

PAUSE: Final = 0.002
"""Seconds between a barrier's answer and the next request."""


def request(command: of.FlowModCommand, priority: int, port: int) -> of.FlowMod:
    """Add, change or delete the rule of this priority, which no other rule has."""
    return of.FlowMod(
        command,
        Match.of(in_port=1),
        priority,
        instructions=(ApplyActions((Output(port),)),),
    )


class Busy(threading.Thread):
    """Does something again and again, until it is told to pause or to stop.

    :ivar batches: how often it was done.
    :ivar error: what went wrong, which has ended it.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.batches = 0
        self.error: BaseException | None = None
        self._stopping = False
        self._running = threading.Lock()

    def run(self) -> None:
        """The thread."""
        try:
            while True:
                with self._running:
                    if self._stopping:
                        return
                    self.batches += self.batch()
                time.sleep(PAUSE)
        except BaseException as error:
            self.error = error

    def batch(self) -> bool:
        """What is done; returns whether it was."""
        raise NotImplementedError

    def pause(self) -> None:
        """Let it do it once more, and wait."""
        before, end = self.batches, time.monotonic() + TIMEOUT
        while self.batches == before and time.monotonic() < end:
            time.sleep(PAUSE)
        if self.batches == before or not self._running.acquire(timeout=TIMEOUT):
            raise TimeoutError("a barrier is not answered") from self.error

    def proceed(self) -> None:
        """Go on."""
        self._running.release()

    def stop(self) -> None:
        """End it."""
        self._stopping = True
        self.join(TIMEOUT)


class Changes(Busy):
    """Adds, changes and deletes rules, with a barrier after every few.

    :ivar rules: those that were confirmed: what each sends to, by priority.
    """

    def __init__(self, peer: Controller, priorities: range) -> None:
        super().__init__()
        self.rules: dict[int, int] = {}
        self._peer = peer
        self._priorities = priorities

    @property
    def settled(self) -> bool:
        """Whether there are about as many rules, new and changed, as there will ever be."""
        return self.batches * BATCH >= 4 * len(self._priorities)

    def batch(self) -> bool:
        """Each rule is added, changed and deleted in turn, and most are there at any time."""
        now = dict(self.rules)
        requests = []
        for at in range(self.batches * BATCH, (self.batches + 1) * BATCH):
            priority = self._priorities[at * 7 % len(self._priorities)]
            port = at % 100 + 1
            if priority not in now:
                command = of.FlowModCommand.ADD
            elif (at + priority) % 4:
                command = of.FlowModCommand.MODIFY_STRICT
            else:
                command = of.FlowModCommand.DELETE_STRICT
            requests.append(request(command, priority, port))
            if command is of.FlowModCommand.DELETE_STRICT:
                del now[priority]
            else:
                now[priority] = port
        self._peer.send(*requests)
        self._peer.barrier(self.batches)
        self.rules = now
        return True


class Restless(Busy):
    """A controller of a bridge that is restarted now and then: it connects again each time.

    :ivar connections: how often it has connected.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.connections = 0
        self._path = path
        self._peer: Controller | None = None

    def batch(self) -> bool:
        """Add some rules, if the bridge does not go meanwhile."""
        try:
            if self._peer is None:
                connection = socket.socket(socket.AF_UNIX)
                try:
                    connection.connect(str(self._path))
                    self._peer = Controller(connection, of.OFP13)
                except OSError:
                    connection.close()
                    raise
                self.connections += 1
            port = self.batches % 100 + 1
            adds = [request(of.FlowModCommand.ADD, number, port) for number in range(BATCH)]
            self._peer.send(*adds)
            self._peer.barrier()
        except OSError:
            self._close()
            return False
        return True

    def stop(self) -> None:
        """End it."""
        super().stop()
        self._close()

    def _close(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None


class Accepting(threading.Thread):
    """Accepts controllers' connections, reads what is said there and says nothing.

    :ivar port: where.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        """The thread."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                while connection.recv(1 << 12):
                    pass

    def stop(self) -> None:
        """End it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join(TIMEOUT)
