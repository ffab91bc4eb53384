"""Where a rule's filters go: OpenFlow's tables and priorities as tc's chains and prefs.

The place is a function of table and priority alone.  Nothing is allocated, so nothing can run out
or has to be moved, and an agent that starts again finds its rules where it would put them.

A table is a chain of the same number; packets come in at chain 0.  Of the prefs of a chain, which
are 1 to 65535 and the *lowest* of which is looked at first,

- the first, :data:`FIRST`, is for what is before all rules: ports from which nothing is taken;
- those up to :data:`HIDDEN` are for rules of the agent itself, whose priorities are above 65535.
  They all output to NORMAL, which flower cannot do, so all of them send packets to the software
  path; therefore it does no harm that some of them share a pref.
- Then come the priorities from 65535 downwards, one pref each, and in the end
- :data:`LAST`, which takes what nothing else took.

That leaves out the lowest priorities, for there are not enough prefs.  They have a second chain
(:func:`low_chain`), into which the last filter of the first leads when there is any rule in it.
The last filter of the chain where a table's rules end is the table miss without an entry.

What a packet does that no filter of any chain takes is up to Linux, which is never what a switch
shall do: so each chain that packets can get to has a last filter.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 1
"""The pref of what is before all rules."""
LAST: Final = 0xFFFF
"""The pref of what is looked at last in a chain."""
HIDDEN: Final = 32
"""The last pref that is kept for the rules of the agent itself."""
MAX_PRIORITY: Final = 0xFFFF
"""The greatest priority of a controller's rule."""
LOWEST: Final = MAX_PRIORITY - (LAST - 1 - HIDDEN) + 1
"""The lowest priority that has a pref in its table's first chain."""
TABLES: Final = 255
"""How many tables there can be: 0 to 254."""
LOW_CHAINS: Final = 256
"""What is added to a table's number for the chain of its lowest priorities."""
UPCALL_CHAIN: Final = 512
"""The chain from which packets go to the software (:mod:`drivers.tcflower.upcall`)."""
FREE_CHAINS: Final = 1024
"""The first chain that is no table's."""
MAX_CHAIN: Final = (1 << 28) - 1
"""``TC_ACT_EXT_VAL_MASK``: the greatest chain that can be gone to."""


def entry_chain(table_id: int) -> int:
    """The chain where packets enter a table: what GOTO_TABLE goes to."""
    return table_id


def low_chain(table_id: int) -> int:
    """The chain that the lowest priorities of a table are in."""
    return LOW_CHAINS + table_id


def table_of(chain: int) -> int:
    """The table that a chain of :func:`entry_chain` or :func:`low_chain` is of."""
    return chain % LOW_CHAINS


def place(table_id: int, priority: int) -> tuple[int, int]:
    """The chain and the pref of a rule.

    :param priority: 0 or more; above 65535 for rules of the agent itself.
    """
    if priority > MAX_PRIORITY:
        return table_id, max(FIRST + 1, HIDDEN - (priority - MAX_PRIORITY - 1).bit_length())
    if priority >= LOWEST:
        return table_id, HIDDEN + 1 + MAX_PRIORITY - priority
    return LOW_CHAINS + table_id, LOWEST - priority
