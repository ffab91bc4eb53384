"""Where frames to a controller are sent first: the Ethernet addresses of the next hops.

In-band control needs them, for ARP with a router on the way to a controller must work before any
controller does.  Usually the kernel knows, since it is the kernel that has the connections with the
controllers: its routes say which neighbour is the next hop, and its neighbour table that one's
address.

The kernel is asked with pyroute2, whose calls block.  So nobody calls it in the reactor's thread;
users have :class:`INextHops`, which answers later.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from zope.interface import Interface, implementer

_ROUTE_LOCAL: Final = 2
"""``RTN_LOCAL``."""
_LEARNED: Final = 0x02 | 0x04 | 0x08 | 0x10 | 0x80
"""Those of ``NUD_*`` with which an entry of the neighbour table has an address: REACHABLE, STALE,
DELAY, PROBE, PERMANENT."""

NONE_NEEDED: Final = 0
"""What stands for the address of the next hop to this host itself."""

Found: TypeAlias = Mapping[str, "int | None"]
"""The next hop's Ethernet address, by the address of the remote; None: it is not known (yet)."""


class INextHops(Interface):
    """Who knows the next hops."""

    def look_up(remotes: Sequence[str]) -> Deferred[Found]:
        """Find the next hops to these IPv4 addresses.

        Cancelling the Deferred is harmless; so is asking again before it has fired.
        """


@implementer(INextHops)
class KernelNextHops:
    """Asks the kernel, in a thread of the reactor's pool."""

    def __init__(
        self, reactor: Any, look_up: Callable[[Sequence[str]], Found] | None = None
    ) -> None:
        """:param look_up: what is called in the thread, if it is not to be :func:`look_up`."""
        self._reactor = reactor
        self._look_up = look_up or look_up_in_kernel

    def look_up(self, remotes: Sequence[str]) -> Deferred[Found]:
        """See :class:`INextHops`."""
        reactor = self._reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), self._look_up, tuple(remotes))


def look_up_in_kernel(remotes: Sequence[str]) -> Found:
    """Ask the kernel, and block; never to be called in the reactor's thread.

    :raises OSError: when there is no netlink.
    """
    # Not at the top: it is slow to import, and most agents never need it.
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        known = {
            (entry["ifindex"], entry.get_attr("NDA_DST")): entry.get_attr("NDA_LLADDR")
            for entry in netlink.get_neighbours(family=socket.AF_INET)
            if entry["state"] & _LEARNED
        }
        return {remote: _next_hop(netlink, remote, known) for remote in remotes}


def _next_hop(netlink: Any, remote: str, known: Mapping[tuple[int, str], str | None]) -> int | None:
    from pyroute2 import NetlinkError

    try:
        [route, *_] = netlink.route("get", dst=remote)
    except NetlinkError:
        # There is no route to it.
        return None
    if route["type"] == _ROUTE_LOCAL:
        return NONE_NEEDED
    neighbour = route.get_attr("RTA_GATEWAY") or remote
    text = known.get((route.get_attr("RTA_OIF"), neighbour))
    return int(text.replace(":", ""), 16) if text else None
