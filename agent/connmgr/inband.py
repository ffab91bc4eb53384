"""In-band control: reaching the controllers through the very switch that they control.

Whatever a controller's rules say, or while there are none, packets between the agent and its
controllers have to pass.  So a bridge with ``in_band = true`` has hidden rules, above all that a
controller can add, which forward just these packets like an ordinary switch (the action NORMAL).
There are nine classes of them, of which Open vSwitch's ``ofproto/in-band.c`` tells the reasons:

- one set for the bridge: (a) DHCP requests from the local port, (b) ARP replies to and (c) ARP
  requests from the local port's Ethernet address;
- one set for each next hop on the way to a controller: (d) ARP replies to and (e) ARP requests from
  its Ethernet address;
- one set for each controller: (f) ARP replies about and (g) ARP requests from its IP address, and
  (h) TCP to and (i) TCP from its IP address and port.

Sets whose addresses are not known (yet) are left out.  Addresses change: the local port's when the
port does, which the driver tells; those of the next hops are looked up again and again.

Like Open vSwitch's, this is for IPv4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, ip_address
from typing import Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.connmgr.addresses import Found, INextHops
from agent.ofproto.hidden import HiddenRule, HiddenRules
from agent.ofproto.ofproto import OFProto
from agent.openflow.actions import Action, ApplyActions, Output, SetQueue
from agent.openflow.match import Match
from agent.openflow.messages import Port

FROM_LOCAL_DHCP: Final = 180000
"""``IBR_FROM_LOCAL_DHCP``: (a); each class has a priority of its own, so that one can tell them
apart in ``bridge/dump-flows``."""
TO_LOCAL_ARP: Final = 180001
FROM_LOCAL_ARP: Final = 180002
TO_NEXT_HOP_ARP: Final = 180003
FROM_NEXT_HOP_ARP: Final = 180004
TO_REMOTE_ARP: Final = 180005
FROM_REMOTE_ARP: Final = 180006
TO_REMOTE_TCP: Final = 180007
FROM_REMOTE_TCP: Final = 180008

REFRESH: Final = 10.0
"""Seconds after which next hops are looked up again."""
FIRST_REFRESH: Final = 1.0
"""The same while one of them is not known, which it probably will be soon; doubles each time."""

_IP: Final = 0x0800
_ARP: Final = 0x0806
_TCP: Final = 6
_UDP: Final = 17
_DHCP_CLIENT: Final = 68
_DHCP_SERVER: Final = 67
_ARP_REQUEST: Final = 1
_ARP_REPLY: Final = 2


@attrs.frozen
class Remote:
    """Somebody to be reached.

    :ivar host: an IPv4 address.
    :ivar port: of TCP.
    """

    host: str
    port: int


def local_matches(mac: int) -> Iterator[tuple[int, Match]]:
    """Classes (a) to (c), for the local port's Ethernet address."""
    yield (
        FROM_LOCAL_DHCP,
        Match.of(
            in_port=Port.LOCAL,
            eth_type=_IP,
            eth_src=mac,
            ip_proto=_UDP,
            udp_src=_DHCP_CLIENT,
            udp_dst=_DHCP_SERVER,
        ),
    )
    yield TO_LOCAL_ARP, Match.of(eth_type=_ARP, eth_dst=mac, arp_op=_ARP_REPLY)
    yield FROM_LOCAL_ARP, Match.of(eth_type=_ARP, eth_src=mac, arp_op=_ARP_REQUEST)


def next_hop_matches(mac: int) -> Iterator[tuple[int, Match]]:
    """Classes (d) and (e), for the Ethernet address of a next hop."""
    yield TO_NEXT_HOP_ARP, Match.of(eth_type=_ARP, eth_dst=mac, arp_op=_ARP_REPLY)
    yield FROM_NEXT_HOP_ARP, Match.of(eth_type=_ARP, eth_src=mac, arp_op=_ARP_REQUEST)


def remote_matches(remote: Remote) -> Iterator[tuple[int, Match]]:
    """Classes (f) to (i), for a controller."""
    ip, port = int(IPv4Address(remote.host)), remote.port
    yield TO_REMOTE_ARP, Match.of(eth_type=_ARP, arp_op=_ARP_REPLY, arp_tpa=ip)
    yield FROM_REMOTE_ARP, Match.of(eth_type=_ARP, arp_op=_ARP_REQUEST, arp_spa=ip)
    yield TO_REMOTE_TCP, Match.of(eth_type=_IP, ip_proto=_TCP, ipv4_dst=ip, tcp_dst=port)
    yield FROM_REMOTE_TCP, Match.of(eth_type=_IP, ip_proto=_TCP, ipv4_src=ip, tcp_src=port)


