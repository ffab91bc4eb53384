"""Operations on meters: police actions that are there by themselves, named by the filters of rules.

A meter has an action of its own (:mod:`drivers.tcflower.shared`), whose number no meter had before
in this run: the kernel lets go of a filter's actions some time after the filter is gone, and until
then they cannot be removed.  A change is made to the action, so that no filter has to be touched.

What an earlier run has left is removed at the start, unless filters still have it; then it becomes
the action of the meter of the same number, when that is added.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, succeed

from agent.openflow.errors import METER_UNKNOWN, OpenFlowError
from agent.packet.protocols import ETH_HEADER_LEN
from drivers.interfaces import UNKNOWN_COUNT, Entry, IDriverHost, IMeter, IOperation, OperationKind
from drivers.software.system import System
from drivers.tcflower import shared
from drivers.tcflower.actions import Police, Policer
from drivers.tcflower.changes import Block, End
from drivers.tcflower.filters import FilterFlags
from drivers.tcflower.meters import police_of
from drivers.tcflower.netlink import explain
from drivers.tcflower.probe import Probe
from drivers.tcflower.shared import Shared

KIND: Final = "police"
MAX_METERS: Final = 65_536
PATIENCE: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to remove an action of which the kernel has not let go yet."""
_MARK: Final = b"mete"
"""What tells the cookies of meters from those of rules."""
OWNER: Final = 12
"""Bytes of a meter's cookie before its number."""


@attrs.define(eq=False)
class _Meter:
    """A meter in the kernel.

    :ivar meter: as it is there.
    :ivar packets: what the kernel said last that it has counted; likewise the others.
    :ivar drops: of these, what came since the bands are what they are.
    """

    index: int
    meter: IMeter
    packets: int = 0
    bytes: int = 0
    drops: int = 0

    def read(self, found: Shared) -> None:
        """Take what the kernel says; what is new goes to the counters."""
        if found.packets < self.packets:
            # Somebody has made it anew.
            self.packets = self.bytes = self.drops = 0
        packets, octets = found.packets - self.packets, found.bytes - self.bytes
        drops = found.drops - self.drops
        self.packets, self.bytes, self.drops = found.packets, found.bytes, found.drops
        counters = self.meter.counters
        counters.packets += packets
        counters.bytes += octets + packets * ETH_HEADER_LEN
        for band in self.meter.band_counters:
            band.packets += drops
            band.bytes = UNKNOWN_COUNT


