"""Operations are complete when a packet was treated as only they could have made it be treated.

:class:`ByProbe` stands between the agent and hardware that is not believed (:mod:`drivers.confirm`)
and sends packets through it (:class:`drivers.abilities.IProbe`) until one meets the rule that was
added, or does not meet any more the one that was deleted.  Then the operation is done, for an entry
of a hardware table is there for all packets or for none.  :mod:`drivers.telling` says which packet.

This is the general probing of RUM (Kuzniar, Peresini and Kostic, CoNEXT 2014), done from within the
switch.  RUM sees its packets come out of a neighbour, and knows them by rules of its own and by a
header field that it has to itself.  Here the driver says how it tells its packets from others.

A packet that saw nothing is sent again after a quarter of the time since the first: the truth is
told later by that share of the lie.  Only the first :data:`REACH` operations are looked for at a
time, with so many packets under way and sent in a second as the hardware's way to the CPU can bear.

Not every operation can be told by a packet.

- Where it is proven that none can, since the rule is covered by others or acts like what is
  beneath, no packet is wronged: the operation is complete at the hardware's word.  When a later
  operation may bring the rule to light, that one is not complete before the rule was seen.
- A group or a meter; a rule for which no packet was found within the bounds of the search; one that
  no packet tells from others in flight: when nothing that came before (of the last kind, that was
  there when that was found) is looked for any more, a fixed time is waited, as by
  :class:`drivers.confirm.ByDelay`.  It is as good as that is long.

Both are counted, with the reason.

A rule that is never seen is never confirmed.  To give it up, and to tell the controller, is up to
the agent's watchdog.  So what hardware has refused without a word becomes an error, and so does a
rule that no packet meets since the hardware ignores priorities.

One packet for a rule does not show that every other packet meets it, nor that those which shall not
meet it do not, where hardware ignores priorities.  There, :attr:`ByProbe.overlaps` has it send one
more for each of so many rules that the rule overlaps with, and none is confirmed before all of them
were treated as they shall be.

What this does not see: which of more than two rules is met that overlap.  Where an entry that moves
is nowhere meanwhile, a packet may come at that very moment, and what is beneath be taken for what
shall be there.  And packets are counted by the rules they meet, unless the driver knows better.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Set
from itertools import islice
from math import inf
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from drivers.abilities import IProbe, Probe
from drivers.confirm import Asked, Recall
from drivers.doubt import Doubt
from drivers.interfaces import IOperation, OperationKind, Target
from drivers.telling import Blocked, Known, Table, Untold

REACH: Final = 64
"""How many operations are looked for at a time: more than any hardware reorders."""
IN_FLIGHT: Final = 16
"""How many packets are under way."""
RATE: Final = 500.0
"""How many are sent in a second: half of the packet-ins that an agent lets through by default."""
LOST: Final = 1.0
"""Seconds after which a packet will not come back."""
GROWTH: Final = 0.25
"""After which share of the time since the first one the next packet is sent."""
SOONEST: Final = 0.005
"""Seconds between what one packet has shown and the next, at least."""
LATEST: Final = 0.25
"""And at most."""

BOUNDS: Final = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 1.0, 5.0)
"""Seconds: the classes in which it is counted how long after the word the truth came."""

_SOON: Final = 1e-9
"""Seconds by which a timer may be early: sums of floating-point numbers are not exact."""

_PROVEN: Final = (Untold.SHADOWED, Untold.SAME)


class ByProbe:
    """See the module, and :class:`drivers.confirm.Confirmation`.

    :ivar delay: seconds that are waited where no packet can tell.
    :ivar overlaps: how many packets more are sent for each rule, at most.
    :ivar confirmed: how many operations packets have shown to be done.
    :ivar sent: how many packets were sent.
    :ivar lost: how many of them did not come back.
    :ivar untold: how many operations no packet has shown to be done, by the reason.
    :ivar late: of those that were, how long after the hardware's word; classes are :data:`BOUNDS`.
    """

    def __init__(self, prober: IProbe, delay: float, in_port: int = 1, overlaps: int = 0) -> None:
        """:param in_port: where packets come in for rules that do not say where."""
        self.delay = delay
        self.overlaps = overlaps
        self.confirmed = self.sent = self.lost = 0
        self.untold: Counter[str] = Counter()
        self.late = [0] * (len(BOUNDS) + 1)
        self._prober = prober
        self._in_port = in_port
        self._clock: Any = None
        self._tables: dict[int, Table] = {}
        self._doubts: dict[int, Doubt] = {}
        self._worded: dict[int, Doubt] = {}
        self._by_operation: dict[IOperation, Doubt] = {}
        self._owed: dict[Table, dict[Known, Doubt | None]] = {}
        self._number = 0
        self._away = 0
        self._slot = 0.0
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0

    def power_on(self, clock: Any) -> None:
        """Begin."""
        self._clock = clock

    def power_off(self) -> None:
        """Complete nothing any more, and send nothing."""
        for doubt in list(self._doubts.values()):
            doubt.holds.clear()
            doubt.uncovers.clear()
            self._drop(doubt)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What comes from the agent, and what the hardware says.

    def asked(self, operations: Sequence[IOperation]) -> list[IOperation]:
        """Note what is asked of the hardware."""
        return [self._ask(Asked(operation, self._heard)) for operation in operations]

    def _ask(self, asked: Asked) -> Asked:
        if asked.target is not Target.RULE:
            doubt = self._new(asked, None, None)
        else:
            rule = asked.rule
            table = self._tables.get(rule.table_id)
            if table is None:
                table = Table(rule.table_id, self._in_port, self._prober.outcome)
                self._tables[rule.table_id] = table
                self._owed[table] = {}
            known = table.known(rule)
            doubt = self._new(asked, table, known)
            doubt.before = known.now
            table.expect(known, None if asked.kind is OperationKind.DELETE else rule)
            self._uncover(doubt, table, known)
        self._by_operation[asked.operation] = doubt
        return asked

    def _new(self, asked: Asked | None, table: Table | None, known: Known | None) -> Doubt:
        self._number += 1
        doubt = self._doubts[self._number] = Doubt(self._number, asked, table, known)
        return doubt

    def _uncover(self, doubt: Doubt, table: Table, known: Known) -> None:
        """An operation may bring to light what was never seen: it has to wait for that."""
        owed = self._owed[table]
        before = owed.pop(known, None)
        if before is not None:
            doubt.holds, before.holds = before.holds, []
            for holder in doubt.holds:
                holder.uncovers.remove(before)
                holder.uncovers.add(doubt)
            self._drop(before)
        for other, debt in owed.items():
            if other.match.overlaps(known.match):
                if debt is None:
                    debt = owed[other] = self._new(None, table, other)
                    self._trust(debt)
                debt.holds.append(doubt)
                doubt.uncovers.add(debt)

    def _heard(self, asked: Asked, error: Exception | None) -> None:
        doubt = self._by_operation.get(asked.operation)
        if doubt is None or doubt.asked is not asked:
            return
        if error is None:
            self._trust(doubt)
        else:
            self._undo(doubt)
            self._drop(doubt)
            asked.end(error)

    def _trust(self, doubt: Doubt) -> None:
        """The hardware has said that it has done it: look for it from now on."""
        doubt.word = doubt.next = self._clock.seconds()
        self._worded[doubt.number] = doubt
        self._wake(doubt.word)

    def _undo(self, doubt: Doubt) -> None:
        """The hardware has nothing of an operation."""
        if doubt.known is not None and doubt.table is not None and doubt.asked is not None:
            doubt.table.settle(doubt.known, doubt.before, doubt.asked.old)
            if not doubt.known.sure:
                self._owed[doubt.table][doubt.known] = None

    def recall(self, operations: Sequence[IOperation], recall: Recall) -> set[IOperation]:
        """Look for these no more.  What may be there of them is not known from now on."""
        found = [(each, self._by_operation.get(each)) for each in operations]
        doubts = {each: doubt for each, doubt in found if doubt is not None}
        taken: Set[object] = recall(
            [doubt.asked for doubt in doubts.values() if doubt.asked is not None]
        )
        for doubt in doubts.values():
            if doubt.asked in taken:
                self._undo(doubt)
            elif doubt.table is not None and doubt.known is not None and doubt.asked is not None:
                doubt.table.settle(doubt.known, doubt.known.now, doubt.asked.old)
            self._drop(doubt)
        return {each for each, doubt in doubts.items() if doubt.asked in taken}

    def forget(self) -> None:
        """Take nothing for known any more: who relies on an entry waits until it was seen again."""
        looked_for = set()
        for doubt in self._doubts.values():
            if doubt.known is None or doubt.seen:
                continue
            looked_for.add(doubt.known)
            doubt.beside = doubt.why = None
            if None not in doubt.before:
                doubt.before = (*doubt.before, None)
            if doubt.away:
                # It may have met what is lost.
                self._come_back(doubt)
                doubt.next = self._clock.seconds()
                self._wake(doubt.next)
        for table, owed in self._owed.items():
            for known in table.lose():
                if known not in looked_for:
                    owed.setdefault(known, None)

    # Looking.

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        wait = max(0.0, at - self._clock.seconds())
        self._timer = self._clock.callLater(wait, self._run)

    def _run(self) -> None:
        """The timer: look for what is due."""
        self._timer = None
        now = self._clock.seconds()
        due = now + _SOON
        for doubt in list(islice(self._worded.values(), REACH)):
            if doubt.number in self._doubts and doubt.next <= due and not doubt.seen:
                self._look(doubt, now)
        # The first that can be told by a packet: others wait for it.
        first = next(
            (n for n, each in self._doubts.items() if each.untold is None and not each.seen), inf
        )
        at = inf
        for doubt in list(islice(self._worded.values(), REACH)):
            if doubt.number not in self._doubts or doubt.seen:
                continue
            if doubt.untold is None or doubt.until >= first:
                doubt.quiet = -1.0
            elif doubt.quiet < 0:
                # By now it may be told after all.
                doubt.quiet = now
                if doubt.untold == Untold.ENTANGLED.value:
                    doubt.next = at = now
            elif doubt.quiet + self.delay <= due:
                self._granted(doubt, doubt.untold)
                at = now
                continue
            if doubt.quiet >= 0:
                at = min(at, doubt.quiet + self.delay)
            if doubt.next > due or self._away < IN_FLIGHT:
                at = min(at, doubt.next)
        if at < inf and self._clock is not None:
            self._wake(at)

    def _look(self, doubt: Doubt, now: float) -> None:
        """Send a packet for an entry, if there is one and it may be sent now."""
        table, known = doubt.table, doubt.known
        if table is None or known is None:
            doubt.next = inf
            return
        if doubt.since < 0:
            doubt.since = now
        if doubt.away:
            self.lost += 1
            self._come_back(doubt)
        packet = doubt.beside[-1] if doubt.beside else doubt.packet
        if packet is None or (not doubt.beside and isinstance(table.judge(known, packet), Blocked)):
            found = table.find(known)
            if isinstance(found, Untold):
                doubt.packet = None
                if found in _PROVEN:
                    self._granted(doubt, found.value)
                else:
                    if doubt.untold is None and found is Untold.ENTANGLED:
                        doubt.until = self._number
                    doubt.untold = found.value
                    doubt.next = inf if found is Untold.UNFOUND else self._again(doubt, now)
                return
            packet = doubt.packet = found
            doubt.untold = None
        if self._away >= IN_FLIGHT:
            return
        if self._slot > now + _SOON:
            doubt.next = self._slot
            return
        self._slot = now + 1 / RATE
        self.sent += 1
        doubt.serial += 1
        doubt.away = True
        self._away += 1
        doubt.next = now + LOST
        self._prober.probe(packet).addCallbacks(
            self._seen,
            self._not_seen,
            callbackArgs=(doubt, doubt.serial, packet),
            errbackArgs=(doubt, doubt.serial),
        )

    @staticmethod
    def _again(doubt: Doubt, now: float) -> float:
        """When to look next."""
        return now + min(max(SOONEST, GROWTH * (now - doubt.since)), LATEST)

    def _come_back(self, doubt: Doubt) -> None:
        """A packet is not under way any more."""
        doubt.away = False
        self._away -= 1

    def _seen(self, seen: Hashable, doubt: Doubt, serial: int, packet: Probe) -> None:
        """A packet has come back."""
        if not doubt.away or doubt.serial != serial or doubt.table is None or doubt.known is None:
            return
        self._come_back(doubt)
        now = self._clock.seconds()
        doubt.next = self._again(doubt, now)
        if doubt.beside:
            if seen in doubt.table.right(packet):
                doubt.beside.remove(packet)
                self._shown(doubt, now)
        elif doubt.table.told(doubt.known, packet, seen):
            doubt.table.settle(doubt.known, (doubt.known.then,), doubt.known.then)
            self._shown(doubt, now)
        if self._doubts:
            self._wake(now)

    def _not_seen(self, failure: Failure, doubt: Doubt, serial: int) -> None:
        """A packet will not come back."""
        if doubt.away and doubt.serial == serial:
            self._come_back(doubt)
            self.lost += 1
            now = self._clock.seconds()
            doubt.next = self._again(doubt, now)
            self._wake(now)

    def _granted(self, doubt: Doubt, why: str) -> None:
        """No packet tells, and it has to be taken for done."""
        doubt.why = why
        table, known = doubt.table, doubt.known
        if table is not None and known is not None:
            if why in (Untold.SHADOWED.value, Untold.SAME.value) and not known.indifferent:
                self._owed[table][known] = None
            else:
                table.settle(known, (known.then,), known.then)
        self._shown(doubt, self._clock.seconds())

    def _shown(self, doubt: Doubt, now: float) -> None:
        """An entry is as it shall be; others that it overlaps with may not be met as they shall."""
        if doubt.beside is None:
            doubt.beside = []
            if self.overlaps and doubt.table is not None and doubt.known is not None:
                doubt.beside = doubt.table.beside(doubt.known, self.overlaps)
        if doubt.beside:
            doubt.untold = None
            doubt.since = doubt.next = now
            self._wake(now)
            return
        if doubt.asked is not None:
            if doubt.why is not None:
                self.untold[doubt.why] += 1
            else:
                self.confirmed += 1
                self.late[bisect_left(BOUNDS, now - doubt.word)] += 1
        self._done(doubt)

    def _done(self, doubt: Doubt) -> None:
        """An entry is as it shall be: its operation is complete, unless it uncovers others."""
        doubt.seen = True
        doubt.untold = None
        if not doubt.uncovers:
            self._drop(doubt)
            if doubt.asked is not None:
                doubt.asked.end()

    def _drop(self, doubt: Doubt) -> None:
        """An entry is in doubt no more, or it does not matter."""
        del self._doubts[doubt.number]
        self._worded.pop(doubt.number, None)
        if doubt.away:
            self._come_back(doubt)
        if doubt.asked is not None:
            self._by_operation.pop(doubt.asked.operation, None)
        elif doubt.table is not None and doubt.known is not None:
            # Seen, it is owed no more; and where nobody waits for it, it is not looked for.
            owed = self._owed[doubt.table]
            if owed.get(doubt.known) is doubt:
                owed[doubt.known] = None
                if doubt.known.sure:
                    del owed[doubt.known]
        for debt in doubt.uncovers:
            debt.holds.remove(doubt)
            if not debt.holds:
                self._drop(debt)
        holds, doubt.holds = doubt.holds, []
        for holder in holds:
            holder.uncovers.discard(doubt)
            if holder.seen:
                self._done(holder)

    def show(self) -> Mapping[str, object]:
        """What is shown to operators."""
        late = [
            f"{count} within {bound:g} s" if bound < inf else f"{count} later"
            for bound, count in zip((*BOUNDS, inf), self.late, strict=True)
            if count
        ]
        return {
            "confirm": "a packet has met it",
            "doubted": len(self._doubts),
            "probes": f"{self.sent} sent, {self._away} under way, {self.lost} lost",
            "confirmed by probe": self.confirmed,
            "after its word": ", ".join(late),
            "not told by packets": ", ".join(f"{why}: {n}" for why, n in self.untold.items()),
            "out of sight": sum(map(len, self._owed.values())),
        }
