"""Errors with their OpenFlow type and code, in each version of the protocol.

An :class:`OpenFlowError` names what went wrong once; which numbers go over the wire is decided when
it is encoded for a connection, for the numbers differ between versions.

Some errors have numbers only among Nicira's: those about matches that 1.0 has not, and about
Nicira's own messages.  They are sent as errors of an experimenter, as Open vSwitch does, and the
tools which know Open vSwitch show their names.  Those that are from extensions of 1.3 by the Open
Networking Foundation (EXT-230, bundles; EXT-264, time limits of multipart messages) are the
Foundation's.

Source: OpenFlow 1.0.1 section 5.4.4, OpenFlow 1.3.5 section 7.5.4, ``nicira-ext.h`` and
``ofp-errors.h`` of Open vSwitch.
"""

from __future__ import annotations

import struct
from typing import Final

import attrs

NICIRA: Final = 0x00002320
"""``NX_VENDOR_ID``: Nicira's number among vendors and experimenters."""
ONF: Final = 0x4F4E4600
"""``ONF_VENDOR_ID``: the Foundation's."""
_NXET_VENDOR: Final = 0xB0C2
"""Type of the errors of 1.0 which are a vendor's."""
_EXPERIMENTER: Final = 0xFFFF
"""``OFPET_EXPERIMENTER``."""


@attrs.frozen
class ErrorCode:
    """One error of the specification, of Nicira or of the Foundation.

    :ivar name: ``TYPE.CODE`` as the specification spells it, without prefixes.
    :ivar of10: ``(type, code)`` in OpenFlow 1.0.
    :ivar of13: ``(type, code)`` in OpenFlow 1.3.
    :ivar nx10: ``(type, code)`` among Nicira's errors of 1.0, sent instead of ``of10``.
    :ivar nx13: ``exp_type`` among Nicira's errors of 1.3, sent instead of ``of13``.
    :ivar onf13: likewise among the Foundation's.
    """

    name: str
    of10: tuple[int, int]
    of13: tuple[int, int]
    nx10: tuple[int, int] | None = None
    nx13: int | None = None
    onf13: int | None = None

    def numbers(self, version: int) -> tuple[int, int]:
        """``(type, code)`` of the message, for a wire version (1 or 4)."""
        if version == 1:
            return self.of10 if self.nx10 is None else (_NXET_VENDOR, 0)
        experimental = self.nx13 if self.onf13 is None else self.onf13
        return self.of13 if experimental is None else (_EXPERIMENTER, experimental)

    def prefix(self, version: int) -> bytes:
        """What the data of the message begin with, before the request: whose error it is."""
        if version == 1:
            return b"" if self.nx10 is None else struct.pack(">IHH", NICIRA, *self.nx10)
        if self.onf13 is not None:
            return struct.pack(">I", ONF)
        return b"" if self.nx13 is None else struct.pack(">I", NICIRA)


class OpenFlowError(Exception):
    """A request that is refused.

    :ivar code: what goes to the controller.
    :ivar text: for logs and for the operator; only HELLO_FAILED carries it over the wire.
    """

    def __init__(self, code: ErrorCode, text: str = "") -> None:
        super().__init__(f"{code.name}: {text}" if text else code.name)
        self.code = code
        self.text = text


_all: dict[str, ErrorCode] = {}


def _code(
    name: str,
    of10: tuple[int, int] | None,
    of13: tuple[int, int] | None,
    nx10: tuple[int, int] | None = None,
    nx13: int | None = None,
    onf13: int | None = None,
) -> ErrorCode:
    """Declare an error; a version without it uses the nearest it has, given by the other."""
    first = of13 or of10
    if first is None:
        raise ValueError(f"{name} has no number in any version")
    code = ErrorCode(name, of10 or first, of13 or first, nx10, nx13, onf13)
    _all[name] = code
    return code


# fmt: off
HELLO_INCOMPATIBLE = _code("HELLO_FAILED.INCOMPATIBLE", (0, 0), (0, 0))
HELLO_EPERM = _code("HELLO_FAILED.EPERM", (0, 1), (0, 1))