class Policers:
    """See the module.

    :ivar actions: what filters name the meters by, by number.
    """

    def __init__(
        self,
        block: Block,
        flags: FilterFlags,
        host: IDriverHost,
        system: System,
        done: Callable[[IOperation], None],
        end: End,
    ) -> None:
        """Begin without any.

        :param flags: of all filters.
        :param done: told of each operation that the kernel has carried out, before it is complete.
        :param end: completes operations.
        """
        self.actions: dict[int, Policer] = {}
        self._block = block
        self._flags = flags
        self._host = host
        self._system = system
        self._done = done
        self._end = end
        self._meters: dict[int, _Meter] = {}
        self._left: dict[int, int] = {}
        # All who have police actions share the numbers: begin where others hardly do.
        self._index = (block.number & 0xFFFF) << 16
        self._timers: set[Any] = set()

    def _cookie(self, meter_id: int) -> bytes:
        return self._block.cookie(0)[:8] + _MARK + meter_id.to_bytes(4, "big")

    # Life.

    def take_over(self) -> None:
        """Remove what an earlier run has left.

        :raises drivers.tcflower.probe.TcError: when there is no netlink.
        """
        ours = self._cookie(0)[:OWNER]
        probe = Probe(self._system)
        try:
            messages = list(probe.dump(shared.dump(KIND, 1)))
            for found in (one for message in messages for one in shared.read(*message)):
                if (
                    found.cookie.startswith(ours)
                    and probe.ask(shared.delete(KIND, found.index, 1))[0]
                ):
                    self._left[int.from_bytes(found.cookie[OWNER:], "big")] = found.index
        finally:
            probe.close()

    def stop(self, keep: bool) -> Deferred[None]:
        """End, after the filters.

        :param keep: whether the actions stay; otherwise they are removed, as far as nobody has
            them.
        """
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        done: Deferred[None] = Deferred()
        left = [*self._left.values(), *(there.index for there in self._meters.values())]
        self._sweep(() if keep else left, iter(PATIENCE), done)
        return done

    def _sweep(self, left: Sequence[int], patience: Iterator[float], done: Deferred[None]) -> None:
        """Remove actions whose filters the kernel is about to let go of."""
        if left:
            probe = Probe(self._system)
            left = [n for n in left if probe.ask(shared.delete(KIND, n, 1))[0] == errno.EPERM]
            probe.close()
        delay = next(patience, None) if left else None
        if delay is None:
            done.callback(None)
        else:
            self._host.reactor.callLater(delay, self._sweep, left, patience, done)

    # Operations.

    def submit(self, operation: IOperation) -> None:
        """Have a meter as an operation wants it."""
        if operation.kind is OperationKind.DELETE:
            self._delete(operation, iter(PATIENCE))
            return
        meter: IMeter = operation.rule
        there = self._meters.get(meter.meter_id)
        index = there.index if there else self._left.get(meter.meter_id)
        try:
            police = police_of(meter, index or 0)
        except OpenFlowError as error:
            self._end(operation, error)
            return
        if there is not None:
            self._look(there)
        if index is None:
            self._make(operation, police)
        else:
            self._put(operation, police, replace=True)

    def _make(self, operation: IOperation, police: Police) -> None:
        """Make an action of a number that was not used before."""
        self._index = self._index % 0xFFFFFFFF + 1
        self._put(operation, attrs.evolve(police, index=self._index), replace=False)

    def _put(self, operation: IOperation, police: Police, replace: bool) -> None:
        meter: IMeter = operation.rule
        cookie = self._cookie(meter.meter_id)

        def answered(error: int, text: str) -> None:
            if error == errno.EEXIST and not replace:
                self._whose(police.index, known)
            elif error:
                self._end(operation, _refused(error, text))
            else:
                self._was_put(meter, police.index)
                self._done(operation)
                self._end(operation, None)

        def known(owner: bytes) -> None:
            if owner == cookie:
                # It was made, and the acknowledgement lost.
                self._put(operation, police, replace=True)
            else:
                self._make(operation, police)

        self._block.ask(partial(shared.put, police, cookie, self._flags, replace), answered)

    def _whose(self, index: int, known: Callable[[bytes], None]) -> None:
        """Ask for the cookie of an action; empty: it has none, or is not there any more."""
        owners: list[bytes] = []

        def hear(data: bytes, at: int, length: int) -> None:
            owners.extend(found.cookie for found in shared.read(data, at, length))

        def answered(error: int, text: str) -> None:
            if owners or error:
                known(owners[0] if owners else b"")
            else:
                # What was said is lost, and the acknowledgement is not.
                self._whose(index, known)

        self._block.ask(partial(shared.get, KIND, index), answered, hear)

    def _was_put(self, meter: IMeter, index: int) -> None:
        self._left.pop(meter.meter_id, None)
        there = self._meters.get(meter.meter_id)
        if there is None:
            self._meters[meter.meter_id] = _Meter(index, meter)
            self.actions[meter.meter_id] = Policer(index)
        else:
            there.meter = meter

    def _delete(self, operation: IOperation, patience: Iterator[float]) -> None:
        number = operation.rule.meter_id
        there = self._meters.get(number)
        if there is None:
            self._end(operation, None)
            return

        def answered(error: int, text: str) -> None:
            delay = next(patience, None) if error == errno.EPERM else None
            if delay is not None:
                self._later(delay, partial(self._delete, operation, patience))
            elif error in (0, errno.ENOENT):
                del self._meters[number], self.actions[number]
                self._done(operation)
                self._end(operation, None)
            else:
                self._end(operation, _refused(error, text))

        self._block.ask(partial(shared.delete, KIND, there.index), answered)

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        def due() -> None:
            self._timers.discard(timer)
            call()

        timer = self._host.reactor.callLater(delay, due)
        self._timers.add(timer)

    # Statistics.

    def refresh(self, entries: Iterable[Entry]) -> Deferred[None]:
        """Read what the actions of those entries have counted that are meters."""
        meters = [
            there
            for entry in (entries if self._meters else ())
            if (there := self._meters.get(getattr(entry, "meter_id", 0)))
        ]
        if not meters:
            return succeed(None)
        done: Deferred[None] = Deferred()
        waiting = len(meters)

        def answered(error: int, text: str) -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                done.callback(None)

        for there in meters:
            self._look(there, answered)
        return done

    def _look(
        self, there: _Meter, answered: Callable[[int, str], None] = lambda error, text: None
    ) -> None:
        def hear(data: bytes, at: int, length: int) -> None:
            for found in shared.read(data, at, length):
                there.read(found)

        self._block.ask(partial(shared.get, KIND, there.index), answered, hear)


def _refused(error: int, text: str) -> OpenFlowError:
    return OpenFlowError(METER_UNKNOWN, f"tc flower: {explain(error, text)}")
