"""Meters as police actions.

A meter is one action, which all the filters of the rules that name it share by its index: that is
how what passes through them is limited together.  tc's police drops what is too much; it cannot
change it, so there is one band and that is DROP.

tc counts bytes from the network header on; a meter in kilobits lets 14 bytes a packet more pass
than one in a switch whose count begins with the Ethernet header.

Source: OpenFlow 1.3.5 sections 5.7 and 7.3.4.4; Linux, ``net/sched/act_police.c``.
"""

from __future__ import annotations

from typing import Final

from agent.openflow.errors import BAD_BAND, BAD_BURST, BAD_RATE, OUT_OF_BANDS, OpenFlowError
from agent.openflow.group_messages import BandType, MeterFlags
from drivers.interfaces import IMeter
from drivers.tcflower.actions import Police
from drivers.tcflower.pack import TICK

MAX_BANDS: Final = 1
BAND_TYPES: Final = frozenset({BandType.DROP})
BYTES: Final = 125
"""A kilobit."""
LONGEST: Final = 0xFFFFFFFF * TICK // 1_000_000_000
"""Seconds of a burst: the kernel has 32 bits of ticks for it."""
FLAGS: Final = MeterFlags.KBPS | MeterFlags.PKTPS | MeterFlags.BURST | MeterFlags.STATS


def police_of(meter: IMeter, index: int) -> Police:
    """The action of a meter.

    :param index: the number of the action in the kernel, which is this meter's alone.
    :raises OpenFlowError: METER_MOD_FAILED with BAD_BAND, BAD_RATE, BAD_BURST or OUT_OF_BANDS.
    """
    if len(meter.bands) > MAX_BANDS:
        raise OpenFlowError(OUT_OF_BANDS, f"tc has one band a meter, not {len(meter.bands)}")
    if not meter.bands:
        # It only counts.
        return Police(index)
    [band] = meter.bands
    if band.type != BandType.DROP:
        raise OpenFlowError(BAD_BAND, "tc can only drop what is too much")
    if not band.rate:
        raise OpenFlowError(BAD_RATE, "tc has no rate of 0")
    # Without a burst, what comes in a second, as in Open vSwitch.
    burst = band.burst_size if meter.flags & MeterFlags.BURST and band.burst_size else band.rate
    if meter.flags & MeterFlags.PKTPS:
        return Police(index, packet_rate=band.rate, packet_burst=burst)
    if burst > band.rate * LONGEST:
        raise OpenFlowError(BAD_BURST, f"tc has no burst of more than {LONGEST} seconds")
    return Police(index, rate=band.rate * BYTES, burst=burst * BYTES)