BAD_VERSION = _code("BAD_REQUEST.BAD_VERSION", (1, 0), (1, 0))
BAD_TYPE = _code("BAD_REQUEST.BAD_TYPE", (1, 1), (1, 1))
BAD_STAT = _code("BAD_REQUEST.BAD_STAT", (1, 2), (1, 2))
BAD_EXPERIMENTER = _code("BAD_REQUEST.BAD_EXPERIMENTER", (1, 3), (1, 3))
BAD_EXP_TYPE = _code("BAD_REQUEST.BAD_EXP_TYPE", (1, 4), (1, 4))
REQUEST_EPERM = _code("BAD_REQUEST.EPERM", (1, 5), (1, 5))
REQUEST_BAD_LEN = _code("BAD_REQUEST.BAD_LEN", (1, 6), (1, 6))
BUFFER_EMPTY = _code("BAD_REQUEST.BUFFER_EMPTY", (1, 7), (1, 7))
BUFFER_UNKNOWN = _code("BAD_REQUEST.BUFFER_UNKNOWN", (1, 8), (1, 8))
REQUEST_BAD_TABLE_ID = _code("BAD_REQUEST.BAD_TABLE_ID", (1, 9), (1, 9), (1, 512))
IS_SLAVE = _code("BAD_REQUEST.IS_SLAVE", (1, 5), (1, 10))
REQUEST_BAD_PORT = _code("BAD_REQUEST.BAD_PORT", (2, 4), (1, 11), (1, 514))
REQUEST_BAD_PACKET = _code("BAD_REQUEST.BAD_PACKET", (1, 6), (1, 12))
MULTIPART_BUFFER_OVERFLOW = _code("BAD_REQUEST.MULTIPART_BUFFER_OVERFLOW", (1, 6), (1, 13))
MULTIPART_REQUEST_TIMEOUT = _code(
    "BAD_REQUEST.MULTIPART_REQUEST_TIMEOUT", (1, 6), (1, 14), onf13=2640
)

NXM_INVALID = _code("BAD_REQUEST.NXM_INVALID", (1, 4), None, (1, 256), 2)
MUST_BE_ZERO = _code("BAD_REQUEST.MUST_BE_ZERO", (1, 6), None, (1, 515), 4)
FM_BAD_EVENT = _code("BAD_REQUEST.FM_BAD_EVENT", (1, 4), None, (1, 520), 9)
MONITOR_EXISTS = _code("FLOW_MONITOR_FAILED.MONITOR_EXISTS", (1, 4), None, (1, 517), 6)
MONITOR_BAD_FLAGS = _code("FLOW_MONITOR_FAILED.BAD_FLAGS", (1, 4), None, (1, 518), 7)
UNKNOWN_MONITOR = _code("FLOW_MONITOR_FAILED.UNKNOWN_MONITOR", (1, 4), None, (1, 519), 8)

ACTION_BAD_TYPE = _code("BAD_ACTION.BAD_TYPE", (2, 0), (2, 0))
ACTION_BAD_LEN = _code("BAD_ACTION.BAD_LEN", (2, 1), (2, 1))
ACTION_BAD_EXPERIMENTER = _code("BAD_ACTION.BAD_EXPERIMENTER", (2, 2), (2, 2))
ACTION_BAD_EXP_TYPE = _code("BAD_ACTION.BAD_EXP_TYPE", (2, 3), (2, 3))
BAD_OUT_PORT = _code("BAD_ACTION.BAD_OUT_PORT", (2, 4), (2, 4))
BAD_ARGUMENT = _code("BAD_ACTION.BAD_ARGUMENT", (2, 5), (2, 5))
ACTION_EPERM = _code("BAD_ACTION.EPERM", (2, 6), (2, 6))
TOO_MANY = _code("BAD_ACTION.TOO_MANY", (2, 7), (2, 7))
BAD_QUEUE = _code("BAD_ACTION.BAD_QUEUE", (2, 8), (2, 8))
BAD_OUT_GROUP = _code("BAD_ACTION.BAD_OUT_GROUP", (2, 5), (2, 9), (2, 9))
MATCH_INCONSISTENT = _code("BAD_ACTION.MATCH_INCONSISTENT", (2, 5), (2, 10), (1, 522))
UNSUPPORTED_ORDER = _code("BAD_ACTION.UNSUPPORTED_ORDER", (3, 5), (2, 11))
ACTION_BAD_TAG = _code("BAD_ACTION.BAD_TAG", (2, 5), (2, 12))
BAD_SET_TYPE = _code("BAD_ACTION.BAD_SET_TYPE", (2, 5), (2, 13), (1, 523))
BAD_SET_LEN = _code("BAD_ACTION.BAD_SET_LEN", (2, 1), (2, 14), (1, 524))
BAD_SET_ARGUMENT = _code("BAD_ACTION.BAD_SET_ARGUMENT", (2, 5), (2, 15), (1, 525))

