"""The devices of a bridge's ports, whose ingress is part of its block, among others who have tc.

A device has one clsact qdisc, ours if it shares the bridge's block.  Nobody keeps others from
removing it, and with a block's last qdisc go its filters.  So the qdiscs are looked at again and
again; what is missing is put back, and meanwhile the rules are degraded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.logger import Logger

from drivers.software.system import System
from drivers.tcflower import qdisc
from drivers.tcflower.changes import Block
from drivers.tcflower.netlink import Dumper, explain
from drivers.tcflower.ports import TcPort
from drivers.tcflower.probe import Probe, qdisc_of
from drivers.tcflower.rules import Rules
from drivers.tcflower.runs import each

CHECK: Final = 2.0
"""Seconds after which the qdiscs are looked at again: others may have removed them."""


class Devices:
    """See the module."""

    _log = Logger()

    def __init__(
        self, block: Block, ports: Sequence[TcPort], rules: Rules, dumper: Dumper, system: System
    ) -> None:
        """Begin with none.

        :param rules: are told when ports change and when their block is gone.
        """
        self._block = block
        self._ports = ports
        self._rules = rules
        self._dumper = dumper
        self._system = system
        self._bound: set[int] = set()
        self._reactor: Any = None
        self._check: Any = None

    def __len__(self) -> int:
        """How many are part of the block."""
        return len(self._bound)

    def take_over(self) -> None:
        """Have the qdiscs and the filters that are always there.

        :raises drivers.tcflower.probe.TcError: when that cannot be.
        """
        probe = Probe(self._system)
        try:
            there = [(port.name, port.ifindex) for port in self._ports if port.ifindex]
            probe.take_over(there, self._block.number)
            self._bound = {index for _, index in there}
            if self._bound:
                probe.install(self._rules.ground.filters(), self._block.number)
        finally:
            probe.close()

    def watch(self, reactor: Any) -> None:
        """Look after them from now on."""
        self._reactor = reactor
        for port in self._ports:
            port.moved = self._moved
        self._check = reactor.callLater(CHECK, self._look)

    def stop(self, keep: bool) -> None:
        """Look no more.

        :param keep: whether the qdiscs stay, and with them the filters.
        """
        if self._check is not None:
            self._check.cancel()
            self._check = None
        for port in self._ports:
            port.moved = lambda port: None
        if not keep and self._bound:
            probe = Probe(self._system)
            try:
                for index in sorted(self._bound):
                    probe.ask(qdisc.unbind(index, 1))
            finally:
                probe.close()
        self._bound.clear()

    def _moved(self, port: TcPort) -> None:
        """A port's device is there now, or is gone."""
        self._bound &= {other.ifindex for other in self._ports}
        if port.ifindex:
            self._bind(port)
        self._rules.ports_changed()

    def _bind(self, port: TcPort) -> None:
        """Make a device's ingress part of the block."""
        index = port.ifindex
        number = self._block.number

        def answered(error: int, text: str) -> None:
            if error:
                self._log.error(
                    "port {name} is not part of the bridge: {why}",
                    name=port.name,
                    why=explain(error, text),
                )
                return
            first = not self._bound
            self._bound.add(index)
            if first:
                self._rules.put_back()

        self._block.request(lambda n: qdisc.bind(index, number, n), answered)

    def _look(self) -> None:
        """See whether the qdiscs are still there."""
        there: dict[int, int] = {}

        def take(data: bytes, at: int, length: int) -> None:
            device = qdisc_of(data, at, length)
            if device is not None:
                there[device[0]] = device[1]

        done = self._dumper.dump(qdisc.dump, each(take))
        done.addCallback(lambda _: self._looked(there))
        done.addErrback(lambda failure: self._log.failure("cannot look at qdiscs", failure))
        self._check = self._reactor.callLater(CHECK, self._look)

    def _looked(self, there: Mapping[int, int]) -> None:
        gone = {index for index in self._bound if there.get(index) != self._block.number}
        if not gone:
            return
        self._bound -= gone
        ports = [port for port in self._ports if port.ifindex in gone]
        for port in ports:
            self._log.warn("{name}: somebody has removed the clsact qdisc", name=port.name)
        if not self._bound:
            self._rules.lost("somebody has removed the clsact qdiscs")
        for port in ports:
            self._bind(port)
