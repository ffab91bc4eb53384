"""Meters in OpenFlow 1.3: METER_MOD, and the statistics METER, METER_CONFIG and METER_FEATURES.

Source: OpenFlow 1.3.5 sections 7.3.4.4 and 7.3.5.12 to 7.3.5.14.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from construct import Int8ub, Int16ub, Int32ub, Int64ub, Padding

from agent.openflow.errors import BAD_BAND, REQUEST_BAD_LEN, OpenFlowError
from agent.openflow.frame import MIN_LENGTH, Kind, Type13, bad_length
from agent.openflow.group_messages import (
    BandType,
    MeterBand,
    MeterConfig,
    MeterConfigReply,
    MeterConfigRequest,
    MeterFeaturesReply,
    MeterFeaturesRequest,
    MeterMod,
    MeterStats,
    MeterStatsReply,
    MeterStatsRequest,
)
from agent.openflow.groups13 import decode_counters, encode_counters
from agent.openflow.messages import Message
from agent.openflow.multipart import Stat, Statistic, has_more, one
from agent.openflow.record import Record
from agent.openflow.stats13 import HEADER_SIZE
from agent.openflow.wire import Fixed, TlvList

MAX_BANDS: Final = 255
"""Bands that one meter may have on the wire; drivers may take fewer."""

_BAND: Final = Fixed(
    "type" / Int16ub,
    "len" / Int16ub,
    "rate" / Int32ub,
    "burst_size" / Int32ub,
    "prec_level" / Int8ub,
    Padding(3),
)
"""A band that drops has four bytes of padding where one that remarks has its level."""
_BANDS: Final = TlvList(bad_len=BAD_BAND, minimum=12, multiple=4, most=MAX_BANDS)
_KNOWN: Final = frozenset(BandType)


def decode_bands(data: bytes, offset: int, length: int) -> tuple[MeterBand, ...]:
    """The bands in the ``length`` bytes from ``offset``.

    :raises OpenFlowError: METER_MOD_FAILED/BAD_BAND for unknown types, experimenters included,
        and for lengths that do not suit.
    """
    bands = []
    for kind, at, size in _BANDS.split(data, offset, length):
        if kind not in _KNOWN:
            raise OpenFlowError(BAD_BAND, f"band of type {kind}")
        if size != _BAND.size:
            raise OpenFlowError(BAD_BAND, f"band of {size} bytes, not {_BAND.size}")
        _, _, rate, burst_size, prec_level = _BAND.unpack_from(data, at)
        level = prec_level if kind == BandType.DSCP_REMARK else 0
        bands.append(MeterBand(kind, rate, burst_size, level))
    return tuple(bands)


def encode_bands(bands: tuple[MeterBand, ...]) -> bytes:
    """The bytes of bands."""
    return b"".join(
        _BAND.pack(band.type, _BAND.size, band.rate, band.burst_size, band.prec_level)
        for band in bands
    )


# --- METER_MOD --------------------------------------------------------------------------------

_METER_MOD: Final = Fixed("command" / Int16ub, "flags" / Int16ub, "meter_id" / Int32ub)
_METER_MOD_BANDS: Final = MIN_LENGTH + _METER_MOD.size


def _decode_meter_mod(data: bytes, xid: int) -> Message:
    if len(data) < _METER_MOD_BANDS:
        raise bad_length(data, f"{_METER_MOD_BANDS} or more")
    command, flags, meter_id = _METER_MOD.unpack_from(data, MIN_LENGTH)
    bands = decode_bands(data, _METER_MOD_BANDS, len(data) - _METER_MOD_BANDS)
    return MeterMod(command, flags, meter_id, bands, xid)


def _encode_meter_mod(message: MeterMod) -> bytes:
    head = _METER_MOD.pack(message.command, message.flags, message.meter_id)
    return head + encode_bands(message.bands)


KINDS: Final = (Kind(Type13.METER_MOD, MeterMod, _decode_meter_mod, _encode_meter_mod),)

# --- statistics -------------------------------------------------------------------------------

_METER: Final = Fixed(
    "meter_id" / Int32ub,
    "len" / Int16ub,
    Padding(6),
    "flow_count" / Int32ub,
    "packet_in_count" / Int64ub,
    "byte_in_count" / Int64ub,
    "duration_sec" / Int32ub,
    "duration_nsec" / Int32ub,
)
_METERS: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=_METER.size, type_at=None, length_at=4)
_CONFIG: Final = Fixed("length" / Int16ub, "flags" / Int16ub, "meter_id" / Int32ub)
_CONFIGS: Final = TlvList(bad_len=REQUEST_BAD_LEN, minimum=_CONFIG.size, type_at=None, length_at=0)


def _decode_stats_reply(data: bytes, xid: int) -> Message:
    meters = []
    for _, at, size in _METERS.split(data, HEADER_SIZE, len(data) - HEADER_SIZE):
        meter_id, _, flows, packets, octets, seconds, nanoseconds = _METER.unpack_from(data, at)
        bands = decode_counters(data, at + _METER.size, at + size)
        meters.append(MeterStats(meter_id, flows, packets, octets, seconds, nanoseconds, bands))
    return MeterStatsReply(meters, xid, has_more(data))


def _encode_stats_reply(message: Any) -> Iterator[bytes]:
    for meter in message.meters:
        bands = encode_counters(meter.bands)
        yield (
            _METER.pack(
                meter.meter_id,
                _METER.size + len(bands),
                meter.flow_count,
                meter.packet_in_count,
                meter.byte_in_count,
                meter.duration_sec,
                meter.duration_nsec,
            )
            + bands
        )


def _decode_config_reply(data: bytes, xid: int) -> Message:
    meters = []
    for _, at, size in _CONFIGS.split(data, HEADER_SIZE, len(data) - HEADER_SIZE):
        _, flags, meter_id = _CONFIG.unpack_from(data, at)
        bands = decode_bands(data, at + _CONFIG.size, size - _CONFIG.size)
        meters.append(MeterConfig(flags, meter_id, bands))
    return MeterConfigReply(meters, xid, has_more(data))


def _encode_config_reply(message: Any) -> Iterator[bytes]:
    for meter in message.meters:
        bands = encode_bands(meter.bands)
        yield _CONFIG.pack(_CONFIG.size + len(bands), meter.flags, meter.meter_id) + bands


_STATS_REQUEST: Final = Record(MeterStatsRequest, "meter_id" / Int32ub, Padding(4))
_CONFIG_REQUEST: Final = Record(MeterConfigRequest, "meter_id" / Int32ub, Padding(4))
_FEATURES: Final = Record(
    MeterFeaturesReply,
    "max_meter" / Int32ub,
    "band_types" / Int32ub,
    "capabilities" / Int32ub,
    "max_bands" / Int8ub,
    "max_color" / Int8ub,
    Padding(2),
)

STATISTICS: Final = (
    Statistic(
        Stat.METER,
        MeterStatsRequest,
        _STATS_REQUEST.after(HEADER_SIZE),
        _STATS_REQUEST.encode,
        MeterStatsReply,
        _decode_stats_reply,
        _encode_stats_reply,
    ),
    Statistic(
        Stat.METER_CONFIG,
        MeterConfigRequest,
        _CONFIG_REQUEST.after(HEADER_SIZE),
        _CONFIG_REQUEST.encode,
        MeterConfigReply,
        _decode_config_reply,
        _encode_config_reply,
    ),
    one(Stat.METER_FEATURES, HEADER_SIZE, Record(MeterFeaturesRequest), _FEATURES),
)