UNKNOWN_INST = _code("BAD_INSTRUCTION.UNKNOWN_INST", None, (3, 0))
UNSUP_INST = _code("BAD_INSTRUCTION.UNSUP_INST", None, (3, 1), (2, 257))
INST_BAD_TABLE_ID = _code("BAD_INSTRUCTION.BAD_TABLE_ID", None, (3, 2))
UNSUP_METADATA = _code("BAD_INSTRUCTION.UNSUP_METADATA", None, (3, 3))
UNSUP_METADATA_MASK = _code("BAD_INSTRUCTION.UNSUP_METADATA_MASK", None, (3, 4))
INST_BAD_EXPERIMENTER = _code("BAD_INSTRUCTION.BAD_EXPERIMENTER", None, (3, 5))
INST_BAD_EXP_TYPE = _code("BAD_INSTRUCTION.BAD_EXP_TYPE", None, (3, 6))
INST_BAD_LEN = _code("BAD_INSTRUCTION.BAD_LEN", None, (3, 7))
INST_EPERM = _code("BAD_INSTRUCTION.EPERM", None, (3, 8))

MATCH_BAD_TYPE = _code("BAD_MATCH.BAD_TYPE", (1, 4), (4, 0))
MATCH_BAD_LEN = _code("BAD_MATCH.BAD_LEN", (1, 6), (4, 1))
MATCH_BAD_TAG = _code("BAD_MATCH.BAD_TAG", (1, 4), (4, 2))
BAD_DL_ADDR_MASK = _code("BAD_MATCH.BAD_DL_ADDR_MASK", (1, 4), (4, 3))
BAD_NW_ADDR_MASK = _code("BAD_MATCH.BAD_NW_ADDR_MASK", (1, 4), (4, 4))
BAD_WILDCARDS = _code("BAD_MATCH.BAD_WILDCARDS", (1, 4), (4, 5), (1, 262))
BAD_FIELD = _code("BAD_MATCH.BAD_FIELD", (1, 4), (4, 6), (0, 263))
MATCH_BAD_VALUE = _code("BAD_MATCH.BAD_VALUE", (1, 4), (4, 7), (1, 258))
MATCH_BAD_MASK = _code("BAD_MATCH.BAD_MASK", (1, 4), (4, 8), (1, 259))
BAD_PREREQ = _code("BAD_MATCH.BAD_PREREQ", (1, 4), (4, 9), (1, 260))
DUP_FIELD = _code("BAD_MATCH.DUP_FIELD", (1, 4), (4, 10), (1, 261))
MATCH_EPERM = _code("BAD_MATCH.EPERM", (1, 5), (4, 11))

FLOW_MOD_UNKNOWN = _code("FLOW_MOD_FAILED.UNKNOWN", (3, 5), (5, 0))
TABLE_FULL = _code("FLOW_MOD_FAILED.TABLE_FULL", (3, 0), (5, 1))
FLOW_MOD_BAD_TABLE_ID = _code("FLOW_MOD_FAILED.BAD_TABLE_ID", (3, 5), (5, 2), (5, 257))
OVERLAP = _code("FLOW_MOD_FAILED.OVERLAP", (3, 1), (5, 3))
FLOW_MOD_EPERM = _code("FLOW_MOD_FAILED.EPERM", (3, 2), (5, 4))
BAD_TIMEOUT = _code("FLOW_MOD_FAILED.BAD_TIMEOUT", (3, 5), (5, 5))
BAD_EMERG_TIMEOUT = _code("FLOW_MOD_FAILED.BAD_EMERG_TIMEOUT", (3, 3), (5, 5))
FLOW_MOD_BAD_COMMAND = _code("FLOW_MOD_FAILED.BAD_COMMAND", (3, 4), (5, 6))
FLOW_MOD_BAD_FLAGS = _code("FLOW_MOD_FAILED.BAD_FLAGS", (3, 5), (5, 7), (3, 258))
UNSUPPORTED = _code("FLOW_MOD_FAILED.UNSUPPORTED", (3, 5), (5, 0))

