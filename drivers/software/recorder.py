"""What a trace has to say, written down line by line."""

from __future__ import annotations

from typing import Final

from agent.openflow.text import format_match
from drivers.abilities import TraceKind, TraceNode
from drivers.interfaces import IRule
from drivers.software.commit import changes

MAX_NODES: Final = 20_000
"""Lines of a record; what comes after them is not recorded."""

NO_MATCH: Final = "No match."


class Recorder:
    """Writes down what the stand-ins are asked for.

    :ivar nodes: the first lines.
    :ivar here: where the next line goes.
    :ivar actions: what was done to the packet and where it went.
    """

    def __init__(self, key: int) -> None:
        """Begin.

        :param key: the packet's flow key.
        """
        self.nodes: list[TraceNode] = []
        self.here = self.nodes
        self.actions: list[str] = []
        self._room = MAX_NODES
        self._committed = key
        self._priority = 0

    def say(self, kind: TraceKind, text: str) -> TraceNode:
        """Write a line."""
        node = TraceNode(kind, text)
        self._room -= 1
        if self._room > 0:
            self.here.append(node)
        elif not self._room:
            node = TraceNode(TraceKind.ERROR, "the rest of the way is too long to be told")
            self.here.append(node)
        return node

    def lookup(self, table_id: int, key: int, rule: IRule | None) -> None:
        """Write that the packet was looked up, and what follows below that."""
        if rule is None:
            text = f"{table_id:2}. {NO_MATCH}"
        else:
            match = format_match(rule.match)
            comma = ", " if match else ""
            cookie = f", cookie {rule.cookie:#x}" if rule.cookie else ""
            text = f"{table_id:2}. {match}{comma}priority {rule.priority}{cookie}"
        node = self.say(TraceKind.TABLE, text)
        node.table_id, node.key, node.rule = table_id, key, rule
        self.here = node.below

    def act(self, action: str, key: int, priority: int = 0) -> None:
        """A packet with this flow key was sent somewhere: ``action`` says where.

        :param priority: with which priority.
        """
        if priority != self._priority:
            shown = f"{priority:#x}" if priority else "0"
            self.actions.append(f"set(skb_priority({shown}))")
            self._priority = priority
        self.actions += changes(self._committed, key)
        self._committed = key
        self.actions.append(action)
