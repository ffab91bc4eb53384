"""What some drivers can do besides what :mod:`drivers.interfaces` asks of all.

A driver that can provides the interface, and whoever wants it asks
``ITracing(driver, None)``.  Nothing of the switch depends on any of these.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs
from zope.interface import Interface

from drivers.interfaces import IRule


class TraceKind(enum.Enum):
    """What a line of a trace is about."""

    TABLE = "table"
    ACTION = "action"
    DETAIL = "detail"
    WARNING = "warning"
    ERROR = "error"


@attrs.define(eq=False)
class TraceNode:
    """One line of a trace, and the lines it led to.

    :ivar text: for people, without the marks that go with its kind.
    :ivar below: what it led to, in order.
    :ivar table_id: the flow table, of a line about a lookup; -1 of others.
    :ivar key: the flow key that was looked up.
    :ivar rule: what was hit; None: nothing.
    """

    kind: TraceKind
    text: str
    below: list[TraceNode] = attrs.Factory(list)
    table_id: int = -1
    key: int = 0
    rule: IRule | None = None


@attrs.frozen
class Trace:
    """What would become of a packet.

    :ivar nodes: its way, line by line.
    :ivar key: its flow key in the end.
    :ivar actions: what would have been done to it and where it would have gone, as Open vSwitch
        writes the actions of a datapath; empty: it would have been dropped.
    """

    nodes: list[TraceNode]
    key: int
    actions: list[str]

    def walk(self) -> Iterator[TraceNode]:
        """Every line, in order."""
        waiting = self.nodes[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.below[::-1]


class ITracing(Interface):
    """A driver that can say what it would do with a packet now (``ofproto/trace``)."""

    def trace(data: bytes, key: int) -> Trace:
        """Say what would become of a packet, without any effect: nothing is sent, counted or
        learned.

        :param data: the frame.
        :param key: its flow key, with the port where it comes in and the fields that are no part
            of a frame.
        """
