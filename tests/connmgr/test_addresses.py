"""Tests of :mod:`agent.connmgr.addresses`."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from agent.connmgr.addresses import (
    NONE_NEEDED,
    Found,
    INextHops,
    KernelNextHops,
    look_up_in_kernel,
)


class Threads:
    """A pool whose one thread works when a test says, and the reactor that has it."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def getThreadPool(self) -> Threads:
        """Of a reactor."""
        return self

    def callFromThread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Of a reactor."""
        function(*args, **kwargs)

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], function: Callable[..., Any], *args: Any
    ) -> None:
        """Of a pool."""
        self.work.append(lambda: done(True, function(*args)))


class FakeMessage(dict[str, Any]):
    """A message of netlink."""

    def get_attr(self, name: str) -> Any:
        """An attribute, or None."""
        return self.get(name)


class FakeRoutes:
    """A netlink socket, and what the kernel says through it."""

    neighbours = (
        FakeMessage(ifindex=2, state=0x02, NDA_DST="192.0.2.1", NDA_LLADDR="02:00:00:00:0b:00"),
        FakeMessage(ifindex=3, state=0x04, NDA_DST="192.0.2.1", NDA_LLADDR="02:00:00:00:0b:01"),
        FakeMessage(ifindex=2, state=0x20, NDA_DST="192.0.2.7", NDA_LLADDR="02:00:00:00:0b:07"),
        FakeMessage(ifindex=2, state=0x02, NDA_DST="192.0.2.8"),
    )
    routes = {
        "192.0.2.1": FakeMessage(type=1, RTA_OIF=2),
        "192.0.2.7": FakeMessage(type=1, RTA_OIF=2),
        "192.0.2.8": FakeMessage(type=1, RTA_OIF=2),
        "198.51.100.1": FakeMessage(type=1, RTA_OIF=3, RTA_GATEWAY="192.0.2.1"),
        "127.0.0.1": FakeMessage(type=2, RTA_OIF=1),
    }
    closed = 0

    def __enter__(self) -> FakeRoutes:
        return self

    def __exit__(self, *error: object) -> None:
        FakeRoutes.closed += 1

    def get_neighbours(self, family: int) -> Sequence[FakeMessage]:
        """The neighbour table."""
        return self.neighbours

    def route(self, command: str, dst: str) -> Sequence[FakeMessage]:
        """The route to an address."""
        if dst not in self.routes:
            raise FakeNetlinkError(errno.ENETUNREACH)
        return [self.routes[dst]]


class FakeNetlinkError(Exception):
    """What the kernel refuses."""


class KernelTests(SynchronousTestCase):
    """What is asked, and where."""

    def test_in_a_thread(self) -> None:
        """The kernel is asked in a thread of the pool, and the answer comes when it is there."""
        asked: list[Sequence[str]] = []
        threads = Threads()

        def look_up(remotes: Sequence[str]) -> Found:
            asked.append(remotes)
            return {"192.0.2.1": 1}

        resolver = KernelNextHops(threads, look_up)
        verifyObject(INextHops, resolver)
        answer = resolver.look_up(["192.0.2.1"])
        self.assertNoResult(answer)
        self.assertEqual(asked, [])
        threads.work.pop()()
        self.assertEqual(self.successResultOf(answer), {"192.0.2.1": 1})
        self.assertEqual(asked, [("192.0.2.1",)])

    def test_cancelled(self) -> None:
        """An answer that nobody waits for any more is nothing."""
        threads = Threads()
        answer = KernelNextHops(threads, lambda remotes: {}).look_up([])
        answer.cancel()
        self.failureResultOf(answer)
        threads.work.pop()()

    def test_next_hops(self) -> None:
        """A neighbour is its own next hop, a gateway that of others; an address counts only on
        the right device, and while the kernel has not given it up."""
        module: Any = ModuleType("pyroute2")
        module.IPRoute, module.NetlinkError = FakeRoutes, FakeNetlinkError
        self.patch(FakeRoutes, "closed", 0)
        # The import statement looks into the very dictionary that sys.modules was at first.
        with patch.dict(sys.modules, pyroute2=module):
            found = look_up_in_kernel([*FakeRoutes.routes, "203.0.113.1"])
        self.assertEqual(
            found,
            {
                "192.0.2.1": 0x020000000B00,
                "192.0.2.7": None,
                "192.0.2.8": None,
                "198.51.100.1": 0x020000000B01,
                "127.0.0.1": NONE_NEEDED,
                "203.0.113.1": None,
            },
        )
        self.assertEqual(FakeRoutes.closed, 1)
