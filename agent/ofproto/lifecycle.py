"""What happens to a switch as a whole while it runs: other limits, and its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from twisted.internet import defer
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.ofproto.ofproto import OFProto

STOP_TIMEOUT: Final = 2.0
"""Seconds that a driver has to stop, before it is left to itself."""

_log = Logger()


class TableSettings(Protocol):
    """What is configured of a table: :class:`agent.admin.config_bridge.TableConfig`."""

    @property
    def id(self) -> int:
        """Which."""

    @property
    def name(self) -> str | None:
        """Its name; None: as it is."""

    @property
    def size(self) -> int | None:
        """The most rules it takes; None: as it is."""

    @property
    def overflow(self) -> str:
        """``refuse`` or ``evict``."""


def reconfigure(
    switch: OFProto,
    max_pending: int,
    watchdog: float,
    miss_to_controller: bool,
    tables: Iterable[TableSettings],
) -> None:
    """Give a running switch other limits; what is in flight goes on.

    The parameters are those of :class:`~agent.ofproto.ofproto.OFProto`.

    :param tables: those that are not as the driver has them.
    """
    switch.miss_to_controller = miss_to_controller
    if max_pending != switch.admission.limit:
        switch.admission.resize(max_pending)
    if watchdog != switch.ledger.watchdog.seconds:
        switch.ledger.watchdog.set(watchdog)
    wanted = {settings.id: settings for settings in tables}
    for table in switch.tables:
        settings = wanted.get(table.table_id)
        table.evicts = settings is not None and settings.overflow == "evict"
        if settings is not None:
            table.name = settings.name or table.name
            table.max_entries = settings.size or table.max_entries


def drain(switch: OFProto, seconds: float, delete: bool = False) -> Deferred[None]:
    """Let what is in flight end, before the switch is stopped.

    Nobody may ask it for anything any more.

    :param seconds: how long at most; hardware that somebody has halted gets no time.
    :param delete: whether every rule is to be deleted as well.
    :returns: fires when nothing is in flight, or the time is over.
    """
    switch.expiry.stop()
    ended = switch.flush() if delete else switch.flushing or switch.idle()
    if ended.cleared or switch.halted():
        return succeed(None)

    def late(failure: Failure) -> None:
        failure.trap(defer.TimeoutError)
        _log.warn(
            "{bridge}: not over after {seconds:g} s, and given up: {what}",
            bridge=switch.name,
            seconds=seconds,
            what=ended.describe(),
        )

    return ended.wait().addTimeout(seconds, switch.reactor).addErrback(late)


def stop(switch: OFProto) -> Deferred[None]:
    """Stop a switch, whatever its driver makes of that; fires in bounded time and never fails."""

    def failed(failure: Failure) -> None:
        if failure.check(defer.TimeoutError):
            _log.error(
                "{bridge}: the driver has not stopped for {seconds:g} s, and is left to itself",
                bridge=switch.name,
                seconds=STOP_TIMEOUT,
            )
        else:
            _log.failure("{bridge}: the driver cannot stop", failure, bridge=switch.name)

    stopped: Deferred[None] = defer.maybeDeferred(switch.stop)
    return stopped.addTimeout(STOP_TIMEOUT, switch.reactor).addErrback(failed)
