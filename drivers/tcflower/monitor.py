"""What others do with tc: news from the kernel about filters and qdiscs that are not our doing.

The kernel tells of every change of every filter, our own among them, and as many as we make in a
second nobody wants to read: a filter on the socket lets through only what others do, and only what
is about the bridge's block, or about a qdisc that is gone.

It says what happened as exactly as the kernel does: which filter, or only that it can be any.  What
comes too fast is lost, and then it can be any, too.

Source: Linux, ``linux/rtnetlink.h`` (``RTNLGRP_TC``), ``linux/filter.h``, ``net/sched/cls_api.c``;
netlink(7).
"""

from __future__ import annotations

import ctypes
import errno
import socket
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from drivers.software.reader import Reader
from drivers.software.system import System
from drivers.tcflower import pack
from drivers.tcflower.dump import payloads
from drivers.tcflower.netlink import DATAGRAM, RECEIVE_BUFFER, SO_RCVBUFFORCE, messages
from drivers.tcflower.qdisc import RTM_DELQDISC

RTM_DELCHAIN: Final = 101
RTMGRP_TC: Final = 1 << 3
"""``RTNLGRP_TC`` as a bit of the address."""
SO_ATTACH_FILTER: Final = 26
READS: Final = 64
"""Datagrams that are read in one turn of the reactor."""

FILTERS: Final = (pack.RTM_NEWTFILTER, pack.RTM_DELTFILTER, RTM_DELCHAIN)

_PORT: Final = 12
"""Where a message says whose request has caused it: ``nlmsg_pid``."""
_KIND: Final = 4
_DEVICE: Final = pack.HEADER.size + 4
_PARENT: Final = pack.HEADER.size + 12

_LOAD_WORD: Final = 0x20
_LOAD_HALF: Final = 0x28
_JUMP_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_instruction = Struct("=HBBI")
_program = Struct("@HP")
_u32 = Struct("=I")

Key = tuple[int, int, int]
Told = Callable[["Key | None"], object]
"""Takes the chain, pref and handle of a filter that was changed or removed; None: it can be any."""


class Monitor:
    """See the module."""

    def __init__(
        self,
        system: System,
        block: int,
        ours: Callable[[int], bool],
        used: Callable[[int], bool],
        own: int,
        told: Told,
    ) -> None:
        """Make it; nothing is heard before :meth:`open`.

        :param block: the number of the block.
        :param ours: whether a device of this number is a port's.
        :param used: whether there should be filters in a chain of this number.
        :param own: the netlink port of the socket by which we change filters.
        """
        self._system = system
        self._block = block
        self._ours = ours
        self._used = used
        self._own = own
        self._told = told
        self._socket: Any = None
        self._reader: Reader | None = None

    def open(self, reactor: Any) -> None:
        """Begin.

        :raises OSError: when the kernel has no netlink for us.
        """
        opened = self._system.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            try:
                opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
            except PermissionError:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            program = wanted(self._block, self._own)
            held = ctypes.create_string_buffer(program, len(program))
            filtering = _program.pack(len(program) // _instruction.size, ctypes.addressof(held))
            opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filtering)
            opened.bind((0, RTMGRP_TC))
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        self._reader = Reader(reactor, opened.fileno(), self._read, self._recover, "tc")

    def close(self) -> None:
        """End."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
            self._socket.close()

    def _recover(self) -> bool:
        """There was an error on the socket, which the next ``recv`` says."""
        self._read()
        return True

    def _read(self) -> None:
        for _ in range(READS):
            # Whoever was told may have closed us.
            if self._reader is None:
                return
            try:
                data = self._socket.recv(DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._told(None)
                continue
            for kind, _, _, at, length in messages(data):
                if length >= pack.FIRST:
                    self._take(data, kind, at, length)

    def _take(self, data: bytes, kind: int, at: int, length: int) -> None:
        _, device, handle, parent, info = pack.TCMSG.unpack_from(data, at + pack.HEADER.size)
        if kind == RTM_DELQDISC:
            if self._ours(device):
                self._told(None)
        elif kind in FILTERS and device == pack.BLOCK and parent == self._block:
            chain = payloads(data, at + pack.FIRST, at + length).get(pack.CHAIN, bytes(4))
            number = _u32.unpack(chain)[0]
            # A chain goes with its last filter, and that it does so is nobody's request, also if we
            # have removed the filter.
            if kind != RTM_DELCHAIN or self._used(number):
                # Without a handle, it is all of a pref, or of the chain.
                self._told((number, info >> 16, handle) if handle else None)


def wanted(block: int, own: int) -> bytes:
    """The socket filter that lets pass what others do to a block, and that qdiscs go.

    A classic BPF program, which sees numbers in the order of the network.
    """
    lines = [
        (_LOAD_WORD, 0, 0, _PORT),
        (_JUMP_EQUAL, 10, 0, _swapped(own, 4)),
        (_LOAD_HALF, 0, 0, _KIND),
        (_JUMP_EQUAL, 7, 0, _swapped(RTM_DELQDISC, 2)),
        *((_JUMP_EQUAL, 2 - n, 5 * (n == 2), _swapped(kind, 2)) for n, kind in enumerate(FILTERS)),
        (_LOAD_WORD, 0, 0, _DEVICE),
        (_JUMP_EQUAL, 0, 3, _swapped(pack.BLOCK, 4)),
        (_LOAD_WORD, 0, 0, _PARENT),
        (_JUMP_EQUAL, 0, 1, _swapped(block, 4)),
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_RETURN, 0, 0, 0),
    ]
    return b"".join(_instruction.pack(*line) for line in lines)


def _swapped(number: int, size: int) -> int:
    return int.from_bytes(number.to_bytes(size, pack.ORDER), "big")
