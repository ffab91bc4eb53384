"""The device by which packets come from the kernel: see :mod:`drivers.tcflower.upcall`.

It is made at the start, and again when somebody has deleted it; then it has another number, and
whoever sends packets to it is told.  What waits in it is bounded by the kernel, and no more than
:data:`~drivers.software.device.BATCH` packets are taken from it in one turn of the reactor.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from drivers.software.device import BATCH
from drivers.software.reader import Reader
from drivers.software.system import System
from drivers.software.tap import MAKE_AGAIN, Tap
from drivers.tcflower.pipeline import Pipeline
from drivers.tcflower.ports import TX_DROPPED, ask_for_device, device_stats
from drivers.tcflower.probe import TcError
from drivers.tcflower.upcall import Upcall

NAME: Final = "ofcpu%d"
"""What such devices are called; the kernel puts a number there."""
LOOK: Final = 2.0
"""Seconds after which is asked again how many packets were dropped."""


class Cpu:
    """The device of one bridge.

    :ivar name: what it is called.
    :ivar index: its number; 0: there is none.
    :ivar handled: how many packets have come.
    :ivar dropped: how many found no room, when that was asked last.
    """

    _log = Logger()

    def __init__(self, system: System, take: Callable[[Upcall], object]) -> None:
        """Make nothing yet.

        :param take: takes what comes.
        """
        self._system = system
        self._take = take
        self._tap: Tap | None = None
        self._reader: Reader | None = None
        self._reactor: Any = None
        self._again: Any = None
        self._bridge = ""
        self.name = ""
        self.index = 0
        self._look_next: Any = None
        self._changed: Callable[[], object] = lambda: None
        self.handled = 0
        self.dropped = 0
        self._dropped_before = 0

    def open(self, reactor: Any, bridge: str) -> None:
        """Begin.

        :param bridge: whose packets they are, for logs.
        :raises TcError: when there can be no such device.
        """
        self._reactor = reactor
        self._bridge = bridge
        try:
            self._attach()
        except OSError as error:
            why = error.strerror
            if error.errno == errno.EPERM:
                why = "the capability CAP_NET_ADMIN is needed"
            elif error.errno == errno.ENOENT:
                why = "there is no /dev/net/tun"
            what = "cannot make the device by which packets come from the kernel"
            raise TcError(error.errno or errno.EPERM, f"{what}: {why}") from error

    def watch(self, pipeline: Pipeline, changed: Callable[[], object]) -> None:
        """Look after it from now on.

        :param pipeline: to ask by how many packets were dropped.
        :param changed: called when its number is another; and now and then, for whether misses go
            to the controllers can change, too, and nobody tells.
        """
        self._changed = changed
        self._look(pipeline)

    def close(self) -> None:
        """End; the device is gone then."""
        for call in (self._again, self._look_next):
            if call is not None:
                call.cancel()
        self._again = self._look_next = None
        self._changed = lambda: None
        self._detach()

    def _look(self, pipeline: Pipeline) -> None:
        self._look_next = self._reactor.callLater(LOOK, self._look, pipeline)
        self._changed()
        if not self.index:
            return

        def hear(data: bytes, at: int, length: int) -> None:
            found = device_stats(data, at, length)
            if found is not None:
                self.dropped = self._dropped_before + found[TX_DROPPED]

        sequence = pipeline.sequence()
        request = ask_for_device(self.index, sequence)
        pipeline.push(sequence, request, lambda error, text: None, hear)

    def _attach(self) -> None:
        tap = Tap(self._system, NAME)
        self._tap = tap
        self.name, self.index = tap.name, tap.index
        self._reader = Reader(self._reactor, tap.fileno(), self._read, self._recover, tap.name)

    def _detach(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None
        if self._tap is not None:
            self._tap.close()
            self._tap = None
        self.index = 0
        self._dropped_before = self.dropped

    def _read(self) -> None:
        tap = self._tap
        for _ in range(BATCH):
            # What becomes of a packet may close the device.
            frames = tap.read() if tap is not None and tap is self._tap else None
            if frames is None:
                return
            for frame in frames:
                packet = Upcall.read(frame)
                if packet is not None:
                    self.handled += 1
                    self._take(packet)

    def _recover(self) -> bool:
        if self._tap is None or self._tap.recover():
            return self._tap is not None
        self._log.warn(
            "{bridge}: somebody has deleted the device {name}", bridge=self._bridge, name=self.name
        )
        self._detach()
        self._changed()
        self._again = self._reactor.callLater(MAKE_AGAIN, self._make_again)
        return False

    def _make_again(self) -> None:
        self._again = None
        try:
            self._attach()
        except OSError:
            # It was said that it is gone; there is nothing new until it is there.
            self._again = self._reactor.callLater(MAKE_AGAIN, self._make_again)
        else:
            self._changed()
