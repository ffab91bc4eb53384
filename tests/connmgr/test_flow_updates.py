"""Tests of :mod:`agent.connmgr.flow_updates`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr.flow_updates import FlowUpdates, News
from agent.ofproto.operations import OperationGroup
from agent.openflow.match import MATCH_ALL
from agent.openflow.nx_messages import (
    AnyFlowUpdate,
    FlowUpdate,
    FlowUpdateAbbrev,
    FlowUpdateEvent,
)

ADDED, DELETED, MODIFIED = (
    FlowUpdateEvent.ADDED,
    FlowUpdateEvent.DELETED,
    FlowUpdateEvent.MODIFIED,
)


class Group(OperationGroup):
    """A request, whose xid says when it was accepted."""

    __slots__ = ()

    def __init__(self, xid: int) -> None:
        nobody: Any = None
        super().__init__(nobody, nobody, xid, ())
        self.started = float(xid)

    def end(self, error: Exception | None = None) -> None:
        """It has ended."""
        self.error = error
        self.clear()


def words(updates: Iterable[AnyFlowUpdate]) -> list[str]:
    """Cookies of what was told in full; of the rest, xids."""
    return [
        f"xid {update.request_xid}" if isinstance(update, FlowUpdateAbbrev) else f"{update.cookie}"
        for update in updates
    ]


class FlowUpdatesTests(SynchronousTestCase):
    """A session made the requests 2 and 4, and somebody else 1, 3 and 5."""

    def setUp(self) -> None:
        """Nothing is to be told."""
        self.updates = FlowUpdates()
        self.one, self.two, self.three, self.four, self.five = (Group(n) for n in range(1, 6))
        self.cookie = 0

    def news(
        self, group: Group, event: FlowUpdateEvent = MODIFIED, own: bool | None = None
    ) -> News:
        """A change, with a cookie of its own."""
        self.cookie += 1
        update = FlowUpdate(event, 0, MATCH_ALL, 1, self.cookie)
        return News(group, update, not group.xid % 2 if own is None else own)

    def told(self, *groups: Group) -> list[str]:
        """What the session is told of changes by these requests."""
        return words(self.updates.tell([self.news(group) for group in groups]))

    def test_nothing(self) -> None:
        """When nothing has happened nothing is told."""
        self.assertEqual(self.told(), [])

    def test_others(self) -> None:
        """What others have asked for is told in full, in order."""
        self.assertEqual(self.told(self.one, self.one, self.three), ["1", "2", "3"])
        self.assertEqual(self.told(), [])

    def test_own(self) -> None:
        """A request of its own is told once, where it has ended."""
        self.two.end()
        self.four.end()
        told = self.told(self.one, self.two, self.two, self.three, self.four, self.five)
        self.assertEqual(told, ["1", "xid 2", "4", "xid 4", "6"])

    def test_held(self) -> None:
        """What is done of a request that has not ended is told when it has, once."""
        self.assertEqual(self.told(self.two), [])
        self.assertEqual(list(self.updates.held), [self.two])
        self.assertEqual(self.told(self.two), [])
        self.two.end()
        self.assertEqual(self.told(), ["xid 2"])
        self.assertEqual(list(self.updates.held), [])
        self.assertEqual(self.told(), [])

    def test_held_to_its_last_change(self) -> None:
        """It is told once also when it ends with its last change, whatever others do meanwhile."""
        self.assertEqual(self.told(self.two), [])
        self.two.end()
        self.assertEqual(self.told(self.one, self.two, self.three), ["2", "xid 2", "4"])

    def test_held_with_others(self) -> None:
        """What was accepted before it may be told before it."""
        self.assertEqual(self.told(self.two, self.one), ["2"])
        self.assertEqual(self.told(self.two, self.one), ["4"])
        self.two.end()
        self.assertEqual(self.told(), ["xid 2"])

    def test_ended_before(self) -> None:
        """A request that has ended is told before what happened after that."""
        self.assertEqual(self.told(self.two), [])
        self.two.end()
        self.assertEqual(self.told(self.three), ["xid 2", "2"])

    def test_failed(self) -> None:
        """Of a request that has failed in part, what is done is told in full."""
        self.assertEqual(self.told(self.two, self.two), [])
        self.two.end(ValueError())
        self.assertEqual(self.told(), ["1", "2"])

    def test_overtaken(self) -> None:
        """When something that was accepted later is told before it has ended, it is told in full:
        what was done before that, before it."""
        self.assertEqual(self.told(self.two), [])
        self.assertEqual(self.told(self.three, self.two), ["1", "2", "3"])
        self.two.end()
        self.assertEqual(self.told(self.two), ["4"])

    def test_overtaken_before(self) -> None:
        """It is the same when that was told before anything of it was done."""
        self.assertEqual(self.told(self.three), ["1"])
        self.two.end()
        self.assertEqual(self.told(self.two), ["2"])
        self.four.end()
        self.assertEqual(self.told(self.four), ["xid 4"])

    def test_overtaken_by_own(self) -> None:
        """It is the same when both are its own; in the right order both are told by their xids."""
        self.assertEqual(self.told(self.two, self.four), [])
        self.four.end()
        self.assertEqual(self.told(), ["1", "xid 4"])
        self.two.end()
        self.assertEqual(self.told(self.two), ["3"])

    def test_own_in_order(self) -> None:
        """Its own requests which are in flight together are told by their xids, if they end in
        their order."""
        self.assertEqual(self.told(self.two, self.four, self.two), [])
        self.two.end()
        self.assertEqual(self.told(self.four), ["xid 2"])
        self.four.end()
        self.assertEqual(self.told(), ["xid 4"])

    def test_additions(self) -> None:
        """Additions are told by their xids whatever is told before them."""
        self.assertEqual(self.told(self.five), ["1"])
        self.two.end()
        told = self.updates.tell([self.news(self.two, ADDED)])
        self.assertEqual(words(told), ["xid 2"])

    def test_not_only_additions(self) -> None:
        """A bundle that also selects rules is not told by its xid, not even what it adds."""
        self.assertEqual(self.told(self.five), ["1"])
        self.two.end()
        told = self.updates.tell([self.news(self.two, ADDED), self.news(self.two, DELETED)])
        self.assertEqual(words(told), ["2", "3"])

    def test_wanted(self) -> None:
        """What it wants to be told in full of its own, it is; that does not concern the rest."""
        told = self.updates.tell([self.news(self.two, own=False), self.news(self.two)])
        self.assertEqual(words(told), ["1"])
        self.two.end()
        self.assertEqual(self.told(), ["xid 2"])

    def test_interrupted(self) -> None:
        """When the session is not told everything, what is in flight will be told in full."""
        self.assertEqual(self.told(self.two), [])
        self.assertEqual(words(self.updates.interrupt(3.5)), ["1"])
        self.assertEqual(list(self.updates.held), [])
        self.two.end()
        self.four.end()
        self.assertEqual(self.told(self.two, self.four), ["2", "xid 4"])


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(("change", "change", "end", "fail", "tell"))),
    max_size=40,
)


class ModelTests(SynchronousTestCase):
    """A controller keeps a copy of the rules, by what it is told and by what it has asked for."""

    @given(STEPS)
    def test_copy(self, steps: list[tuple[int, str]]) -> None:
        """Whatever happens when, the copy is right in the end.

        Each request modifies the rules that there are when it is accepted; the first two are the
        controller's own.  The rules of request n are those that were there before it.
        """
        updates = FlowUpdates()
        groups = [Group(number) for number in range(4)]
        # Each rule was last modified by ...
        rules = {0: -1, 1: -1, 2: -1}
        copy = dict(rules)
        turn: list[News] = []

        def apply(told: Iterable[AnyFlowUpdate]) -> None:
            for update in told:
                if isinstance(update, FlowUpdateAbbrev):
                    for rule in copy:
                        copy[rule] = update.request_xid
                else:
                    copy[update.priority] = update.cookie

        done: dict[int, int] = dict.fromkeys(range(4), 0)
        for number, what in steps:
            group = groups[number]
            # A request has to wait for those before it which concern the same rules: so rule by
            # rule they come in their order, and one that is overtaken has done that rule already.
            if what == "change" and not group.ended and done[number] < len(rules):
                rule = done[number]
                if all(groups[n].ended or done[n] > rule for n in range(number)):
                    done[number] += 1
                    rules[rule] = number
                    update = FlowUpdate(MODIFIED, 0, MATCH_ALL, rule, number)
                    turn.append(News(group, update, number < 2))
            elif what == "fail" and not group.ended:
                group.end(ValueError())
            elif what == "end" and done[number] == len(rules) and not group.ended:
                group.end()
            elif what == "tell":
                apply(updates.tell(turn))
                turn = []
        for group in groups:
            if not group.ended:
                group.end(None if done[group.xid] == len(rules) else ValueError())
        apply(updates.tell(turn))
        self.assertEqual(copy, rules)
        self.assertEqual(list(updates.held), [])