GROUP_EXISTS = _code("GROUP_MOD_FAILED.GROUP_EXISTS", None, (6, 0))
INVALID_GROUP = _code("GROUP_MOD_FAILED.INVALID_GROUP", None, (6, 1))
WEIGHT_UNSUPPORTED = _code("GROUP_MOD_FAILED.WEIGHT_UNSUPPORTED", None, (6, 2))
OUT_OF_GROUPS = _code("GROUP_MOD_FAILED.OUT_OF_GROUPS", None, (6, 3))
OUT_OF_BUCKETS = _code("GROUP_MOD_FAILED.OUT_OF_BUCKETS", None, (6, 4))
CHAINING_UNSUPPORTED = _code("GROUP_MOD_FAILED.CHAINING_UNSUPPORTED", None, (6, 5))
WATCH_UNSUPPORTED = _code("GROUP_MOD_FAILED.WATCH_UNSUPPORTED", None, (6, 6))
GROUP_LOOP = _code("GROUP_MOD_FAILED.LOOP", None, (6, 7))
UNKNOWN_GROUP = _code("GROUP_MOD_FAILED.UNKNOWN_GROUP", None, (6, 8))
CHAINED_GROUP = _code("GROUP_MOD_FAILED.CHAINED_GROUP", None, (6, 9))
GROUP_BAD_TYPE = _code("GROUP_MOD_FAILED.BAD_TYPE", None, (6, 10))
GROUP_BAD_COMMAND = _code("GROUP_MOD_FAILED.BAD_COMMAND", None, (6, 11))
GROUP_BAD_BUCKET = _code("GROUP_MOD_FAILED.BAD_BUCKET", None, (6, 12))
GROUP_BAD_WATCH = _code("GROUP_MOD_FAILED.BAD_WATCH", None, (6, 13))
GROUP_EPERM = _code("GROUP_MOD_FAILED.EPERM", None, (6, 14))

PORT_BAD_PORT = _code("PORT_MOD_FAILED.BAD_PORT", (4, 0), (7, 0))
PORT_BAD_HW_ADDR = _code("PORT_MOD_FAILED.BAD_HW_ADDR", (4, 1), (7, 1))
PORT_BAD_CONFIG = _code("PORT_MOD_FAILED.BAD_CONFIG", (4, 0), (7, 2))
PORT_BAD_ADVERTISE = _code("PORT_MOD_FAILED.BAD_ADVERTISE", (4, 0), (7, 3))
PORT_EPERM = _code("PORT_MOD_FAILED.EPERM", (1, 5), (7, 4))

TABLE_MOD_BAD_TABLE = _code("TABLE_MOD_FAILED.BAD_TABLE", None, (8, 0))
TABLE_MOD_BAD_CONFIG = _code("TABLE_MOD_FAILED.BAD_CONFIG", None, (8, 1))
TABLE_MOD_EPERM = _code("TABLE_MOD_FAILED.EPERM", None, (8, 2))

QUEUE_BAD_PORT = _code("QUEUE_OP_FAILED.BAD_PORT", (5, 0), (9, 0))
QUEUE_BAD_QUEUE = _code("QUEUE_OP_FAILED.BAD_QUEUE", (5, 1), (9, 1))
QUEUE_EPERM = _code("QUEUE_OP_FAILED.EPERM", (5, 2), (9, 2))

SWITCH_CONFIG_BAD_FLAGS = _code("SWITCH_CONFIG_FAILED.BAD_FLAGS", None, (10, 0))
SWITCH_CONFIG_BAD_LEN = _code("SWITCH_CONFIG_FAILED.BAD_LEN", None, (10, 1))
SWITCH_CONFIG_EPERM = _code("SWITCH_CONFIG_FAILED.EPERM", None, (10, 2))

ROLE_STALE = _code("ROLE_REQUEST_FAILED.STALE", None, (11, 0))
ROLE_UNSUP = _code("ROLE_REQUEST_FAILED.UNSUP", None, (11, 1))
ROLE_BAD_ROLE = _code("ROLE_REQUEST_FAILED.BAD_ROLE", (1, 4), (11, 2), (1, 513))

