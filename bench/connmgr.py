"""``python -m bench.connmgr``: what a message costs between the transport and the switch.

FLOW_MODs come in chunks of 64 KiB, as a reactor delivers them, to a switch that does nothing but
return a group of operations, and ends all groups once a turn, as the simplest driver would.
Nothing is decoded, and the cost of that switch alone is taken off: what is left is framing,
dispatch and the accounts of what is outstanding.

The second part is what one completion costs the connections that wait for something else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Roles
from agent.connmgr.settings import SessionSettings
from agent.ofproto.conditions import Condition, Postponed
from agent.ofproto.monitors import FlowChanges
from agent.ofproto.operations import OperationGroup
from agent.openflow import messages as of
from agent.openflow.actions import ApplyActions, Output
from agent.openflow.codec import decode, encode
from agent.openflow.match import Match

CHUNK: Final = 0x10000
NAMES: Final = {of.OFP10: "1.0", of.OFP13: "1.3"}


class Turns:
    """A reactor with nothing but turns: delayed calls of no delay, and a time that stands still."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def seconds(self) -> float:
        """Always the same."""
        return 0.0

    def callLater(self, delay: float, call: Callable[[], object]) -> IDelayedCall:
        """In the next turn, or never."""
        if not delay:
            self.due.append(call)
        never: Any = self
        return never  # type: ignore[no-any-return]

    def cancel(self) -> None:
        """Of a delayed call; nothing here is ever cancelled in earnest."""

    def turn(self) -> bool:
        """One turn; returns whether there was something to do."""
        due, self.due = self.due, []
        for call in due:
            call()
        return bool(due)


class Text(Condition):
    """A condition that only describes itself."""

    def describe(self) -> str:
        """Nothing of interest."""
        return "the benchmark"


class Switch:
    """Returns a group for everything; or postpones it, on a condition for each requester."""

    name = "bench"
    flushing = None

    def __init__(self) -> None:
        self.groups: list[OperationGroup] = []
        self.changes = FlowChanges(self.name, Clock())
        self.conditions: dict[Any, Text] | None = None

    def handle(self, request: Any, requester: Any) -> OperationGroup:
        """See above."""
        if self.conditions is not None:
            condition = self.conditions.setdefault(requester, Text())
            if not condition.cleared:
                raise Postponed(condition)
        group = OperationGroup(None, requester, request.xid, ())  # type: ignore[arg-type]
        self.groups.append(group)
        return group

    def check(self, message: Any, requester: Any) -> None:
        """Bundles are not measured."""

    def process(self, data: bytes, in_port: int) -> None:
        """No packet is ever kept."""

    def forgo(self, requester: Any) -> None:
        """Nobody is promised anything."""

    def release(self, requester: Any) -> None:
        """Nothing is kept."""

    def end(self) -> None:
        """End all groups, as a ledger does."""
        for group in self.groups:
            group.owner.group_ended(group)
        self.clear()

    def clear(self) -> None:
        """What ending groups costs a ledger that tells nobody."""
        groups, self.groups = self.groups, []
        for group in groups:
            group.clear()


class Owner:
    """Not interested."""

    def session_ready(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""

    def session_admitted(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""

    def session_audience(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""

    def session_lost(self, session: OFConn, reason: str) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""


def connect(switch: Switch, turns: Any, version: int) -> tuple[FrameProtocol, OFConn]:
    """A connection that has agreed on a version."""
    settings = SessionSettings(frozenset({version}))
    session = OFConn("bench<->peer", switch, turns, settings, Roles(), Owner())
    channel = FrameProtocol(turns, session)
    channel.makeConnection(StringTransport())  # type: ignore[no-untyped-call]
    channel.dataReceived(encode(version, of.Hello(frozenset({version}))))
    return channel, session


def frames(version: int, count: int) -> list[bytes]:
    """FLOW_MODs of six fields, all different."""
    instructions = (ApplyActions((Output(2),)),)
    return [
        encode(
            version,
            of.FlowMod(
                of.FlowModCommand.ADD,
                Match.of(
                    in_port=1,
                    eth_type=0x800,
                    ip_proto=6,
                    ipv4_src=0x0A000000 + number,
                    ipv4_dst=0x0B000000 + number,
                    eth_dst=number,
                ),
                instructions=instructions,
                xid=number,
            ),
        )
        for number in range(count)
    ]


def best(work: Callable[[], object], runs: int) -> float:
    """Seconds of the best of some runs: others disturbed the rest."""
    least = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - start)
    return least


def hot_path(version: int, count: int, runs: int) -> float:
    """Microseconds a message, without the codec and the switch."""
    sent = frames(version, count)
    message = decode(version, sent[0])
    data = b"".join(sent)
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    turns = Turns()
    switch = Switch()
    channel, session = connect(switch, turns, version)

    def decoded(version: int, frame: bytes) -> of.Message:
        return message

    def everything() -> None:
        for chunk in chunks:
            channel.dataReceived(chunk)
            switch.end()
            while turns.turn():
                switch.end()

    def others() -> None:
        for number, frame in enumerate(sent):
            switch.handle(decoded(version, frame), session)
            if number % 50 == 49:
                switch.clear()

    with patch("agent.connmgr.ofconn.decode", decoded):
        return (best(everything, runs) - best(others, runs)) / count * 1e6


def wake_up(waiting: int, count: int) -> float:
    """Microseconds from a condition that clears to the next message that waits, while others do."""
    turns = Turns()
    switch = Switch()
    switch.conditions = {}
    [frame] = frames(of.OFP13, 1)
    channels = [connect(switch, turns, of.OFP13) for _ in range(waiting)]
    for channel, _ in channels:
        channel.dataReceived(frame)
    channel, session = channels[0]

    def completions() -> None:
        conditions = switch.conditions
        assert conditions is not None
        for _ in range(count):
            conditions.pop(session).clear()
            while turns.turn():
                pass

    return best(completions, 5) / count * 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="bench.connmgr", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="messages of a run")
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    for version, name in NAMES.items():
        print(f"flow_mod {name}: {hot_path(version, given.count, given.runs):.2f} us a message")
    one, many = (wake_up(waiting, 2000) for waiting in (1, 1000))
    print(f"wake-up: {one:.2f} us with 1 connection waiting, {many:.2f} us with 1000,", end=" ")
    print(f"ratio {many / one:.2f}")


if __name__ == "__main__":
    main()
