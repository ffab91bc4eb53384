"""Meters: what becomes of packets that come too fast.

Each band is a bucket of tokens, filled at the band's rate up to the burst; without one, up to what
comes in a second, as in Open vSwitch.  A packet for which a bucket has not enough exceeds the band.
Of the bands that it exceeds the one with the highest rate is applied to it, and to the others it
does not matter.

Time is the agent's clock, so buckets are filled when a packet comes, and no timer is needed.

Source: OpenFlow 1.3.5 section 5.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from agent.openflow.fields import ETH_TYPE, IP, IP_DSCP
from agent.openflow.group_messages import BandType, MeterBand, MeterFlags
from agent.packet.packet import Packet
from agent.packet.setfield import field_writer
from drivers.interfaces import Counters, IMeter

if TYPE_CHECKING:
    from drivers.software.run import Run

MAX_PRECEDENCE: Final = 3
"""The highest drop precedence of assured forwarding (RFC 2597)."""


class _Band:
    """A band, and its tokens: packets, or bits."""

    __slots__ = ("burst", "counters", "level", "rate", "remarks", "tokens")

    def __init__(self, band: MeterBand, flags: int, counters: Counters) -> None:
        unit = 1 if flags & MeterFlags.PKTPS else 1000
        self.rate = band.rate * unit
        burst = band.burst_size if flags & MeterFlags.BURST else 0
        self.burst = (burst or band.rate) * unit
        self.tokens = float(self.burst)
        self.remarks = band.type == BandType.DSCP_REMARK
        self.level = band.prec_level
        self.counters = counters


class _Meter:
    """A meter, and when its buckets were filled last."""

    __slots__ = ("bands", "counters", "filled", "packets")

    def __init__(self, meter: IMeter, now: float) -> None:
        self.counters = meter.counters
        self.packets = bool(meter.flags & MeterFlags.PKTPS)
        # The highest rate first: that is the order in which bands are applied.
        self.bands = [
            _Band(band, meter.flags, counters)
            for band, counters in sorted(
                zip(meter.bands, meter.band_counters, strict=True), key=lambda pair: -pair[0].rate
            )
        ]
        self.filled = now


class Meters:
    """The meters of one bridge as packets meet them.

    :ivar now: the clock, in seconds.
    """

    now: Callable[[], float]

    def __init__(self) -> None:
        self.now = float
        self._meters: dict[int, _Meter] = {}

    def __len__(self) -> int:
        return len(self._meters)

    def put(self, meter: IMeter) -> None:
        """Add a meter, or put it in the place of that of its number; its buckets are full."""
        self._meters[meter.meter_id] = _Meter(meter, self.now())

    def remove(self, meter_id: int) -> None:
        """Remove a meter, if it is there."""
        self._meters.pop(meter_id, None)

    def admits(self, run: Run, meter_id: int) -> bool:
        """Let a packet pass, as it is or marked; returns whether it does."""
        meter = self._meters.get(meter_id)
        if meter is None:
            return True
        packet = run.packet
        size = len(packet.data)
        meter.counters.packets += 1
        meter.counters.bytes += size
        volume = 1 if meter.packets else size * 8
        now = self.now()
        passed = now - meter.filled
        meter.filled = now
        exceeded: _Band | None = None
        for band in meter.bands:
            tokens = min(float(band.burst), band.tokens + passed * band.rate)
            if tokens >= volume:
                tokens -= volume
            elif exceeded is None:
                exceeded = band
            band.tokens = tokens
        if exceeded is None:
            return True
        exceeded.counters.packets += 1
        exceeded.counters.bytes += size
        if not exceeded.remarks:
            return False
        remark(packet, exceeded.level)
        return True


def remark(packet: Packet, level: int) -> None:
    """Raise the drop precedence of an IP packet of assured forwarding; others stay as they are."""
    key = packet.key
    if ETH_TYPE.get(key) not in IP:
        return
    dscp = IP_DSCP.get(key)
    service, precedence = dscp >> 3, dscp >> 1 & 3
    if 1 <= service <= 4 and precedence and not dscp & 1:
        raised = min(MAX_PRECEDENCE, precedence + level)
        if raised != precedence:
            field_writer(IP_DSCP, service << 3 | raised << 1)(packet)
