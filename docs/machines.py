"""The state machines that are declared as such, as tables of their transitions."""

from __future__ import annotations

from typing import Any

from agent.connmgr import reconnect as module
from docs.table import table


def transitions() -> list[tuple[str, str, str]]:
    """State, input and next state of a connection that is dialled, in the order of the states."""
    machine: Any = module._machine
    order = ("void", "connecting", "greeting", "active", "backoff", "disconnecting")
    found = [
        (before.name, event, after.name)
        for before, event, after, _ in machine.__automat_automaton__.allTransitions()
    ]
    return sorted(found, key=lambda one: (order.index(one[0]), one[1]))


def reconnect() -> list[str]:
    """Those transitions as a table."""
    return table(("in", "when", "then"), transitions())
