"""Runs of bits of a field, as actions name them: a header of a TLV, an offset, a number of bits.

The field is named by the header that its TLV would have in a match, without a mask.  Any that a
match may have will do, Nicira's or OpenFlow's; we write Nicira's where there are both, as Open
vSwitch does.
"""

from __future__ import annotations

from agent.openflow.errors import (
    BAD_SET_ARGUMENT,
    BAD_SET_LEN,
    BAD_SET_TYPE,
    ErrorCode,
    OpenFlowError,
)
from agent.openflow.fields import Field
from agent.openflow.nx_actions import Subfield, is_writable
from agent.openflow.oxm_tlv import BY_KIND, HEADER, NXM, OXM


def field_of(header: bytes, unknown: ErrorCode = BAD_SET_TYPE) -> Field:
    """The field that four bytes name.

    :raises OpenFlowError: ``unknown``.
    """
    oxm_class, number, length = HEADER.unpack_from(header)
    tlv = BY_KIND.get(oxm_class << 7 | number >> 1)
    if tlv is None or number & 1 or length != tlv.width:
        raise OpenFlowError(unknown, f"field {header.hex()}")
    return tlv.field


def header_of(field: Field) -> bytes:
    """The four bytes that name a field."""
    return (NXM.get(field) or OXM[field]).header(False)


def source(header: bytes, ofs: int, n_bits: int, unknown: ErrorCode = BAD_SET_TYPE) -> Subfield:
    """Bits to be read.

    :param header: names the field.
    :param unknown: the error for a field that is not known; there are two in use.
    :raises OpenFlowError: ``unknown``; BAD_SET_LEN when the field has not these bits, or there are
        none.
    """
    field = field_of(header, unknown)
    if not n_bits or ofs + n_bits > field.bits:
        raise OpenFlowError(BAD_SET_LEN, f"{n_bits} bits from {ofs} of {field.name}")
    return Subfield(field, ofs, n_bits)


def destination(
    header: bytes, ofs: int, n_bits: int, unknown: ErrorCode = BAD_SET_TYPE
) -> Subfield:
    """Bits to be written.

    :raises OpenFlowError: like :func:`source`, and BAD_SET_ARGUMENT for a field that is read-only.
    """
    found = source(header, ofs, n_bits, unknown)
    if not is_writable(found.field):
        raise OpenFlowError(BAD_SET_ARGUMENT, f"{found.field.name} is read-only")
    return found


def ofs_of(ofs_nbits: int) -> tuple[int, int]:
    """``(ofs, n_bits)`` of the 16 bits that have both; there are 1 to 64 bits."""
    return ofs_nbits >> 6, (ofs_nbits & 63) + 1


def ofs_nbits_of(bits: Subfield) -> int:
    """The other way round.

    :raises ValueError: for more than 64 bits, or more than 1023 below them.
    """
    if not (1 <= bits.n_bits <= 64 and 0 <= bits.ofs < 1024):
        raise ValueError(f"{bits.n_bits} bits from {bits.ofs} of {bits.field.name}")
    return bits.ofs << 6 | bits.n_bits - 1
