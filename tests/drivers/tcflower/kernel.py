"""A kernel with tc, in memory: qdiscs on devices, shared blocks and the flower filters in them.

:class:`FakeTcKernel` answers as the real one does, within the call that asks.  It can be made to
refuse requests, to lose acknowledgements, and to forget what others delete.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

import attrs

from drivers.software.link import IFINFOMSG as _ifinfo
from drivers.software.link import RTM_GETLINK
from drivers.tcflower import pack, qdisc, shared
from drivers.tcflower.dump import payloads
from drivers.tcflower.monitor import RTM_DELCHAIN, RTMGRP_TC
from drivers.tcflower.netlink import NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR
from drivers.tcflower.qdisc import CLSACT_PARENT, RTM_DELQDISC, RTM_GETQDISC
from tests.drivers.software.kernel import FakeDescriptor, FakeKernel, FakeNetlink, error
from tests.drivers.tcflower.police import PoliceActions, police_message
from tests.drivers.tcflower.telling import Installed, filter_message

ROOM: Final = 300
"""Acknowledgements that fit into a receive buffer."""
NO_MODULE: Final = "Failed to load TC action module"
"""What Linux says when it has not got a kind of action."""
PIECE: Final = 20
"""Filters in a piece of a dump."""

_error = Struct("=i")


class FakeTcKernel(FakeKernel):
    """A kernel with tc.

    :ivar qdiscs: the block of each device, by its number, that has a clsact qdisc.
    :ivar blocks: the filters of each block, by chain, pref and handle.
    :ivar refuse: asked for each filter's installation; returns an error number and a text, or 0.
    :ivar lacks: the kinds of actions that it has no module for.
    :ivar keep: likewise for each filter's removal, if it is there.
    :ivar meanwhile: called before each request is carried out.
    :ivar slowness: seconds that a request takes.
    :ivar room: how many acknowledgements fit into a receive buffer; others are lost.
    :ivar requests: how many messages it was sent, dumps left out.
    :ivar calls: in how many calls.
    :ivar deaf: whether news is lost.
    :ivar offloads: whether its devices take filters into hardware.
    :ivar terse: whether it has terse dumps; None: it refuses them.
    :ivar dumps: whether each dump of filters that was asked for was to be terse.
    :ivar actions: the police actions that are there by themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.qdiscs: dict[int, int] = {}
        self.blocks: dict[int, dict[tuple[int, int, int], Installed]] = {}
        self.refuse: Callable[[tuple[int, int, int]], tuple[int, str]] = lambda key: (0, "")
        self.lacks: set[str] = set()
        self.keep: Callable[[tuple[int, int, int]], tuple[int, str]] = lambda key: (0, "")
        self.meanwhile: Callable[[], object] = lambda: None
        self.slowness = 0.0
        self.room = ROOM
        self.requests = 0
        self.calls = 0
        self.offloads = False
        self.terse: bool | None = True
        self.dumps: list[bool] = []
        self.deaf = False
        self.actions = PoliceActions(self.sharing)

    def sharing(self) -> list[int]:
        """The police actions that filters have."""
        filters = [one for block in self.blocks.values() for one in block.values()]
        return [index for one in filters for index in one.police]

    def socket(self, family: int, kind: int, protocol: int) -> Any:
        """See :class:`drivers.software.system.System`."""
        if family == socket.AF_NETLINK:
            return FakeTcNetlink(self)
        return super().socket(family, kind, protocol)

    def remove(self, name: str, told: bool = True) -> None:
        """A device disappears, and its qdisc with it; a block ends with its last.  What is left of
        filters about it stays, without it."""
        index = self.devices[name].index
        self._unbind(index)
        for block in self.blocks.values():
            for one in block.values():
                one.gone.add(index)
        super().remove(name, told)

    def unbind(self, index: int) -> None:
        """Somebody removes a qdisc."""
        self._unbind(index)
        message = qdisc.unbind(index, 0)
        self._news(message[:4] + RTM_DELQDISC.to_bytes(2, pack.ORDER) + message[6:])

    def take_away(self, *keys: tuple[int, int, int]) -> None:
        """Somebody removes filters, one by one."""
        for number, block in self.blocks.items():
            for key in keys:
                gone = block.pop(key, None)
                if gone is not None:
                    self._news(filter_message(gone, number, kind=pack.RTM_DELTFILTER))

    def flush(self, chain: int) -> None:
        """Somebody removes all filters of a chain."""
        for number, block in self.blocks.items():
            for key in [key for key in block if key[0] == chain]:
                del block[key]
            about = pack.attribute(pack.CHAIN, chain.to_bytes(4, pack.ORDER))
            self._news(pack.message(pack.RTM_DELTFILTER, 0, 0, number, (0, 0, 0), about))

    def change_actions(self, key: tuple[int, int, int], actions: bytes) -> None:
        """Somebody changes what a filter does."""
        for number, block in self.blocks.items():
            if key in block:
                options = {**block[key].options, pack.FLOWER_ACT: actions}
                block[key] = attrs.evolve(block[key], options=options)
                self._news(filter_message(block[key], number))

    def end_chain(self, number: int, chain: int) -> None:
        """A chain goes with its last filter."""
        about = pack.attribute(pack.CHAIN, chain.to_bytes(4, pack.ORDER))
        self._news(pack.message(RTM_DELCHAIN, 0, 0, number, (0, 0, 0), about))

    def _news(self, message: bytes) -> None:
        """Tell who wants to know what somebody has done."""
        for opened in self.sockets(FakeTcNetlink):
            if opened.bound is not None and opened.bound[1] & RTMGRP_TC:
                if self.deaf:
                    opened.queue.append(error(errno.ENOBUFS))
                else:
                    opened.queue.append(message)

    def _unbind(self, index: int) -> None:
        block = self.qdiscs.pop(index, None)
        if block is not None and block not in self.qdiscs.values():
            self.blocks.pop(block, None)

    def tc(self, kind: int, flags: int, message: bytes) -> tuple[int, str]:
        """Carry a request out; returns an error number and a text."""
        self.requests += 1
        self.seconds += self.slowness
        self.meanwhile()
        if pack.RTM_NEWTFILTER <= kind <= pack.RTM_GETTFILTER:
            number, key = about(message)
            block = self.blocks.get(number)
            if block is None:
                return errno.EINVAL, "Specified block does not exist"
            if kind == pack.RTM_GETTFILTER:
                return (0, "") if key in block else (errno.ENOENT, "")
            if kind == pack.RTM_DELTFILTER:
                if key not in block:
                    return errno.ENOENT, ""
                code, text = self.keep(key)
                if not code:
                    del block[key]
                    if not any(other[0] == key[0] for other in block):
                        self.end_chain(number, key[0])
                return code, text
            return self.install(block, key, flags, message)
        _, index, _, parent, _ = pack.TCMSG.unpack_from(message, pack.HEADER.size)
        if index not in {device.index for device in self.devices.values()}:
            return errno.ENODEV, ""
        if kind == RTM_DELQDISC:
            if index not in self.qdiscs:
                return errno.ENOENT, ""
            self._unbind(index)
            return 0, ""
        if parent != CLSACT_PARENT:
            return errno.EINVAL, ""
        if index in self.qdiscs:
            return errno.EEXIST, "Exclusivity flag on, cannot modify"
        asked = payloads(message, pack.FIRST)
        self.qdiscs[index] = int.from_bytes(asked[qdisc.INGRESS_BLOCK], pack.ORDER)
        self.blocks.setdefault(self.qdiscs[index], {})
        return 0, ""

    def find(self, message: bytes) -> tuple[Installed, int] | None:
        """The filter that a message is about, and its block."""
        number, key = about(message)
        found = self.blocks.get(number, {}).get(key)
        return None if found is None else (found, number)

    def install(
        self, block: dict[tuple[int, int, int], Installed], key: Any, flags: int, message: bytes
    ) -> tuple[int, str]:
        """A filter shall be there."""
        code, text = self.refuse(key)
        if code:
            return code, text
        options = payloads(payloads(message, pack.FIRST)[pack.OPTIONS])
        wanted = int.from_bytes(options[pack.FLOWER_FLAGS], pack.ORDER)
        if wanted & 2 and not self.offloads:
            return errno.EOPNOTSUPP, "Offload is not supported"
        if key in block and flags & pack.NLM_F_EXCL:
            return errno.EEXIST, "Filter already exists"
        hardware = self.offloads and not wanted & 1
        made = Installed(key, options, wanted | (4 if hardware else 8), in_hw_count=int(hardware))
        if made.indev:
            if made.indev not in self.devices:
                return errno.ENODEV, "Network device not found"
            made = attrs.evolve(made, index=self.devices[made.indev].index)
        if not {device.index for device in self.devices.values()}.issuperset(made.targets):
            return errno.ENODEV, ""
        if self.lacks & set(made.kinds):
            return errno.ENOENT, NO_MODULE
        for other, installed in block.items():
            if other[:2] == key[:2] and other != key and installed.what == made.what:
                return errno.EEXIST, ""
        if not all(index in self.actions.there for index in made.police):
            return errno.EINVAL, ""
        block[key] = made
        return 0, ""

    def hit(self, installed: Installed, packets: int, octets: int) -> None:
        """Packets were matched; ``octets`` without Ethernet headers."""
        installed.packets += packets
        installed.octets += octets
        installed.age = 0


