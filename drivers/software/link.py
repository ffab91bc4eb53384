"""Which network devices there are, as the kernel says by itself (rtnetlink).

A :class:`LinkMonitor` watches devices by their names.  Whoever watches one is told when it appears,
disappears (which includes being renamed, and moving to another network namespace), gains or loses
its carrier, or gets another address.

It neither blocks nor waits: the kernel answers a request within the very call that makes it, so
that the answer can be read at once.  Messages that were lost in a storm are made up for by asking
about every device again.

pyroute2 knows how the messages look; its own sockets are not used, for they block.

Source: Linux, ``linux/rtnetlink.h`` and ``linux/if_link.h``; rtnetlink(7).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, Final

import attrs

from drivers.software.reader import Reader
from drivers.software.system import System

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTMGRP_LINK: Final = 1
NLMSG_ERROR: Final = 2
NLM_F_REQUEST: Final = 1
RTEXT_FILTER_SKIP_STATS: Final = 1 << 3
SO_RCVBUFFORCE: Final = 33

IFF_UP: Final = 1 << 0
IFF_RUNNING: Final = 1 << 6

ARPHRD_ETHER: Final = 1
ARPHRD_LOOPBACK: Final = 772

BATCH: Final = 16
"""Datagrams that are read in one turn of the reactor."""
RECEIVE_BUFFER: Final = 1 << 20

NLMSGHDR: Final = Struct("=IHHII")
"""``struct nlmsghdr``: length, type, flags, sequence number, port."""
IFINFOMSG: Final = Struct("=BxHiII")
"""``struct ifinfomsg``: family, kind, index, flags, change."""


@attrs.frozen
class Link:
    """A network device.

    :ivar index: its number, which no other device of the namespace has or has had.
    :ivar flags: ``IFF_*`` bits; those that change without a meaning for ports are left out.
    :ivar hw_addr: 48 bits as a number; 0 when it is no Ethernet device.
    :ivar kind: ``ARPHRD_*``.
    :ivar virtual: what kind of virtual device it is, as ``ip link`` names them (``vxlan``); empty:
        none.
    """

    index: int
    name: str
    flags: int
    hw_addr: int
    kind: int = ARPHRD_ETHER
    virtual: str = ""

    @property
    def running(self) -> bool:
        """Whether it is up and has a carrier."""
        return self.flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING

    @property
    def ethernet(self) -> bool:
        """Whether its frames are those of Ethernet."""
        return self.kind in (ARPHRD_ETHER, ARPHRD_LOOPBACK)


Changed = Callable[["Link | None"], None]
"""Takes a device as it is now; None: it is gone.  Before a device of another index comes None."""


class LinkMonitor:
    """Watches devices.  Nothing happens before :meth:`open`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._watchers: dict[str, Changed | None] = {}
        self._links: dict[int, Link] = {}
        self._questions: dict[int, str] = {}
        self._sequence = 0
        self._port_id = 0
        self._incomplete = False
        self._socket: Any = None
        self._reader: Reader | None = None

    def open(self, reactor: Any) -> None:
        """Begin.

        :raises OSError: when the kernel has no netlink for us.
        """
        opened = self._system.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        try:
            _enlarge(opened)
            opened.bind((0, RTMGRP_LINK))
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        self._port_id = opened.getsockname()[0]
        self._reader = Reader(reactor, opened.fileno(), self._read, self._recover, "links")

    def close(self) -> None:
        """End; nobody is told anything any more."""
        self._watchers.clear()
        self._links.clear()
        self._questions.clear()
        self._incomplete = False
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
            self._socket.close()

    def watch(self, name: str, changed: Changed) -> Link | None:
        """Call ``changed`` with every change of a device from now on.

        :param name: a name that is not watched yet.
        :return: the device as it is now; None when there is none.
        :raises OSError: when the kernel cannot be asked.
        """
        # None: take note of it, and tell nobody, for the answer is what this returns.
        self._watchers[name] = None
        self._ask(name)
        self._complete()
        self._watchers[name] = changed
        return self._find(name)

    def unwatch(self, name: str) -> None:
        """Forget a device, if it is watched."""
        self._watchers.pop(name, None)
        link = self._find(name)
        if link is not None:
            del self._links[link.index]

    def _find(self, name: str) -> Link | None:
        return next((link for link in self._links.values() if link.name == name), None)

    def _ask(self, name: str) -> None:
        """Ask the kernel about a device, and take in all that it has said."""
        self._sequence += 1
        self._questions[self._sequence] = name
        self._socket.send(_question(name, self._sequence))
        while self._take():
            pass

    def _complete(self) -> None:
        """If messages were lost, ask about every device."""
        while self._incomplete:
            self._incomplete = False
            for name in list(self._watchers):
                self._ask(name)

    def _read(self) -> None:
        """The reactor says that there is something."""
        for _ in range(BATCH):
            if not self._take():
                break
        self._complete()

    def _recover(self) -> bool:
        """The reactor says that there was an error: messages are missing."""
        self._incomplete = True
        self._complete()
        return True

    def _take(self) -> bool:
        """Take in one datagram; returns False when there is none."""
        # Somebody who was told of a change may have closed us.
        if self._reader is None:
            return False
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._incomplete = True
            return True
        for kind, sequence, message in self._messages(data):
            self._message(kind, sequence, message)
        return True

    def _messages(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """The type and the bytes of each message in a datagram, and between them the number of the
        question that it answers; 0 when it answers none."""
        at = 0
        while at + NLMSGHDR.size <= len(data):
            length, kind, _, sequence, port_id = NLMSGHDR.unpack_from(data, at)
            if not NLMSGHDR.size <= length <= len(data) - at:
                return
            # News has the numbers of whoever caused it.
            yield kind, sequence if port_id == self._port_id else 0, data[at : at + length]
            at += length + 3 & ~3

    def _message(self, kind: int, sequence: int, message: bytes) -> None:
        name = self._questions.pop(sequence, None)
        if kind == NLMSG_ERROR:
            # There is no device of the name that was asked for.
            missing = self._find(name) if name is not None else None
            if missing is not None:
                self._gone(missing)
        elif kind in (RTM_NEWLINK, RTM_DELLINK):
            family, _, index, _, _ = IFINFOMSG.unpack_from(message, NLMSGHDR.size)
            # Linux bridges say in messages of their own family that they have lost a port.
            if family == socket.AF_UNSPEC:
                known = self._links.get(index)
                if kind == RTM_NEWLINK:
                    self._there(known, _decode(message))
                elif known is not None:
                    self._gone(known)

    def _there(self, known: Link | None, link: Link) -> None:
        if known is not None and known.name != link.name:
            self._gone(known)
            known = None
        if link.name not in self._watchers or link == known:
            return
        if known is None:
            # One of this name that it is said to be another of: a message was lost.
            former = self._find(link.name)
            if former is not None:
                self._gone(former)
        self._links[link.index] = link
        self._tell(link.name, link)

    def _gone(self, link: Link) -> None:
        del self._links[link.index]
        self._tell(link.name, None)

    def _tell(self, name: str, link: Link | None) -> None:
        changed = self._watchers.get(name)
        if changed is not None:
            changed(link)


def _enlarge(opened: Any) -> None:
    """Make room for a storm of changes, as far as we may."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def _question(name: str, sequence: int) -> bytes:
    """A RTM_GETLINK for one device."""
    message = _ifinfmsg()()
    message["header"] = {
        "type": RTM_GETLINK,
        "flags": NLM_F_REQUEST,
        "sequence_number": sequence,
        "pid": 0,
    }
    message["attrs"] = [("IFLA_IFNAME", name), ("IFLA_EXT_MASK", RTEXT_FILTER_SKIP_STATS)]
    message.encode()
    return bytes(message.data)


def _decode(data: bytes) -> Link:
    """The device of a RTM_NEWLINK."""
    message = _ifinfmsg()(data)
    message.decode()
    info = message.get_attr("IFLA_LINKINFO")
    link = Link(
        message["index"],
        message.get_attr("IFLA_IFNAME"),
        message["flags"] & (IFF_UP | IFF_RUNNING),
        0,
        message["ifi_type"],
        info.get_attr("IFLA_INFO_KIND") or "" if info is not None else "",
    )
    # pyroute2 takes every address for one of Ethernet, whatever its length.
    if not link.ethernet:
        return link
    return attrs.evolve(link, hw_addr=int(message.get_attr("IFLA_ADDRESS").replace(":", ""), 16))


def _ifinfmsg() -> Any:
    """pyroute2's message; imported when it is needed, for that takes a while."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    return ifinfmsg