class InBand:
    """In-band control of one bridge; an :class:`agent.connmgr.interfaces.Policy`.

    :ivar remotes: who has to be reached.
    :ivar queue: the queue of the ports that the packets use; None: that of all others.
    :ivar next_hops: the Ethernet addresses on the way there that are known.
    """

    _log = Logger()

    def __init__(
        self,
        switch: OFProto,
        clock: IReactorTime,
        resolver: INextHops,
    ) -> None:
        """:param resolver: who knows next hops."""
        self.remotes: tuple[Remote, ...] = ()
        self.queue: int | None = None
        self.next_hops: frozenset[int] = frozenset()
        self._fixed = False
        self._switch = switch
        self._clock = clock
        self._resolver = resolver
        self._rules = HiddenRules("in-band", switch, clock)
        self._wait = FIRST_REFRESH / 2
        self._running = False
        self._asked: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None

    def configure(
        self,
        remotes: Iterable[Remote],
        queue: int | None = None,
        next_hops: Iterable[int] = (),
    ) -> None:
        """Say what is wanted now; without remotes, there is no in-band control at all.

        :param next_hops: the Ethernet addresses of all next hops; without any, they are looked up.
        """
        self.remotes = tuple(dict.fromkeys(filter(self._possible, remotes)))
        self.queue = queue
        given = frozenset(next_hops)
        if given or self._fixed:
            self.next_hops = given
        self._fixed = bool(given)
        self._wait = FIRST_REFRESH / 2
        self._forget()
        self._update()
        self._look_up()

    # --- what it is told (Policy) ----------------------------------------------------------------

    def start(self) -> None:
        """See :class:`agent.connmgr.interfaces.Policy`, like the rest."""
        self._running = True
        self._update()
        self._look_up()

    def stop(self) -> None:
        """Leave no timer behind, and do not care for answers any more."""
        self._running = False
        self._forget()
        self._rules.stop()

    def controllers_changed(self) -> None:
        """The way to one that was lost may have changed, and that to one that came is known."""
        self._wait = FIRST_REFRESH / 2
        self._look_up()

    def ports_changed(self) -> None:
        """The local port may have another address."""
        self._update()

    def flushed(self) -> None:
        """Put the rules back."""
        self._rules.refresh()

    def _possible(self, remote: Remote) -> bool:
        if ip_address(remote.host).version == 4:
            return True
        self._log.warn(
            "{bridge}: no in-band control for {host}: it is for IPv4 only",
            bridge=self._switch.name,
            host=remote.host,
        )
        return False

    # --- the rules -------------------------------------------------------------------------------

    def _update(self) -> None:
        """Have the rules that are needed now, and no others."""
        if not self._running:
            return
        actions: tuple[Action, ...] = (Output(Port.NORMAL),)
        if self.queue is not None:
            actions = (SetQueue(self.queue), *actions)
        instructions = (ApplyActions(actions),)
        self._rules.set(
            HiddenRule(priority, match, instructions) for priority, match in self._matches()
        )

    def _matches(self) -> Iterator[tuple[int, Match]]:
        if not self.remotes:
            return
        local = self._local_mac()
        if local:
            yield from local_matches(local)
        for mac in self.next_hops:
            yield from next_hop_matches(mac)
        for remote in self.remotes:
            yield from remote_matches(remote)

    def _local_mac(self) -> int:
        """The local port's Ethernet address; 0: there is no such port."""
        for desc in self._switch.driver.ports():
            if desc.port_no == Port.LOCAL:
                return desc.hw_addr
        return 0

    # --- the next hops ---------------------------------------------------------------------------

    def _look_up(self) -> None:
        """Ask for the next hops, unless somebody has asked already."""
        if self._fixed or not self._running or not self.remotes or self._asked is not None:
            return
        self._cancel_timer()
        hosts = tuple(dict.fromkeys(remote.host for remote in self.remotes))
        answer: Deferred[Found] = self._resolver.look_up(hosts)
        # Set before there is a callback: the answer may be there already.
        self._asked = asked = answer.addCallbacks(self._found, self._not_found)
        if asked.called:
            self._asked = None

    def _found(self, found: Found) -> None:
        self._wait = min(2 * self._wait, REFRESH) if None in found.values() else REFRESH
        self._again(self._wait)
        known = frozenset(filter(None, found.values()))
        if known != self.next_hops:
            self.next_hops = known
            self._update()

    def _not_found(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._log.warn(
            "{bridge}: cannot look up the way to the controllers: {error}",
            bridge=self._switch.name,
            error=failure.getErrorMessage(),
        )
        self._again(REFRESH)

    def _again(self, wait: float) -> None:
        self._asked = None
        self._timer = self._clock.callLater(wait, self._due)

    def _due(self) -> None:
        self._timer = None
        self._look_up()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget(self) -> None:
        """Neither wait for an answer nor for the time to ask again."""
        self._cancel_timer()
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()