class FakeTcNetlink(FakeNetlink):
    """A netlink socket of a kernel with tc."""

    kernel: FakeTcKernel

    def send(self, data: bytes) -> int:
        """Carry out what is asked."""
        self.kernel.calls += 1
        at = 0
        size = len(data)
        while at < size:
            length, kind, flags, sequence, _ = pack.HEADER.unpack_from(data, at)
            message = data[at : at + length]
            if kind == RTM_GETLINK and at == 0 and not _ifinfo.unpack_from(message, 16)[2]:
                return super().send(data)
            if kind == RTM_GETLINK:
                self._acknowledge(sequence, message, 0, "")
            elif kind == RTM_GETQDISC:
                self._qdiscs(sequence)
            elif kind in (shared.RTM_NEWACTION, shared.RTM_DELACTION, shared.RTM_GETACTION):
                self._action(kind, flags, sequence, message)
            elif flags & pack.NLM_F_DUMP == pack.NLM_F_DUMP:
                self._dump(message, sequence)
            else:
                echo = kind == pack.RTM_GETTFILTER or flags & pack.NLM_F_ECHO
                there = self.kernel.find(message) if echo else None
                if there is not None:
                    self.queue.append(filter_message(*there, sequence))
                self._acknowledge(sequence, message, *self.kernel.tc(kind, flags, message))
            at += length + 3 & ~3
        return size

    def _acknowledge(self, sequence: int, request: bytes, code: int, text: str) -> None:
        """Say that a request was carried out, if it asks for that; or that it failed."""
        if not code and not pack.HEADER.unpack_from(request)[2] & pack.NLM_F_ACK:
            return
        if len(self.queue) >= self.kernel.room:
            if not self.queue or not isinstance(self.queue[0], OSError):
                self.queue.appendleft(error(errno.ENOBUFS))
            return
        said = pack.string(1, text) if text else b""
        flags = (NLM_F_CAPPED | NLM_F_ACK_TLVS) if text else 0x100
        body = _error.pack(-code) + request[: pack.HEADER.size] + said
        self.queue.append(pack.HEADER.pack(16 + len(body), NLMSG_ERROR, flags, sequence, 0) + body)

    def _action(self, kind: int, flags: int, sequence: int, message: bytes) -> None:
        code, replies = self.kernel.actions.answer(kind, flags, message)
        self.queue += [police_message(reply, sequence) for reply in replies]
        self._acknowledge(sequence, message, code, "")
        if flags & pack.NLM_F_DUMP == pack.NLM_F_DUMP:
            self.queue.append(pack.HEADER.pack(20, NLMSG_DONE, 2, sequence, 0) + bytes(4))

    def _qdiscs(self, sequence: int) -> None:
        for index, block in self.kernel.qdiscs.items():
            self.queue.append(qdisc.bind(index, block, sequence))
        self.queue.append(pack.HEADER.pack(20, NLMSG_DONE, 2, sequence, 0) + bytes(4))

    def _dump(self, message: bytes, sequence: int) -> None:
        block = pack.TCMSG.unpack_from(message, pack.HEADER.size)[3]
        terse = message == pack.dump_filters(block, sequence, terse=True)
        self.kernel.dumps.append(terse)
        if terse and self.kernel.terse is None:
            self._acknowledge(sequence, message, errno.EOPNOTSUPP, "")
            return
        messages = [
            filter_message(installed, block, sequence, terse=terse and bool(self.kernel.terse))
            for installed in self.kernel.blocks.get(block, {}).values()
        ]
        for start in range(0, len(messages), PIECE):
            self.queue.append(b"".join(messages[start : start + PIECE]))
        self.queue.append(pack.HEADER.pack(20, NLMSG_DONE, 2, sequence, 0) + bytes(4))


def about(message: bytes) -> tuple[int, tuple[int, int, int]]:
    """The block that a message is about, and of the filter the chain, pref and handle."""
    _, device, handle, block, info = pack.TCMSG.unpack_from(message, pack.HEADER.size)
    chain = payloads(message, pack.FIRST).get(pack.CHAIN, b"")
    found = block if device == pack.BLOCK else 0
    return found, (int.from_bytes(chain, pack.ORDER), info >> 16, handle)


__all__ = ["FakeDescriptor", "FakeTcKernel", "FakeTcNetlink", "Installed"]
