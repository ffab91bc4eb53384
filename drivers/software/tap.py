"""``type = "tap"``: a port on a network device that the agent makes, a TAP device.

What the port sends, the host receives on the device, and the other way round.  So this is how the
host itself, a virtual machine or a network namespace is connected with the switch; and it is what
the port LOCAL is made of, which carries the host's own traffic and in-band connections.

The device is made and brought up when the port is opened, and gone when it is closed.  A TAP device
of that name that is there already (``ip tuntap add NAME mode tap user USER``) is used instead, and
stays: then the agent needs no capability.  A device that was moved to another network namespace
goes on working there; whether it is up can then not be seen, and the port says that it is.  One
that somebody deletes is made again.

The kernel gives the host's frames to a TAP device finished, so that nothing is left to make up for.

Needs the capability CAP_NET_ADMIN.

Source: Linux, ``Documentation/networking/tuntap.rst``; netdevice(7).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from drivers.software.device import DevicePort, PortError
from drivers.software.link import IFF_UP, Link
from drivers.software.system import SIOCGIFFLAGS, SIOCGIFINDEX, SIOCSIFFLAGS, System

CLONE_DEVICE: Final = "/dev/net/tun"
TUNSETIFF: Final = 0x400454CA
TUNGETIFF: Final = 0x800454D2
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000

MAX_FRAME: Final = 1 << 16
"""More than the largest MTU of a TAP device."""
MAKE_AGAIN: Final = 1.0
"""Seconds after which a device that was deleted is made again."""

_flags = Struct("16sH22x")
"""``struct ifreq`` with flags."""
_index = Struct("=16si20x")
"""``struct ifreq`` with the number of a device."""


class Tap:
    """A TAP device, which is there until :meth:`close`.

    :ivar name: what it is called.
    :ivar index: the device's number.
    """

    def __init__(self, system: System, name: str) -> None:
        """Make it.

        :param name: what it is to be called; for ``%d`` the kernel puts a number that is free.
        :raises OSError: when it cannot be made.
        """
        self._system = system
        self._descriptor = system.open(CLONE_DEVICE)
        try:
            request = _flags.pack(name.encode(), IFF_TAP | IFF_NO_PI)
            given = _flags.unpack(system.ioctl(self._descriptor, TUNSETIFF, request))[0]
            self.name: str = given.rstrip(b"\0").decode()
            self.index = self._bring_up(self.name)
        except BaseException:
            system.close(self._descriptor)
            raise
        self._buffer = memoryview(bytearray(MAX_FRAME))

    def _bring_up(self, name: str) -> int:
        """Returns its number."""
        anywhere = self._system.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
        try:
            request = _flags.pack(name.encode(), 0)
            request = self._system.ioctl(anywhere.fileno(), SIOCGIFFLAGS, request)
            flags = _flags.unpack(request)[1]
            if not flags & IFF_UP:
                request = _flags.pack(name.encode(), flags | IFF_UP)
                self._system.ioctl(anywhere.fileno(), SIOCSIFFLAGS, request)
            request = _index.pack(name.encode(), 0)
            found: int = _index.unpack(
                self._system.ioctl(anywhere.fileno(), SIOCGIFINDEX, request)
            )[1]
            return found
        finally:
            anywhere.close()

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def read(self) -> Sequence[bytes] | None:
        """See :class:`drivers.software.device.Medium`."""
        try:
            size = self._system.read(self._descriptor, self._buffer)
        except OSError:
            # Nothing there; or the device was deleted, of which the reactor tells us as well.
            return None
        return (bytes(self._buffer[:size]),)

    def write(self, frame: bytes) -> bool:
        """See :class:`drivers.software.device.Medium`."""
        try:
            self._system.write(self._descriptor, frame)
        except OSError:
            # The host does not keep up, the device is down, or it is no frame of Ethernet.
            return False
        return True

    def dropped(self) -> int:
        """The kernel counts for the device what it could not give us, and does not tell us here."""
        return 0

    def recover(self) -> bool:
        """Whether the device is still there, wherever it may be."""
        try:
            self._system.ioctl(self._descriptor, TUNGETIFF, _flags.pack(b"", 0))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the device; it is gone then, unless it was there before."""
        self._system.close(self._descriptor)


class TapPort(DevicePort):
    """A port on a device of the agent's own."""

    _again: Any = None

    def prepare(self) -> None:
        """Make the device."""
        try:
            self.attach(Tap(self._system, self.name))
        except OSError as error:
            problem = f"cannot make a TAP device: {error.strerror}"
            if error.errno == errno.EPERM:
                problem = (
                    "the capability CAP_NET_ADMIN is needed to make a TAP device and bring it up"
                )
            elif error.errno == errno.EINVAL:
                problem = "cannot make a TAP device: there is another device of this name"
            raise PortError(self.number, self.name, problem, error.errno or errno.EPERM) from error

    def close(self) -> None:
        """Let the device go."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        super().close()

    def take(self, link: Link | None) -> None:
        """See :meth:`drivers.software.device.DevicePort.take`."""
        if self._medium is None:
            # Another device has taken the name meanwhile.
            return
        if link is not None:
            self.set_link(link.running, link.hw_addr)
        elif self._medium.recover():
            self.set_link(True)
        else:
            self.lost()

    def lost(self) -> None:
        """The device was deleted: make it again, a little later."""
        super().lost()
        self._again = self._reactor.callLater(MAKE_AGAIN, self._make_again)

    def _make_again(self) -> None:
        self._again = None
        try:
            self.prepare()
        except PortError:
            # It was said that it is lost; there is nothing new until it is there.
            self._again = self._reactor.callLater(MAKE_AGAIN, self._make_again)
