"""What the tests of Nicira's actions have in common: a datapath, rules and frames."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from agent.openflow.actions import (
    Action,
    ApplyActions,
    Instruction,
    SetField,
)
from agent.openflow.fields import FIELDS, REGS
from agent.openflow.match import Match
from agent.openflow.nx_actions import Subfield
from agent.packet.flowkey import flow_key
from drivers.software.driver import SoftwareDriver, create
from drivers.software.memory import MemoryPort
from drivers.testing import FakeEntry, FakeHost, FakeOperation, FakeRule
from drivers.testing.frames import FRAME

LOW = Subfield(REGS[0], 0, 16)
"""The bits of a register that are a port."""
ETH_SRC, ETH_DST = Subfield.whole(FIELDS["eth_src"]), Subfield.whole(FIELDS["eth_dst"])


def load(register: int, value: int) -> SetField:
    """Write a whole register."""
    return SetField(REGS[register], value)


def get(field: str, frame: bytes) -> int:
    """A field of a frame."""
    return FIELDS[field].get(flow_key(frame, 0))


class NiciraCase(SynchronousTestCase):
    """A datapath with four ports."""

    def setUp(self) -> None:
        """No rules yet, and an agent that does not speak OpenFlow 1.0."""
        entries = [FakeEntry(f"p{n}", n) for n in (1, 2, 3, 4)]
        self.driver: SoftwareDriver = create({"tables": 5}, entries, [])
        self.host = FakeHost(reactor=Clock(), miss_to_controller=False)
        self.driver.start(self.host)

    def add(self, *instructions: Instruction, **fields: Any) -> FakeRule:
        """Add a rule; ``table_id``, ``priority`` and ``cookie`` besides the fields it matches."""
        own = {key: fields.pop(key) for key in ("table_id", "priority", "cookie") if key in fields}
        rule = FakeRule(Match.of(**fields), instructions=instructions, **own)
        self.driver.submit([FakeOperation.add(rule)])
        return rule

    def apply(self, *actions: Action, **fields: Any) -> FakeRule:
        """Add a rule that applies actions."""
        return self.add(ApplyActions(actions), **fields)

    def port(self, number: int) -> MemoryPort:
        """A port."""
        port = self.driver.port(number)
        assert isinstance(port, MemoryPort)
        return port

    def send(self, frame: bytes = FRAME, in_port: int = 1) -> dict[int, list[bytes]]:
        """Let a frame come in; returns what goes out where."""
        self.port(in_port).inject(frame)
        found = {n: list(self.port(n).sent) for n in (1, 2, 3, 4) if self.port(n).sent}
        for number in found:
            self.port(number).sent.clear()
        return found

    def goes(self, *actions: Action, frame: bytes = FRAME) -> list[int]:
        """The ports that a frame leaves by, when these actions are applied."""
        self.apply(*actions)
        return sorted(self.send(frame))
