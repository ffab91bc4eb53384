"""What a session is told next of changes of rules: each in full, or that its own request is done.

A controller that does not ask for its own changes (``NXFMF_OWN``) is told of a request of its own
only that it has been done, by its xid, for it knows what it has asked for.  That is said once,
where the last of the changes would have been told, and takes two things which are not sure before
the request has ended:

- All of it must have been done.  What a request could not do the controller cannot know from an
  error, so of such a request it is told in full what has been done.
- Nothing that was accepted later may have been told before.  "The request has been done" means
  "with all the rules that it selects, *here*", and slow hardware may confirm a rule that came after
  the request, and which the request would select, first.  Then that request is told in full.

The latter does not concern a request that only adds, which is about rules that nobody else can
touch before it has ended.

What came after what is told by the time at which a request was accepted.  Requests accepted within
one tick of the clock are taken to be in the right order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import inf
from typing import Final

import attrs

from agent.ofproto.operations import OperationGroup
from agent.openflow.nx_messages import (
    AnyFlowUpdate,
    FlowUpdate,
    FlowUpdateAbbrev,
    FlowUpdateEvent,
)

ADDED: Final = FlowUpdateEvent.ADDED


@attrs.frozen
class News:
    """A change, as a session would be told it.

    :ivar group: the request that it is a part of.
    :ivar update: the change in full.
    :ivar own: whether the session has made that request, and not asked to be told what it does.
    """

    group: OperationGroup
    update: FlowUpdate
    own: bool


class FlowUpdates:
    """In which form, and when, one session is told."""

    __slots__ = ("_held", "_latest")

    def __init__(self) -> None:
        # Changes by requests of which it is not known yet how they are told.
        self._held: dict[OperationGroup, list[FlowUpdate]] = {}
        # When the latest of the requests was accepted of which something was told.
        self._latest = -inf

    @property
    def held(self) -> Collection[OperationGroup]:
        """The requests that have to end before it is known how they are told."""
        return self._held.keys()

    def tell(self, news: Sequence[News]) -> list[AnyFlowUpdate]:
        """What is to be sent, now that this has happened, in this order."""
        ready: list[AnyFlowUpdate] = []
        last = {item.group: number for number, item in enumerate(news)}
        for group in [group for group in self._held if group.ended and group not in last]:
            self._release(group, ready)
        selecting = {item.group for item in news if item.own and item.update.event != ADDED}
        for number, item in enumerate(news):
            group = item.group
            if item.own and (group not in selecting or self._latest <= group.started):
                self._held.setdefault(group, []).append(item.update)
            else:
                self._put(group, [item.update], ready)
            if group.ended and last[group] == number and group in self._held:
                self._release(group, ready)
        return ready

    def interrupt(self, now: float) -> list[AnyFlowUpdate]:
        """The session is not told everything for a while: what is in flight is told in full.

        :param now: seconds of the clock.
        :returns: what is to be sent before.
        """
        ready = [update for updates in self._held.values() for update in updates]
        self._held = {}
        self._latest = max(self._latest, now)
        return list(ready)

    def _release(self, group: OperationGroup, ready: list[AnyFlowUpdate]) -> None:
        """A request has ended."""
        updates = self._held.pop(group)
        done = group.error is None
        self._put(group, [FlowUpdateAbbrev(group.xid)] if done else updates, ready)

    def _put(
        self,
        group: OperationGroup,
        updates: Sequence[AnyFlowUpdate],
        ready: list[AnyFlowUpdate],
    ) -> None:
        """Tell something of a request; of those that were accepted before it and go on, first."""
        for other in [other for other in self._held if other.started < group.started]:
            ready += self._held.pop(other)
        self._latest = max(self._latest, group.started)
        ready += updates
