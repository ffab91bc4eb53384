"""Flow monitors: a session is told what becomes of the rules that it watches.

The switch says what has changed when that is final (:mod:`agent.ofproto.monitors`, which explains
what that means and why an initial reply shows something else than flow statistics).  Here are the
session's filters, in what form it is told (:mod:`agent.connmgr.flow_updates`), and what happens
when it does not read.

A session which has more than 128 KiB to read is told NXT_FLOW_MONITOR_PAUSED, and from then on only
of deletions, of rules that it knows.  What else it misses is kept by rule: the last version of it,
and whether it was new.  That is never more than there are rules.  When everything has been sent the
session gets that, then NXT_FLOW_MONITOR_RESUMED.  Two things are not as in Open vSwitch, which
looks at the rules when it resumes: a rule which no longer outputs to the port that a monitor
watches is told of, as it would have been, and so is the deletion of a rule that was replaced
meanwhile.

Updates have the xid 0, and are in the same order on the wire as all else that the session is told.
Monitors end with their session, and need no role.

Source: ``nicira-ext.h``, and ``connmgr.c`` of Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from agent.connmgr.flow_updates import FlowUpdates, News
from agent.connmgr.interfaces import Switch
from agent.ofproto.monitors import DELETED, Change, update_of
from agent.ofproto.operations import OperationGroup
from agent.ofproto.rule import Rule
from agent.openflow.codec import encode, encode_parts
from agent.openflow.errors import (
    MONITOR_EXISTS,
    REQUEST_EPERM,
    UNKNOWN_MONITOR,
    OpenFlowError,
)
from agent.openflow.nx_messages import (
    AnyFlowUpdate,
    FlowMonitor,
    FlowMonitorCancel,
    FlowMonitorFlags,
    FlowMonitorPaused,
    FlowMonitorReply,
    FlowMonitorRequest,
    FlowMonitorResumed,
    FlowUpdateEvent,
)

if TYPE_CHECKING:
    from agent.connmgr.ofconn import OFConn

CHUNK: Final = 256
"""Updates that are encoded at once."""

INITIAL: Final = FlowMonitorFlags.INITIAL
OWN: Final = FlowMonitorFlags.OWN
WANTS_DELETED: Final = FlowMonitorFlags.DELETE


@attrs.define
class Missed:
    """A rule of which a session was not told while it was paused.

    :ivar rule: as it is now.
    :ivar event: what to tell of it: ADDED or MODIFIED.
    :ivar known: whether it was there before the pause.
    :ivar monitors: the ids of the monitors that wanted to know.
    """

    rule: Rule
    event: FlowUpdateEvent
    known: bool
    monitors: set[int]


class FlowMonitors:
    """The flow monitors of one session.

    :ivar monitors: by their ids.
    """

    __slots__ = ("_awaited", "_clock", "_missed", "_session", "_switch", "_updates", "monitors")

    _log = Logger()

    def __init__(self, session: OFConn, switch: Switch, clock: IReactorTime) -> None:
        self.monitors: dict[int, FlowMonitor] = {}
        self._session = session
        self._switch = switch
        self._clock = clock
        self._updates = FlowUpdates()
        self._awaited: set[OperationGroup] = set()
        self._missed: dict[int, Missed] | None = None

    @property
    def paused(self) -> bool:
        """Whether it is told only of deletions at present."""
        return self._missed is not None

    def stop(self) -> None:
        """The session is over."""
        self.monitors.clear()
        self._switch.changes.unwatch(self)
        self._missed = None
        # They refer to each other: leave no circle behind.
        del self._session

    # --- requests --------------------------------------------------------------------------------

    def request(self, message: FlowMonitorRequest) -> None:
        """Add monitors, all or none, and tell what they see now.

        :raises OpenFlowError: MONITOR_EXISTS, BAD_TABLE_ID, BAD_OUT_PORT; EPERM for too many.
        """
        session, changes = self._session, self._switch.changes
        added: dict[int, FlowMonitor] = {}
        for monitor in message.monitors:
            number = monitor.monitor_id
            changes.check(monitor, session.version)
            if number in self.monitors or number in added:
                raise OpenFlowError(MONITOR_EXISTS, f"monitor {number}")
            added[number] = monitor
        most = session.settings.limits.flow_monitors
        if len(self.monitors) + len(added) > most:
            raise OpenFlowError(REQUEST_EPERM, f"more than {most} monitors")
        # What became final before is told to the monitors that there were then.
        changes.flush()
        if added:
            self.monitors |= added
            changes.watch(self)
        seen: dict[int, tuple[Rule, int]] = {}
        for monitor in added.values():
            if monitor.flags & INITIAL:
                for rule in changes.snapshot(monitor):
                    flags = seen[rule.handle][1] if rule.handle in seen else 0
                    seen[rule.handle] = (rule, flags | monitor.flags)
        updates = (update_of(rule, flags) for rule, flags in list(seen.values()))
        session.channel.send_stream(self._frames(updates, message.xid))

    def cancel(self, message: FlowMonitorCancel) -> None:
        """Take a monitor away: nothing is told for its sake any more.

        :raises OpenFlowError: UNKNOWN_MONITOR.
        """
        number = message.monitor_id
        if number not in self.monitors:
            raise OpenFlowError(UNKNOWN_MONITOR, f"monitor {number}")
        self.catch_up()
        del self.monitors[number]
        for missed in (self._missed or {}).values():
            missed.monitors.discard(number)
        if not self.monitors:
            self._switch.changes.unwatch(self)
            self._updates = FlowUpdates()

    def catch_up(self) -> None:
        """Have everybody told what is final: a barrier is to be answered, of whichever session."""
        changes = self._switch.changes
        if changes.watchers:
            changes.flush()

    # --- telling (agent.ofproto.monitors.Watcher) ------------------------------------------------

    def changed(self, changes: Sequence[Change]) -> None:
        """See :class:`agent.ofproto.monitors.Watcher`."""
        news = []
        for change in changes:
            interested = [one for one in self.monitors.values() if change.interests(one)]
            flags = _flags(interested)
            if self._missed is not None:
                flags = self._miss(self._missed, change, interested)
            if flags:
                update = update_of(change.rule, flags, change.event, change.reason)
                own = change.asked_for is self._session and not flags & OWN
                news.append(News(change.group, update, own and not self.paused))
        self._send(self._updates.tell(news))
        # A session that has too much to read may be gone by now.
        if self.monitors:
            self._await_held()
            if not self.paused and self._is_behind():
                self._pause()

    def _await_held(self) -> None:
        """See that what is held is told when it is known how, if nothing else happens then."""
        for group in self._updates.held:
            if group not in self._awaited:
                self._awaited.add(group)
                group.wait().addCallback(self._ended, group)

    def _ended(self, _: None, group: OperationGroup) -> None:
        self._awaited.discard(group)
        self._switch.changes.schedule()

    def _send(self, updates: Sequence[AnyFlowUpdate]) -> None:
        if updates:
            session = self._session
            for frame in list(self._frames(updates)):
                session.notify(frame)

    # --- pauses ----------------------------------------------------------------------------------

    def _is_behind(self) -> bool:
        channel = self._session.channel
        return channel.choked and channel.unsent > self._session.settings.limits.monitor_backlog

    def _pause(self) -> None:
        session = self._session
        self._log.info("{connection}: flow monitors paused", connection=session.name)
        self._missed = {}
        self._send(self._updates.interrupt(self._clock.seconds()))
        session.notify(encode(session.version, FlowMonitorPaused()))

    def _miss(
        self, all_missed: dict[int, Missed], change: Change, interested: Sequence[FlowMonitor]
    ) -> int:
        """What would be told is remembered instead, unless it is a deletion.

        :returns: the flags of those monitors that are told now.
        """
        handle = change.rule.handle
        missed = all_missed.get(handle)
        if change.event is DELETED:
            flags = _flags(interested)
            if missed is not None:
                del all_missed[handle]
                flags |= _flags(self._of(missed))
            if flags & WANTS_DELETED and (missed is None or missed.known):
                return flags
        elif missed is not None:
            missed.rule = change.rule
            if interested:
                missed.event = min(missed.event, change.event)  # ADDED says more
                missed.monitors.update(monitor.monitor_id for monitor in interested)
        elif interested:
            known = change.before is not None
            ids = {monitor.monitor_id for monitor in interested}
            all_missed[handle] = Missed(change.rule, change.event, known, ids)
        return 0

    def _of(self, missed: Missed) -> list[FlowMonitor]:
        return [self.monitors[number] for number in missed.monitors]

    def drained(self) -> None:
        """Everything has been sent, after the session had more to read than it wanted."""
        if self.paused:
            self.catch_up()
        all_missed, self._missed = self._missed, None
        if all_missed is None:
            return
        self._updates.interrupt(self._clock.seconds())
        deltas = [
            update_of(missed.rule, _flags(self._of(missed)), missed.event)
            for missed in all_missed.values()
            if missed.monitors
        ]
        self._session.channel.send_stream(self._resumption(deltas))
        self._log.info("{connection}: flow monitors resumed", connection=self._session.name)

    def _resumption(self, deltas: Sequence[AnyFlowUpdate]) -> Iterator[bytes]:
        if deltas:
            yield from self._frames(deltas)
        yield encode(self._session.version, FlowMonitorResumed())

    # --- encoding --------------------------------------------------------------------------------

    def _frames(self, updates: Iterable[AnyFlowUpdate], xid: int = 0) -> Iterator[bytes]:
        """The frames of a reply, at least one.  It does not raise."""
        source = iter(updates)
        chunk = list(islice(source, CHUNK))
        while True:
            following = list(islice(source, CHUNK))
            reply = FlowMonitorReply(chunk, xid, bool(following))
            try:
                frames = self._encode(reply)
            except (OpenFlowError, ValueError):
                reply.updates = [update for update in chunk if self._can_say(update)]
                frames = self._encode(reply)
            yield from frames
            if not following:
                return
            chunk = following

    def _encode(self, reply: FlowMonitorReply) -> list[bytes]:
        return list(encode_parts(self._session.version, reply))

    def _can_say(self, update: AnyFlowUpdate) -> bool:
        """Whether the version can say it: 1.0 cannot name every port of 1.3."""
        try:
            self._encode(FlowMonitorReply([update]))
        except (OpenFlowError, ValueError) as error:
            self._log.debug(
                "{connection}: {update} not sent: {error}",
                connection=self._session.name,
                update=update,
                error=error,
            )
            return False
        return True


def _flags(monitors: Iterable[FlowMonitor]) -> int:
    """What at least one of them asks for."""
    flags = 0
    for monitor in monitors:
        flags |= monitor.flags
    return flags


def _request(session: OFConn, message: FlowMonitorRequest) -> None:
    session.monitors.request(message)


def _cancel(session: OFConn, message: FlowMonitorCancel) -> None:
    session.monitors.cancel(message)


HANDLERS: Final[dict[type, Callable[[OFConn, Any], None]]] = {
    FlowMonitorRequest: _request,
    FlowMonitorCancel: _cancel,
}
"""Handlers by class of message; see :mod:`agent.connmgr.handlers`."""
