"""What ports on network devices ask of the operating system, gathered where a test can replace it.

No more than the calls themselves and their numbers; what they are good for is said where they are
used.  :data:`SYSTEM` is the real thing.

Source: Linux, ``linux/if_tun.h``, ``linux/sockios.h``, ``linux/ethtool.h``.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import time
from struct import Struct
from typing import Any, Final

from drivers.software.worker import Worker

SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
SIOCGIFINDEX: Final = 0x8933
SIOCETHTOOL: Final = 0x8946

_REQUEST: Final = Struct("@16sP16x")
"""``struct ifreq`` with a pointer."""


class System:
    """The operating system, as far as ports need it.  Everything raises :exc:`OSError`."""

    def socket(self, family: int, kind: int, protocol: int) -> Any:
        """A socket that does not block and is not inherited."""
        return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)

    def worker(self, reactor: Any) -> Worker:
        """Somebody for calls that take long."""
        return Worker(reactor)

    def open(self, path: str) -> int:
        """A descriptor for reading and writing that does not block and is not inherited."""
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """Ask something of a descriptor; returns the argument as it is afterwards."""
        return fcntl.ioctl(descriptor, request, argument)

    def read(self, descriptor: int, buffer: memoryview) -> int:
        """Read into a buffer; returns how many bytes."""
        return os.readv(descriptor, (buffer,))

    def write(self, descriptor: int, data: bytes) -> int:
        """Write; returns how many bytes."""
        return os.write(descriptor, data)

    def ethtool(self, name: str, command: bytes) -> bytes:
        """Ask something of a device; returns the command as it is afterwards."""
        argument = array.array("B", command)
        request = _REQUEST.pack(name.encode(), argument.buffer_info()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as anywhere:
            fcntl.ioctl(anywhere, SIOCETHTOOL, request)
        return argument.tobytes()

    def clock(self) -> float:
        """Seconds, from whenever on: for how long a call takes."""
        return time.perf_counter()


SYSTEM: Final = System()
