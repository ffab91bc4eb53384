"""Netlink without waiting: what its sockets and messages have in common.

:mod:`drivers.tcflower.pipeline` makes requests, :mod:`drivers.tcflower.dumper` reads dumps.

Source: netlink(7); Linux, ``linux/netlink.h``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from struct import Struct
from typing import Any, Final

from drivers.software.reader import Reader
from drivers.software.system import System
from drivers.tcflower.dump import attributes
from drivers.tcflower.pack import HEADER, NLM_F_ACK, ORDER

SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11
NETLINK_GET_STRICT_CHK: Final = 12
SO_RCVBUFFORCE: Final = 33

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
NLMSGERR_ATTR_MSG: Final = 1

RECEIVE_BUFFER: Final = 1 << 20
DATAGRAM: Final = 1 << 16
_FLAGS: Final = 6 if ORDER == "little" else 7
"""Where the low byte of a message's flags is."""

LOST: Final = -1
"""In the place of an error number: nobody knows what became of a request."""

_error = Struct("=i")


def messages(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Of each message in a datagram: its type, flags, sequence number, place and length."""
    at = 0
    size = len(data)
    while at + HEADER.size <= size:
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        if not HEADER.size <= length <= size - at:
            return
        yield kind, flags, sequence, at, length
        at += length + 3 & ~3


def extended(data: bytes, flags: int, at: int, length: int) -> str:
    """The text of an extended acknowledgement; empty when there is none."""
    if not flags & NLM_F_ACK_TLVS:
        return ""
    # After the error number comes the request, or only its header.
    start = at + HEADER.size + 4
    asked = HEADER.size if flags & NLM_F_CAPPED else HEADER.unpack_from(data, start)[0]
    for number, begin, end in attributes(data, start + (asked + 3 & ~3), at + length):
        if number == NLMSGERR_ATTR_MSG:
            return data[begin:end].rstrip(b"\0").decode(errors="replace")
    return ""


def acknowledged(request: bytes) -> bytes:
    """The request, asking for an acknowledgement."""
    return request[:_FLAGS] + bytes((request[_FLAGS] | NLM_F_ACK,)) + request[_FLAGS + 1 :]


def error_of(data: bytes, at: int) -> int:
    """The error number in an acknowledgement; 0: it was done."""
    number: int = _error.unpack_from(data, at + HEADER.size)[0]
    return -number


def explain(error: int, text: str) -> str:
    """An error number and the kernel's words in one line."""
    if error == LOST:
        return "no acknowledgement"
    said = os.strerror(error)
    return f"{said}: {text}" if text else said


class NetlinkSocket:
    """What both kinds of sockets have in common."""

    def __init__(self, system: System, prefix: str) -> None:
        self._system = system
        self._prefix = prefix
        self._socket: Any = None
        self._reader: Reader | None = None
        self._sequence = 0

    def open(self, reactor: Any, protocol: int = socket.NETLINK_ROUTE) -> None:
        """Begin.

        :raises OSError: when the kernel has no netlink for us.
        """
        opened = self._system.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        try:
            try:
                opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
            except PermissionError:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
                opened.setsockopt(SOL_NETLINK, option, 1)
            opened.bind((0, 0))
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        self._reader = Reader(reactor, opened.fileno(), self._read, self._recover, self._prefix)

    def close(self) -> None:
        """End; what is on its way is answered no more."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
            self._socket.close()

    @property
    def port(self) -> int:
        """The number that the kernel knows the socket by."""
        number: int = self._socket.getsockname()[0]
        return number

    def sequence(self) -> int:
        """A number for the next request."""
        self._sequence = self._sequence + 1 & 0xFFFFFFFF or 1
        return self._sequence

    def _receive(self) -> bytes | None:
        """A datagram; None: there is none, or there are no more.

        :raises OSError: of ENOBUFS, that something was lost.
        """
        if self._reader is None:
            return None
        try:
            data: bytes = self._socket.recv(DATAGRAM)
        except BlockingIOError:
            return None
        return data

    def _read(self) -> None:
        raise AssertionError("both kinds read")

    def _recover(self) -> bool:
        """There was an error on the socket, which the next ``recv`` says."""
        self._read()
        return True
