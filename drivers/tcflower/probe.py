"""What the driver needs of the host, tried out once at the start, and put in one sentence.

The kernel carries a request out within the call that makes it, so that this neither waits nor needs
the reactor.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, Final

from drivers.software.system import System
from drivers.tcflower import pack, qdisc
from drivers.tcflower.changes import ADDING
from drivers.tcflower.dump import attributes
from drivers.tcflower.filters import Filter
from drivers.tcflower.found import Found, read
from drivers.tcflower.netlink import (
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
    acknowledged,
    error_of,
    explain,
    extended,
    messages,
)

_u32 = Struct("=I")


class TcError(OSError):
    """The host cannot do what is needed.  The text is for people, in one line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self._text = text

    def __str__(self) -> str:
        """One line."""
        return self._text


class Probe:
    """A socket for requests that are answered at once.

    :raises TcError: when there is no netlink.
    """

    def __init__(self, system: System) -> None:
        try:
            self._socket: Any = system.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        except OSError as error:
            raise TcError(error.errno or errno.EPERM, f"no netlink: {error.strerror}") from error
        try:
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
                self._socket.setsockopt(SOL_NETLINK, option, 1)
            self._socket.bind((0, 0))
        except OSError as error:
            self._socket.close()
            raise TcError(error.errno or errno.EPERM, f"no netlink: {error.strerror}") from error

    def close(self) -> None:
        """End."""
        self._socket.close()

    def ask(self, request: bytes) -> tuple[int, str]:
        """Make a request; returns the error number and what the kernel says to it."""
        self._socket.send(acknowledged(request))
        while True:
            data = self._socket.recv(1 << 16)
            for kind, flags, _, at, length in messages(data):
                if kind == NLMSG_ERROR:
                    error = error_of(data, at)
                    return error, extended(data, flags, at, length)

    def dump(self, request: bytes) -> Iterator[tuple[bytes, int, int]]:
        """The messages of a dump: a datagram, where in it one begins, and its length."""
        self._socket.send(request)
        while True:
            data = self._socket.recv(1 << 16)
            for kind, _, _, at, length in messages(data):
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return
                yield data, at, length

    def blocks(self) -> dict[int, int]:
        """The ingress block of each device that has a clsact or ingress qdisc, by the device's
        number; 0: one that it does not share."""
        return dict(filter(None, (qdisc_of(*message) for message in self.dump(qdisc.dump(1)))))

    def take_over(
        self, ports: Sequence[tuple[str, int]], block: int, keep: bool, made: set[int]
    ) -> None:
        """Give each device a clsact qdisc of the block.

        :param ports: the names and numbers of devices.
        :param keep: whether what an earlier run has left on them stays.
        :param made: takes the numbers of those that have it only now.
        :raises TcError: when that cannot be done; then nothing was changed but what is ours.
        """
        there = self.blocks()
        for name, index in ports:
            if there.get(index, block) != block:
                raise TcError(
                    errno.EBUSY,
                    f"device {name} has a clsact or ingress qdisc which is not ours; remove it "
                    f"(tc qdisc del dev {name} clsact) or take another device",
                )
        indexes = {index for _, index in ports}
        kept = {index for index in indexes if keep and there.get(index) == block}
        for index, number in there.items():
            if number == block and index not in kept:
                self.ask(qdisc.unbind(index, 1))
        for name, index in ports:
            if index not in kept:
                self._need(f"share the ingress of device {name}", qdisc.bind(index, block, 1))
                made.add(index)

    def release(self, indexes: Iterable[int]) -> None:
        """Take the clsact qdiscs of devices away, if they are there."""
        for index in sorted(indexes):
            self.ask(qdisc.unbind(index, 1))

    def filters(self, block: int) -> list[Found]:
        """The filters of a block that are its agent's own; none if there is no such block."""
        there = [read(*message) for message in self.dump(pack.dump_filters(block, 1))]
        return [one for one in there if one is not None and one.ours(block)]

    def remove(self, places: Iterable[tuple[int, int, int]], block: int) -> None:
        """Remove filters, if they are there.

        :param places: of each the chain, the pref and the handle.
        """
        for place in places:
            self.ask(pack.delete_filter(place, block, 0, 1))

    def install(self, filters: Iterable[Filter], block: int) -> None:
        """Install filters.

        :raises TcError: when the kernel does not take one.
        """
        for one in filters:
            self._need("have a flower filter", pack.new_filter(one, block, ADDING, 1))

    def _need(self, what: str, request: bytes) -> None:
        error, text = self.ask(request)
        if not error:
            return
        if error == errno.EPERM:
            why = "the capability CAP_NET_ADMIN is needed"
        elif error in (errno.ENOENT, errno.EOPNOTSUPP) and "flower" in what:
            why = f"{explain(error, text)}; are the kernel's cls_flower and act_gact there?"
        elif error == errno.ENOENT:
            why = f"{explain(error, text)}; is the kernel's sch_ingress there?"
        else:
            why = explain(error, text)
        raise TcError(error, f"cannot {what}: {why}")


KINDS: Final = (b"clsact\0", b"ingress\0")


def qdisc_of(data: bytes, at: int, length: int) -> tuple[int, int] | None:
    """The device and the ingress block of a message about a clsact or ingress qdisc."""
    index = pack.TCMSG.unpack_from(data, at + pack.HEADER.size)[1]
    ours = False
    block = 0
    for number, begin, end in attributes(data, at + pack.FIRST, at + length):
        if number == pack.KIND:
            ours = data[begin:end] in KINDS
        elif number == qdisc.INGRESS_BLOCK:
            block = _u32.unpack_from(data, begin)[0]
    return (index, block) if ours else None
