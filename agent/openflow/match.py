"""What a rule matches: two integers over the layout of :mod:`agent.openflow.fields`."""

from __future__ import annotations

from typing import Final

import attrs

from agent.openflow.fields import FIELDS, Field


@attrs.frozen(order=False)
class Match:
    """The bits that are compared, and what they must be.

    The fields of a match, by name, are what :func:`agent.openflow.oxm.fields_of` finds.

    :ivar mask: a flow key with a one in every bit that is compared.
    :ivar value: the bits wanted; ``value & ~mask`` is 0 (the codec refuses anything else).
    """

    mask: int = 0
    value: int = 0

    @classmethod
    def of(cls, **fields: int | tuple[int, int]) -> Match:
        """A match from field names, each with a value or a ``(value, mask)`` pair.

        ``Match.of(in_port=1, ipv4_dst=(0x0a000000, 0xff000000), eth_type=0x800)``.

        :raises KeyError: for a name that is not a field.
        :raises ValueError: when a value or mask does not fit its field.
        """
        mask = value = 0
        for name, wanted in fields.items():
            field = FIELDS[name]
            bits, care = wanted if isinstance(wanted, tuple) else (wanted, field.limit)
            if not (0 <= bits <= field.limit and 0 <= care <= field.limit):
                raise ValueError(f"{name}: {bits:#x}/{care:#x} does not fit {field.bits} bits")
            mask |= care << field.shift
            value |= (bits & care) << field.shift
        return cls(mask, value)

    def matches(self, key: int) -> bool:
        """Whether a packet with this flow key is matched."""
        return key & self.mask == self.value

    def covers(self, other: Match) -> bool:
        """Whether every packet that ``other`` matches is matched by this one too."""
        return not (self.mask & ~other.mask or (self.value ^ other.value) & self.mask)

    def overlaps(self, other: Match) -> bool:
        """Whether one packet can be matched by both."""
        return not (self.value ^ other.value) & self.mask & other.mask

    def get(self, field: Field) -> tuple[int, int]:
        """``(value, mask)`` of one field, as numbers of the field's own width."""
        return (
            (self.value >> field.shift) & field.limit,
            (self.mask >> field.shift) & field.limit,
        )

    def value_of(self, field: Field) -> int | None:
        """The value of a field that is matched exactly; None when it is masked or not matched."""
        value, mask = self.get(field)
        return value if mask == field.limit else None


MATCH_ALL: Final = Match()
"""The match of a table-miss entry: every packet."""
