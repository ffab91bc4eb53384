"""OpenFlow 1.0: the sum of the modules that know its messages."""

from __future__ import annotations

from typing import Final

from construct import Padding

from agent.openflow import flows10, packets10, queues, stats10, switch10, symmetric
from agent.openflow.frame import Kind, Type10
from agent.openflow.messages import OFP10
from agent.openflow.multipart import Multipart
from agent.openflow.nicira import monitor, statistics

KINDS: Final[tuple[Kind, ...]] = (
    *symmetric.KINDS10,
    *switch10.KINDS,
    *queues.KINDS10,
    *flows10.KINDS,
    *packets10.KINDS,
)
"""Every type of message but the statistics."""

STATISTICS: Final = Multipart(
    OFP10,
    Type10.STATS_REQUEST,
    Type10.STATS_REPLY,
    Padding(0),
    (
        *stats10.STATISTICS,
        *flows10.STATISTICS,
        *statistics.STATISTICS10,
        *monitor.STATISTICS10,
    ),
)
"""The statistics, Nicira's too."""