METER_UNKNOWN = _code("METER_MOD_FAILED.UNKNOWN", None, (12, 0))
METER_EXISTS = _code("METER_MOD_FAILED.METER_EXISTS", None, (12, 1))
INVALID_METER = _code("METER_MOD_FAILED.INVALID_METER", None, (12, 2))
UNKNOWN_METER = _code("METER_MOD_FAILED.UNKNOWN_METER", None, (12, 3))
METER_BAD_COMMAND = _code("METER_MOD_FAILED.BAD_COMMAND", None, (12, 4))
METER_BAD_FLAGS = _code("METER_MOD_FAILED.BAD_FLAGS", None, (12, 5))
BAD_RATE = _code("METER_MOD_FAILED.BAD_RATE", None, (12, 6))
BAD_BURST = _code("METER_MOD_FAILED.BAD_BURST", None, (12, 7))
BAD_BAND = _code("METER_MOD_FAILED.BAD_BAND", None, (12, 8))
BAD_BAND_VALUE = _code("METER_MOD_FAILED.BAD_BAND_VALUE", None, (12, 9))
OUT_OF_METERS = _code("METER_MOD_FAILED.OUT_OF_METERS", None, (12, 10))
OUT_OF_BANDS = _code("METER_MOD_FAILED.OUT_OF_BANDS", None, (12, 11))

TABLE_FEATURES_BAD_TABLE = _code("TABLE_FEATURES_FAILED.BAD_TABLE", None, (13, 0))
TABLE_FEATURES_BAD_METADATA = _code("TABLE_FEATURES_FAILED.BAD_METADATA", None, (13, 1))
TABLE_FEATURES_BAD_TYPE = _code("TABLE_FEATURES_FAILED.BAD_TYPE", None, (13, 2))
TABLE_FEATURES_BAD_LEN = _code("TABLE_FEATURES_FAILED.BAD_LEN", None, (13, 3))
TABLE_FEATURES_BAD_ARGUMENT = _code("TABLE_FEATURES_FAILED.BAD_ARGUMENT", None, (13, 4))
TABLE_FEATURES_EPERM = _code("TABLE_FEATURES_FAILED.EPERM", None, (13, 5))

# The numbers of 1.4 stand where 1.3 has none of its own.
BUNDLE_UNKNOWN = _code("BUNDLE_FAILED.UNKNOWN", (1, 3), (17, 0), onf13=2300)
BUNDLE_EPERM = _code("BUNDLE_FAILED.EPERM", (1, 3), (17, 1), onf13=2301)
BUNDLE_BAD_ID = _code("BUNDLE_FAILED.BAD_ID", (1, 3), (17, 2), onf13=2302)
BUNDLE_EXIST = _code("BUNDLE_FAILED.BUNDLE_EXIST", (1, 3), (17, 3), onf13=2303)
BUNDLE_CLOSED = _code("BUNDLE_FAILED.BUNDLE_CLOSED", (1, 3), (17, 4), onf13=2304)
BUNDLE_OUT_OF_BUNDLES = _code("BUNDLE_FAILED.OUT_OF_BUNDLES", (1, 3), (17, 5), onf13=2305)
BUNDLE_BAD_TYPE = _code("BUNDLE_FAILED.BAD_TYPE", (1, 3), (17, 6), onf13=2306)
BUNDLE_BAD_FLAGS = _code("BUNDLE_FAILED.BAD_FLAGS", (1, 3), (17, 7), onf13=2307)
BUNDLE_MSG_BAD_LEN = _code("BUNDLE_FAILED.MSG_BAD_LEN", (1, 3), (17, 8), onf13=2308)
BUNDLE_MSG_BAD_XID = _code("BUNDLE_FAILED.MSG_BAD_XID", (1, 3), (17, 9), onf13=2309)
BUNDLE_MSG_UNSUP = _code("BUNDLE_FAILED.MSG_UNSUP", (1, 3), (17, 10), onf13=2310)
BUNDLE_MSG_CONFLICT = _code("BUNDLE_FAILED.MSG_CONFLICT", (1, 3), (17, 11), onf13=2311)
BUNDLE_MSG_TOO_MANY = _code("BUNDLE_FAILED.MSG_TOO_MANY", (1, 3), (17, 12), onf13=2312)
BUNDLE_MSG_FAILED = _code("BUNDLE_FAILED.MSG_FAILED", (1, 3), (17, 13), onf13=2313)
BUNDLE_TIMEOUT = _code("BUNDLE_FAILED.TIMEOUT", (1, 3), (17, 14), onf13=2314)
BUNDLE_IN_PROGRESS = _code("BUNDLE_FAILED.BUNDLE_IN_PROGRESS", (1, 3), (17, 15), onf13=2315)
# fmt: on

CODES: Final[dict[str, ErrorCode]] = _all
"""Every error by name."""
