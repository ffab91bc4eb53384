"""A descriptor that the reactor reads from, and that outlives an error.

To Twisted, an error on a descriptor means that a connection is over: it calls ``connectionLost``
and forgets the descriptor.  For a socket on a network device it is news: the device went down, or
netlink messages were lost.  The socket is as good as before once the error has been taken note of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class Reader:
    """Lets the reactor read from a descriptor until :meth:`stop`.

    :param read: called when there is something to read; it reads a bounded amount, and what is
        left is read in another turn.
    :param recover: called after an error; returns whether to go on.
    :param prefix: for Twisted's log.
    """

    def __init__(
        self,
        reactor: Any,
        descriptor: int,
        read: Callable[[], None],
        recover: Callable[[], bool],
        prefix: str,
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._read = read
        self._recover = recover
        self._prefix = prefix
        self._running = True
        reactor.addReader(self)

    def stop(self) -> None:
        """Read no more; to be called before the descriptor is closed."""
        if self._running:
            self._running = False
            self._reactor.removeReader(self)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def doRead(self) -> None:
        """There is something to read."""
        self._read()

    def connectionLost(self, reason: Failure) -> None:
        """There was an error, and the reactor has forgotten us."""
        if self._running and self._recover():
            self._reactor.addReader(self)

    def logPrefix(self) -> str:
        """Who it is, in Twisted's log."""
        return self._prefix
