"""What :mod:`drivers.probing` keeps of each operation that nobody has seen to be done."""

from __future__ import annotations

from math import inf

from drivers.abilities import Probe
from drivers.confirm import Asked
from drivers.interfaces import IRule
from drivers.telling import Known, Table


class Doubt:
    """An entry that is not known to be as it shall be.

    :ivar number: in which place it came.
    :ivar table: the table it is in, and
    :ivar known: what is known of it there; None: it is no rule.
    :ivar asked: what waits for it; None: nobody asked now, it was out of sight so far.
    :ivar before: what may have been there before.
    :ivar word: when the hardware said that it had done it; -1: it has not.
    :ivar since: when it was first looked for; -1: it was not.
    :ivar next: when it is looked for again.
    :ivar packet: what it is looked for with.
    :ivar serial: the number of the packet that was sent last.
    :ivar away: whether that is under way.
    :ivar untold: why there is no packet.
    :ivar until: then it waits for all that can be told and came before this, or is this.
    :ivar quiet: since when it waits for nothing but time; -1: it does not.
    :ivar why: what it was taken for done for, though no packet told; None: one did.
    :ivar beside: the packets that must still be treated as they shall, since it shares them with
        others; None: it is not known yet which.
    :ivar seen: whether it is as it shall be, so that it waits for nothing but :attr:`uncovers`.
    :ivar uncovers: others that have to be seen before this is complete.
    :ivar holds: what waits for this in that way.
    """

    __slots__ = ("asked", "away", "before", "beside", "holds", "known", "next", "number", "packet",
                 "quiet", "seen", "serial", "since", "table", "uncovers", "until", "untold", "why",
                 "word")  # fmt: skip

    def __init__(
        self, number: int, asked: Asked | None, table: Table | None, known: Known | None
    ) -> None:
        self.number = self.until = number
        self.asked = asked
        self.table = table
        self.known = known
        self.before: tuple[IRule | None, ...] = ()
        self.word = self.since = self.quiet = -1.0
        self.next = inf
        self.packet: Probe | None = None
        self.serial = 0
        self.away = self.seen = False
        self.untold: str | None = None if known is not None else "no rule"
        self.why: str | None = None
        self.beside: list[Probe] | None = None
        self.uncovers: set[Doubt] = set()
        self.holds: list[Doubt] = []
