"""The devices of a bridge's ports, whose ingress is part of its block, among others who have tc.

A device has one clsact qdisc, ours if it shares the bridge's block.  Nobody keeps others from
removing it, and with a block's last qdisc go its filters: :mod:`drivers.tcflower.guard` looks after
both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from drivers.software.system import System
from drivers.tcflower import qdisc
from drivers.tcflower.changes import Block
from drivers.tcflower.dumper import Dumper
from drivers.tcflower.left import Left
from drivers.tcflower.netlink import explain
from drivers.tcflower.ports import TcPort
from drivers.tcflower.probe import Probe, qdisc_of
from drivers.tcflower.rules import Rules


class Devices:
    """See the module."""

    _log = Logger()

    def __init__(
        self, block: Block, ports: Sequence[TcPort], rules: Rules, dumper: Dumper, system: System
    ) -> None:
        """Begin with none.

        :param rules: are told when ports change.
        """
        self._block = block
        self._ports = ports
        self._rules = rules
        self._dumper = dumper
        self._system = system
        self._bound: set[int] = set()
        self._made: set[int] = set()
        self._told: Callable[[], object] = lambda: None

    def has(self, index: int) -> bool:
        """Whether a device of this number is a port's."""
        return any(port.ifindex == index for port in self._ports)

    def __len__(self) -> int:
        """How many are part of the block."""
        return len(self._bound)

    def take_over(self, keep: bool) -> None:
        """Have the qdiscs and the filters that are always there.

        :param keep: whether what an earlier run has left stays, for rules to claim it.
        :raises drivers.tcflower.probe.TcError: when that cannot be.
        """
        probe = Probe(self._system)
        try:
            there = [(port.name, port.ifindex) for port in self._ports if port.ifindex]
            probe.take_over(there, self._block.number, keep, self._made)
            self._bound = {index for _, index in there}
            if self._bound:
                left = Left(probe.filters(self._block.number))
                self._rules.leftovers.adopt(left)
                probe.install(self._rules.surroundings.ground.filters(), self._block.number)
                probe.remove(left.of_ports(), self._block.number)
        finally:
            probe.close()

    def watch(self, bound: Callable[[], object]) -> None:
        """Follow the ports from now on.

        :param bound: called when a device that was not part of the block has become so.
        """
        self._told = bound
        for port in self._ports:
            port.moved = self._moved
            port.turned = self._rules.surroundings.ports_changed

    def stop(self, keep: bool) -> None:
        """Look no more.

        :param keep: whether the qdiscs stay, and with them the filters.
        """
        for port in self._ports:
            port.moved = lambda port: None
            port.turned = lambda: None
        if not keep:
            self._release(self._bound)
        self._bound.clear()

    def give_up(self) -> None:
        """Leave the devices as they were before :meth:`take_over`, for there will be no bridge."""
        self._release(self._made)

    def _release(self, indexes: set[int]) -> None:
        if indexes:
            probe = Probe(self._system)
            try:
                probe.release(indexes)
            finally:
                probe.close()

    def _moved(self, port: TcPort) -> None:
        """A port's device is there now, or is gone."""
        self._bound &= {other.ifindex for other in self._ports}
        if port.ifindex:
            self._bind(port)
        self._rules.surroundings.ports_changed()

    def _bind(self, port: TcPort) -> None:
        """Make a device's ingress part of the block, and say that it is."""
        self._ask(port, self._told)

    def bind(self, ports: Sequence[TcPort]) -> Deferred[None]:
        """Make the ingress of devices part of the block; fires when that was tried."""
        done: Deferred[None] = Deferred()
        left = len(ports)

        def tried() -> None:
            nonlocal left
            left -= 1
            if not left:
                done.callback(None)

        for port in ports:
            self._ask(port, tried)
        return done

    def _ask(self, port: TcPort, tried: Callable[[], object]) -> None:
        index = port.ifindex
        number = self._block.number

        def answered(error: int, text: str) -> None:
            if error:
                self._log.error(
                    "{bridge}: port {name} is not part of the bridge: {why}",
                    bridge=self._block.bridge,
                    name=port.name,
                    why=explain(error, text),
                )
            else:
                self._bound.add(index)
            tried()

        self._block.request(lambda n: qdisc.bind(index, number, n), answered)

    @inlineCallbacks
    def look(self) -> Generator[Deferred[Any], Any, list[TcPort]]:
        """Find out which devices are not part of the block any more, or never were.

        :returns: fires with their ports.
        """
        there = {}
        messages = yield self._dumper.messages(qdisc.dump)
        for message in messages:
            device = qdisc_of(message, 0, len(message))
            if device is not None:
                there[device[0]] = device[1]
        number = self._block.number
        self._bound = {p.ifindex for p in self._ports if there.get(p.ifindex) == number}
        return [port for port in self._ports if port.ifindex and port.ifindex not in self._bound]
