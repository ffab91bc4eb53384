"""Messages about bundles as values.

Source: OpenFlow 1.4.0 sections 6.8 and 7.3.9, which the Open Networking Foundation's extension
EXT-230 brings to OpenFlow 1.3.
"""

from __future__ import annotations

import enum

import attrs


class BundleType(enum.IntEnum):
    """``OFPBCT_*``."""

    OPEN_REQUEST = 0
    OPEN_REPLY = 1
    CLOSE_REQUEST = 2
    CLOSE_REPLY = 3
    COMMIT_REQUEST = 4
    COMMIT_REPLY = 5
    DISCARD_REQUEST = 6
    DISCARD_REPLY = 7


class BundleFlags(enum.IntFlag):
    """``OFPBF_*``."""

    ATOMIC = 1
    ORDERED = 2


@attrs.define
class BundleControl:
    """``OFPT_BUNDLE_CONTROL``.

    :ivar type: a number of :class:`BundleType`, or any other of 16 bits.
    :ivar flags: :class:`BundleFlags`.
    """

    bundle_id: int
    type: int
    flags: int = 0
    xid: int = 0


@attrs.define
class BundleAdd:
    """``OFPT_BUNDLE_ADD_MESSAGE``.

    :ivar message: the whole frame of the message to be added, header included; its version and its
        xid are those of this one, and the length in its header is right.
    """

    bundle_id: int
    message: bytes
    flags: int = 0
    xid: int = 0
