"""The options of the driver, read and checked.

Options::

    mode = "both"               # skip_hw: only in software; skip_sw: only in hardware
    unsupported = "reject"      # what flower cannot express is refused; fallback: software does it
    keep_rules = false          # whether filters stay, and forward, when the agent has stopped
    left_rules = "adopt"        # what an earlier run has left forwards until rules claim it
    adopt_seconds = 30          # from the first rule on; what was not claimed by then is removed
    scheduler = "fifo"          # greedy: packets meet the old rules or the new, and nothing between
    lost = "restore"            # what others remove is put back; degrade: it is left so
    tables = 16                 # how many tables there are
    size = 100000               # how many rules each of them takes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from drivers.interfaces import OptionError, TableCapabilities
from drivers.options import Options
from drivers.tcflower.abilities import Abilities
from drivers.tcflower.filters import BOTH, FilterFlags

MODES: Final = {
    "both": BOTH,
    "skip_hw": FilterFlags.SKIP_HW,
    "skip_sw": FilterFlags.SKIP_SW,
}
POLICIES: Final = ("reject", "fallback")
"""What becomes of rules that flower cannot express."""
SCHEDULERS: Final = ("fifo", "greedy")
"""Those of :data:`drivers.scheduling.POLICIES` that make a difference here."""
DEFAULT_TABLES: Final = 16
DEFAULT_SIZE: Final = 100_000


@attrs.frozen
class Settings:
    """See the module.

    :ivar patience: ``adopt_seconds``.
    """

    mode: str
    fallback: bool
    keep_rules: bool
    adopt: bool
    patience: float
    scheduler: str
    restore: bool
    tables: int
    size: int

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """Read a table of options.

        :raises drivers.interfaces.OptionError: for one that is wrong.
        """
        given = Options(options)
        mode = given.one_of("mode", tuple(MODES), "both")
        unsupported = given.one_of("unsupported", POLICIES, POLICIES[0])
        made = cls(
            mode,
            fallback=unsupported == "fallback",
            keep_rules=given.flag("keep_rules", False),
            restore=given.one_of("lost", ("restore", "degrade"), "restore") == "restore",
            adopt=given.one_of("left_rules", ("adopt", "remove"), "adopt") == "adopt",
            scheduler=given.one_of("scheduler", SCHEDULERS, SCHEDULERS[0]),
            patience=given.number("adopt_seconds", 0, 86400, 30.0),
            tables=given.integer("tables", 1, 254, DEFAULT_TABLES),
            size=given.integer("size", 1, 1 << 24, DEFAULT_SIZE),
        )
        given.finish()
        if mode == "skip_sw" and made.fallback:
            raise OptionError(
                "unsupported",
                unsupported,
                'must be "reject" with mode = "skip_sw": nothing is to be done in software',
            )
        return made

    @property
    def flags(self) -> FilterFlags:
        """Of all filters of rules."""
        return MODES[self.mode]

    @property
    def abilities(self) -> Abilities:
        """What rules can be made of."""
        return Abilities.of(software=self.mode != "skip_sw", fallback=self.fallback)

    def offered(self) -> list[TableCapabilities]:
        """The tables, each of which can do the same."""
        abilities = self.abilities
        return [
            TableCapabilities(
                table_id,
                f"table{table_id}",
                self.size,
                match_mask=abilities.matchable,
                actions=abilities.actions,
                write_actions=abilities.set_actions,
                instructions=abilities.instructions,
            )
            for table_id in range(self.tables)
        ]
