"""What a bridge's hardware did lately, and which barriers waited for it: for a picture of it."""

from __future__ import annotations

from typing import Any

from agent.admin.commands_bridges import Bridge
from agent.connmgr.status import ConnectionStatus
from agent.connmgr.traffic import Barrier
from drivers.abilities import IHistory, Work

Data = dict[str, Any]


def timeline(bridge: Bridge, history: IHistory, now: float) -> Data:
    """The last operations of the hardware, and the last barriers, those that wait included.

    All times are seconds before now; None: that is yet to come.

    :param history: the driver's ability.
    :returns: ``hardware``, for people; ``operations``, whose keys are the attributes of
        :class:`drivers.abilities.Work`; and ``barriers``, each with ``connection``, ``xid``,
        ``since`` and ``answered``.
    """
    connections = bridge.connections
    waiting = (_waiting(one) for one in connections.connections())
    return {
        "hardware": bridge.ofproto.capabilities.hardware,
        "operations": [_operation(work, now) for work in history.history()],
        "barriers": [
            *(_barrier(one, now) for one in connections.traffic.answered),
            *(one for one in waiting if one is not None),
        ],
    }


def _operation(work: Work, now: float) -> Data:
    return {
        "kind": work.kind.value,
        "target": work.target.value,
        "table": work.table_id,
        "arrived": _age(work.arrived, now),
        "begun": _age(work.begun, now),
        "finished": _age(work.finished, now),
        "moves": work.moves,
        "error": work.error,
    }


def _barrier(barrier: Barrier, now: float) -> Data:
    return {
        "connection": barrier.connection,
        "xid": barrier.xid,
        "since": _age(barrier.since, now),
        "answered": _age(barrier.answered, now),
    }


def _waiting(status: ConnectionStatus) -> Data | None:
    """The barrier that waits on a connection, if any does."""
    if status.waiting_kind != "BarrierRequest" or status.waiting_seconds is None:
        return None
    return {
        "connection": status.name,
        "xid": status.waiting_xid,
        "since": _rounded(status.waiting_seconds),
        "answered": None,
    }


def _age(time: float | None, now: float) -> float | None:
    return None if time is None else _rounded(now - time)


def _rounded(seconds: float) -> float:
    """In microseconds, which is as exact as clocks are."""
    return round(seconds, 6)
