"""OpenFlow 1.3: the sum of the modules that know its messages."""

from __future__ import annotations

from typing import Final

from construct import Padding

from agent.openflow import (
    flows13,
    groups13,
    meters13,
    packets13,
    queues,
    stats13,
    switch13,
    symmetric,
    table_features,
)
from agent.openflow.frame import Kind, Type13
from agent.openflow.messages import OFP13
from agent.openflow.multipart import Multipart
from agent.openflow.nicira import monitor

KINDS: Final[tuple[Kind, ...]] = (
    *symmetric.KINDS13,
    *switch13.KINDS,
    *queues.KINDS13,
    *flows13.KINDS,
    *packets13.KINDS,
    *groups13.KINDS,
    *meters13.KINDS,
)
"""Every type of message but the multipart ones."""

STATISTICS: Final = Multipart(
    OFP13,
    Type13.MULTIPART_REQUEST,
    Type13.MULTIPART_REPLY,
    Padding(4),
    (
        *stats13.STATISTICS,
        *flows13.STATISTICS,
        *table_features.STATISTICS,
        *groups13.STATISTICS,
        *meters13.STATISTICS,
        *monitor.STATISTICS13,
    ),
)
"""The multipart messages."""
