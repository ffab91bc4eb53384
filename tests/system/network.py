"""Network namespaces, and what tests need to be hosts in them: packets from outside.

A :class:`Network` makes namespaces of its own and removes them again; nothing else of the machine
is touched.  Sockets belong to the namespace in which they were opened, so :func:`inside` is all
that a test needs to be several hosts at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

from agent.openflow import messages as of
from tests.system import need
from tests.system.agent import TIMEOUT, AgentCase, Arrival, Controller

CLONE_NEWNET: Final = 0x40000000
SOL_PACKET: Final = 263
PACKET_AUXDATA: Final = 8
ETH_P_ALL: Final = 3

_auxdata = Struct("=IIIHHHH")
_tag = Struct("!HH")
_libc = ctypes.CDLL(None, use_errno=True)
_counter = itertools.count()


def ip(*arguments: str, namespace: str = "") -> None:
    """Run Debian's ip."""
    command = ["ip", *(("-n", namespace) if namespace else ()), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Be in a namespace: what is opened here belongs there."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def ping(namespace: str, address: str) -> int:
    """How many of three echo requests of a host are answered."""
    need(shutil.which("ping"), "ping is missing: install iputils-ping")
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, "ping", "-c3", "-i0.3", "-W2", address],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    found = re.search(r"(\d+) received", done.stdout)
    if found is None:
        raise AssertionError(f"ping {address}: {done.stdout}{done.stderr}")
    return int(found[1])


class Wire:
    """One end of a cable, as a host that sees and sends whole frames.

    :ivar name: the device.
    :ivar address: its Ethernet address, with colons.
    """

    def __init__(self, namespace: str, name: str) -> None:
        self.name = name
        with inside(namespace):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.bind((name, ETH_P_ALL))
        self._socket.settimeout(0.05)
        self.address: str = self._socket.getsockname()[4].hex(":")

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        self._socket.send(frame)

    def receive(self, timeout: float = TIMEOUT) -> bytes | None:
        """The next frame that comes in, with its tag; None when there is none in time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                frame, ancillary, _, address = self._socket.recvmsg(1 << 16, 256)
            except TimeoutError:
                continue
            if address[2] == socket.PACKET_OUTGOING:
                continue
            status, _, _, _, _, tci, tpid = _auxdata.unpack(ancillary[0][2])
            return frame[:12] + _tag.pack(tpid, tci) + frame[12:] if status & 1 << 4 else frame
        return None

    def drain(self) -> None:
        """Forget the frames that have come in."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)
        self._socket.settimeout(0.05)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Watcher(Controller):
    """A controller that asks to be told of ports, and puts aside what it is told.

    :ivar statuses: that, in order.
    """

    def __init__(self, connection: socket.socket, version: int) -> None:
        self.statuses: list[of.PortStatus] = []
        super().__init__(connection, version)
        self.send(of.SetConfig(0, 0xFFFF, 1))
        self.barrier()

    def next(self, timeout: float = TIMEOUT) -> Arrival:
        """The next message that is not about ports."""
        while True:
            arrival = super().next(timeout)
            if not isinstance(arrival.message, of.PortStatus):
                return arrival
            self.statuses.append(arrival.message)

    def expect_status(self, number: int, state: int) -> of.PortDesc:
        """Wait until a port has been said to have a state, after all that was waited for before."""
        while True:
            status = self.statuses.pop(0) if self.statuses else super().next().message
            assert isinstance(status, of.PortStatus), status
            assert status.reason == of.PortReason.MODIFY, status
            if (status.desc.port_no, status.desc.state) == (number, state):
                return status.desc


class NetworkCase(AgentCase):
    """A switch in a namespace of its own, and hosts in others.

    :ivar switch: the namespace in which the agent runs.
    """

    def setUp(self) -> None:
        """Make the switch's namespace; the agent starts there."""
        super().setUp()
        need(os.geteuid() == 0, "network namespaces need root")
        need(shutil.which("ip"), "ip is missing: install iproute2")
        self.switch = self.namespace()
        self.prefix = ("ip", "netns", "exec", self.switch)

    def namespace(self) -> str:
        """A new namespace, without IPv6, so that nobody speaks unasked."""
        name = f"ofa{os.getpid()}-{next(_counter)}"
        ip("netns", "add", name)
        self.addCleanup(ip, "netns", "del", name)
        with inside(name):
            for where in ("all", "default"):
                path = Path(f"/proc/sys/net/ipv6/conf/{where}/disable_ipv6")
                if path.exists():
                    path.write_text("1")
        ip("link", "set", "lo", "up", namespace=name)
        return name

    def host(self, port: str, address: str = "") -> str:
        """A new namespace which is connected with a device of the switch.

        :param port: the switch's end of the cable.
        :param address: of the host's end, which is called eth0, with the length of its prefix.
        """
        name = self.namespace()
        self.cable(port, name)
        if address:
            ip("addr", "add", address, "dev", "eth0", namespace=name)
        return name

    def cable(self, port: str, host: str) -> None:
        """Connect a device of the switch with eth0 of a host; both are new, and up."""
        peer = ("peer", "name", "eth0", "netns", host)
        ip("link", "add", "name", port, "type", "veth", *peer, namespace=self.switch)
        ip("link", "set", "dev", "eth0", "up", namespace=host)
        ip("link", "set", "dev", port, "up", namespace=self.switch)

    def wire(self, namespace: str, name: str = "eth0") -> Wire:
        """The end of a cable, for whole frames."""
        wire = Wire(namespace, name)
        self.addCleanup(wire.close)
        return wire

    def unix_controller(self, bridge: str = "br0", version: int = of.OFP13) -> Controller:
        """A controller on the UNIX socket of a bridge, which is the same in every namespace."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.directory / "run" / f"{bridge}.mgmt"))
        controller = Controller(connection, version)
        self.addCleanup(controller.close)
        return controller

    def watcher(self, version: int = of.OFP13) -> Watcher:
        """A controller on the UNIX socket, which is the same in every namespace."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.directory / "run" / "br0.mgmt"))
        controller = Watcher(connection, version)
        self.addCleanup(controller.close)
        return controller
