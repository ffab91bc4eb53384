"""os-ken's view of a frame: another implementation of the same specification, to compare with."""

from __future__ import annotations

from typing import Any

from os_ken.ofproto import ofproto_parser, ofproto_protocol

from agent.openflow.codec import header
from tests.openflow.samples import XID


def datapath(version: int) -> Any:
    """What os-ken's messages want to be told about the connection: its version."""
    return ofproto_protocol.ProtocolDesc(version=version)


def serialize(message: Any) -> bytes:
    """The frame that os-ken makes of one of its messages, with the xid of the samples."""
    message.set_xid(XID)
    message.serialize()
    return bytes(message.buf)


def parse(data: bytes) -> Any:
    """The message that os-ken makes of a frame."""
    version, kind, length, xid = header(data)
    return ofproto_parser.msg(datapath(version), version, kind, length, xid, data)
