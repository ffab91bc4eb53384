"""``python -m bench.core``: what a FLOW_MOD costs between the connection and the driver.

A driver that completes at once, and a clock instead of a reactor: what is left is the switch alone,
from :meth:`OFProto.handle` to the end of the group.  Fifty requests are in flight at a time, as
many as there may be by default.

And what a completion costs, with one session that waits and with a thousand: only the one may be
woken which waited for just that, so both must cost the same.

Figures are the least of several rounds, for nothing makes a round too fast.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from agent.ofproto.conditions import Postponed
from agent.ofproto.interfaces import IRequester
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import OperationGroup
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.errors import BUFFER_UNKNOWN, OpenFlowError
from agent.openflow.match import Match
from drivers.interfaces import Capabilities, IOperation, TableCapabilities

OUTPUTS: Final = tuple((ApplyActions((Output(port),)),) for port in (2, 3))
IN_FLIGHT: Final = 50


class Hardware:
    """As much of a driver as a FLOW_MOD needs.

    :ivar patient: whether operations are kept until somebody completes them.
    """

    name = "bench"
    capabilities = Capabilities((TableCapabilities(0, "table0", 1 << 20),))

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.held: deque[IOperation] = deque()

    def start(self, host: object) -> None:
        """See :class:`drivers.interfaces.IDriver`, like the rest."""

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Complete them, or keep them."""
        if self.patient:
            self.held.extend(operations)
        else:
            for operation in operations:
                operation.complete()

    def refresh(self, entries: Sequence[Any]) -> Deferred[None]:
        """Nothing is counted."""
        return succeed(None)


@implementer(IRequester)
class Session:
    """Somebody who sends requests until one has to wait, and goes on with that when it is woken."""

    name = "bench"
    version = of.OFP13
    miss_send_len = 0
    slave = False
    invalid_ttl = False
    n_buffers = 0
    internal = False

    def __init__(self, switch: OFProto, clock: Clock, requests: Iterator[of.FlowMod]) -> None:
        self.switch = switch
        self.clock = clock
        self.requests = requests
        self.postponed = next(requests)
        self.woken = 0

    def retrieve_buffer(self, buffer_id: int) -> tuple[bytes, int]:
        """No packet is kept."""
        raise OpenFlowError(BUFFER_UNKNOWN)

    def group_ended(self, group: OperationGroup) -> None:
        """Nobody is told of it."""

    def push(self) -> None:
        """Send requests until one has to wait."""
        while True:
            try:
                self.switch.handle(self.postponed, self)
            except Postponed as postponed:
                postponed.condition.wait().addCallback(self.wake)
                return
            self.postponed = next(self.requests)

    def wake(self, _: None) -> None:
        """Go on in the next turn."""
        self.woken += 1
        self.clock.callLater(0, self.push)


def switch_of(driver: Any, max_pending: int = IN_FLIGHT) -> tuple[OFProto, Clock]:
    """A switch with this driver, and its clock."""
    clock = Clock()
    switch = OFProto("br0", 1, driver, clock, max_pending=max_pending, watchdog=0)
    switch.start()
    return switch, clock


def request(number: int, command: of.FlowModCommand, output: int = 0) -> of.FlowMod:
    """A FLOW_MOD about the rule of this number."""
    match = Match.of(
        in_port=1,
        eth_type=0x800,
        ip_proto=6,
        ipv4_src=number,
        ipv4_dst=number * 7 & 0xFFFFFFFF,
        tcp_dst=number % 60000,
    )
    return of.FlowMod(int(command), match, 100, OUTPUTS[output], xid=number)


def run(switch: OFProto, clock: Clock, requests: Sequence[of.FlowMod]) -> float:
    """Microseconds of processor time a request."""
    session = Session(switch, clock, iter(requests))
    handle, turn = switch.handle, clock.advance
    began = time.process_time()
    for first in range(0, len(requests), IN_FLIGHT):
        for message in requests[first : first + IN_FLIGHT]:
            handle(message, session)
        turn(0)
    spent = time.process_time() - began
    assert not switch.ledger.groups
    return spent / len(requests) * 1e6


class Table:
    """A switch with so many rules in its table, and requests about some more.

    :ivar costs: what each command cost, in microseconds, one figure a round.
    """

    def __init__(self, size: int) -> None:
        command = of.FlowModCommand
        self.switch, self.clock = switch_of(Hardware())
        run(self.switch, self.clock, [request(number, command.ADD) for number in range(size)])
        self.costs: dict[str, list[float]] = {}
        self._requests = [
            (name, [request(number, kind, output) for number in range(size, size + 2000)])
            for name, kind, output in (
                ("add", command.ADD, 0),
                ("add over one", command.ADD, 1),
                ("modify strict", command.MODIFY_STRICT, 0),
                ("modify strict", command.MODIFY_STRICT, 1),
                ("delete strict", command.DELETE_STRICT, 0),
            )
        ]

    def round(self) -> None:
        """Add some rules, change them, and delete them."""
        gc.collect()
        for name, requests in self._requests:
            self.costs.setdefault(name, []).append(run(self.switch, self.clock, requests))


def wake_up(waiting: int, for_slot: bool) -> float:
    """Microseconds from one completion to the next, while so many sessions wait.

    :param for_slot: whether they all wait for a place among the groups in flight; or each for the
        rule that it has changed itself.
    """
    driver = Hardware(patient=True)
    switch, clock = switch_of(driver, IN_FLIGHT if for_slot else waiting + 1)
    add = of.FlowModCommand.ADD
    if for_slot:
        # More rules than are in flight or asked for, so that nobody waits for one.
        enough = 2 * (waiting + IN_FLIGHT)
        rules = itertools.cycle([request(number, add) for number in range(enough)])
        sessions = [Session(switch, clock, rules) for _ in range(waiting)]
    else:
        sessions = [
            Session(switch, clock, itertools.repeat(request(number, add)))
            for number in range(waiting)
        ]
    for session in sessions:
        session.push()
    clock.advance(0)
    cycles = 2000
    gc.collect()
    began = time.process_time()
    for _ in range(cycles):
        driver.held.popleft().complete()
        clock.advance(0)
    spent = time.process_time() - began
    assert sum(session.woken for session in sessions) == cycles
    return spent / cycles * 1e6


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each figure")
    rounds: int = parser.parse_args().rounds
    sizes = (1_000, 10_000, 100_000)
    tables = [Table(size) for size in sizes]
    for _ in range(rounds):
        for table in tables:
            table.round()
    print(f"{'microseconds':16}" + "".join(f"{size:>10,}" for size in sizes) + "     ratio")
    for name in tables[0].costs:
        costs = [min(table.costs[name]) for table in tables]
        line = f"{name:16}" + "".join(f"{cost:10.2f}" for cost in costs)
        print(f"{line}{costs[-1] / costs[0]:10.2f}")
    print(f"\n{'wake-up, waiting':16}{1:>10,}{1000:>10,}     ratio")
    for name, for_slot in (("for its rule", False), ("for a place", True)):
        figures = [(wake_up(1, for_slot), wake_up(1000, for_slot)) for _ in range(rounds)]
        one, many = map(min, zip(*figures, strict=True))
        print(f"{name:16}{one:10.2f}{many:10.2f}{many / one:10.2f}")


if __name__ == "__main__":
    main()
