"""BUNDLE_CONTROL and BUNDLE_ADD_MESSAGE of OpenFlow 1.3, where they are an experimenter's.

The message within a BUNDLE_ADD_MESSAGE is taken out and not decoded: what it may be is up to
whoever keeps bundles, and so a bundle in a bundle costs no recursion.  There are no properties that
we know, and a bundle that asks for one is refused rather than carried out without it.

Source: EXT-230; OpenFlow 1.4.0 sections 7.3.9.1 to 7.3.9.6; ``ofp-bundle.c`` of Open vSwitch.
"""

from __future__ import annotations

from typing import Final

from construct import Int16ub, Int32ub, Padding

from agent.openflow.bundle_messages import BundleAdd, BundleControl
from agent.openflow.constants import OFP13
from agent.openflow.errors import (
    BAD_VERSION,
    BUNDLE_MSG_BAD_LEN,
    BUNDLE_MSG_BAD_XID,
    TABLE_FEATURES_BAD_LEN,
    TABLE_FEATURES_BAD_TYPE,
    OpenFlowError,
)
from agent.openflow.frame import HEADER, MIN_LENGTH, bad_length
from agent.openflow.messages import Message
from agent.openflow.nicira.flows import BODY
from agent.openflow.wire import Fixed, TlvList

_CONTROL: Final = Fixed("bundle_id" / Int32ub, "type" / Int16ub, "flags" / Int16ub)
_ADD: Final = Fixed("bundle_id" / Int32ub, Padding(2), "flags" / Int16ub)
_START: Final = BODY + _CONTROL.size
# What 1.4 calls BAD_PROPERTY has the numbers of TABLE_FEATURES_FAILED.
_PROPERTIES: Final = TlvList(bad_len=TABLE_FEATURES_BAD_LEN, minimum=4, padded=True)


def _refuse_properties(data: bytes, start: int) -> None:
    """:raises OpenFlowError: BAD_LEN or BAD_TYPE, when there are any."""
    for kind, _, _ in _PROPERTIES.split(data, start, len(data) - start):
        raise OpenFlowError(TABLE_FEATURES_BAD_TYPE, f"property {kind:#x} of a bundle")


def decode_control(data: bytes, xid: int) -> Message:
    """A whole frame, of which the experimenter's numbers are there, to a :class:`BundleControl`."""
    if len(data) < _START:
        raise bad_length(data, f"{_START} or more")
    bundle_id, kind, flags = _CONTROL.unpack_from(data, BODY)
    _refuse_properties(data, _START)
    return BundleControl(bundle_id, kind, flags, xid)


def encode_control(message: BundleControl) -> bytes:
    """What follows the experimenter's numbers."""
    return _CONTROL.pack(message.bundle_id, message.type, message.flags)


def decode_add(data: bytes, xid: int) -> Message:
    """Likewise to a :class:`BundleAdd`.

    :raises OpenFlowError: REQUEST_BAD_LEN; MSG_BAD_LEN, BAD_VERSION or MSG_BAD_XID for the header
        of the message within.
    """
    if len(data) < _START:
        raise bad_length(data, f"{_START} or more")
    bundle_id, flags = _ADD.unpack_from(data, BODY)
    left = len(data) - _START
    if left < MIN_LENGTH:
        raise OpenFlowError(BUNDLE_MSG_BAD_LEN, f"{left} bytes, less than a header")
    version, _, length, inner_xid = HEADER.unpack_from(data, _START)
    if version != OFP13:
        raise OpenFlowError(BAD_VERSION, f"version {version} within version {OFP13}")
    if not MIN_LENGTH <= length <= left:
        raise OpenFlowError(BUNDLE_MSG_BAD_LEN, f"length {length} is not between 8 and {left}")
    if inner_xid != xid:
        raise OpenFlowError(BUNDLE_MSG_BAD_XID, f"xid {inner_xid:#x} within {xid:#x}")
    end = _START + length
    # Properties begin at a multiple of 8 bytes; without any there need not be padding.
    _refuse_properties(data, min(end + -length % 8, len(data)))
    return BundleAdd(bundle_id, data[_START:end], flags, xid)


def encode_add(message: BundleAdd) -> bytes:
    """What follows the experimenter's numbers."""
    return _ADD.pack(message.bundle_id, message.flags) + message.message
