"""Requests about the switch itself: what it is, how it treats packets, and a packet to be sent.

Source: OpenFlow 1.0.1 sections 5.3.1, 5.3.2 and 5.3.6, OpenFlow 1.3.5 sections 7.3.1, 7.3.2, 7.3.3,
7.3.5.1 and 7.3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from agent.ofproto.interfaces import IRequester
from agent.ofproto.table import FlowTable
from agent.ofproto.validate import Validator
from agent.openflow import errors
from agent.openflow import messages as of
from agent.openflow.errors import OpenFlowError
from drivers.abilities import IFragments
from drivers.interfaces import IDriver

C_FLOW_STATS: Final = 1 << 0
C_TABLE_STATS: Final = 1 << 1
C_PORT_STATS: Final = 1 << 2
C_GROUP_STATS: Final = 1 << 3
C_ARP_MATCH_IP_10: Final = 1 << 7
ACTIONS_10: Final = 0xFFF
"""All actions of 1.0."""


@attrs.frozen
class Identity:
    """How a switch presents itself.

    :ivar datapath_id: 64 bits.
    :ivar description: of the datapath, for people.
    :ivar software: the agent's name and version.
    """

    datapath_id: int
    description: str
    software: str


class SwitchRequests:
    """Answers these requests for one switch."""

    def __init__(
        self,
        identity: Identity,
        driver: IDriver,
        tables: Sequence[FlowTable],
        validator: Validator,
    ) -> None:
        """:param validator: checks the actions of packets that are to be sent."""
        self._identity = identity
        self._driver = driver
        self._tables = tables
        self._validator = validator
        # What becomes of fragments; it outlives the connection that asked for it.
        self._frag_handling = of.FragHandling.NORMAL

    def handlers(self) -> dict[type, Callable[[Any, IRequester], Any]]:
        """What answers each kind of request; see :meth:`agent.ofproto.ofproto.OFProto.handle`."""
        return {
            of.FeaturesRequest: self._features,
            of.GetConfigRequest: self._get_config,
            of.SetConfig: self._set_config,
            of.DescRequest: self._desc,
            of.TableMod: self._table_mod,
            of.PacketOut: self._packet_out,
        }

    def _features(self, request: of.FeaturesRequest, requester: IRequester) -> object:
        can = self._driver.capabilities
        old = requester.version == of.OFP10
        capabilities = C_FLOW_STATS | C_TABLE_STATS
        if can.counts_ports:
            capabilities |= C_PORT_STATS
        if old:
            capabilities |= C_ARP_MATCH_IP_10
        elif can.group_types:
            capabilities |= C_GROUP_STATS
        return of.FeaturesReply(
            self._identity.datapath_id,
            n_buffers=requester.n_buffers,
            n_tables=len(self._tables),
            capabilities=capabilities,
            actions=ACTIONS_10 if old else 0,
            ports=tuple(self._driver.ports()) if old else (),
            xid=request.xid,
        )

    def _desc(self, request: of.DescRequest, _: IRequester) -> object:
        can = self._driver.capabilities
        return of.DescReply(
            can.manufacturer,
            can.hardware or self._driver.name,
            self._identity.software,
            can.serial,
            self._identity.description,
            request.xid,
        )

    def _get_config(self, request: of.GetConfigRequest, requester: IRequester) -> object:
        flags = int(self._frag_handling)
        if requester.version == of.OFP10 and requester.invalid_ttl:
            flags |= of.INVALID_TTL_TO_CONTROLLER
        return of.GetConfigReply(flags, requester.miss_send_len, request.xid)

    def _set_config(self, request: of.SetConfig, requester: IRequester) -> None:
        fragments = IFragments(self._driver, None)
        can = fragments.frag_handlings if fragments is not None else {self._frag_handling}
        wanted = request.flags
        if requester.version == of.OFP10:
            wanted &= ~of.INVALID_TTL_TO_CONTROLLER
        if wanted not in can:
            raise OpenFlowError(errors.SWITCH_CONFIG_BAD_FLAGS, f"flags {request.flags:#x}")
        requester.miss_send_len = request.miss_send_len
        if requester.version == of.OFP10:
            # In 1.3 the masks of asynchronous messages alone say so.
            requester.invalid_ttl = bool(request.flags & of.INVALID_TTL_TO_CONTROLLER)
        # How much it wants is its own affair, but not what becomes of packets; as in Open vSwitch
        # that is no error, for what it wants is mostly nothing but what every switch begins with.
        if fragments is not None and not requester.slave and wanted != self._frag_handling:
            self._frag_handling = of.FragHandling(wanted)
            fragments.set_frag_handling(self._frag_handling)

    def _table_mod(self, request: of.TableMod, _: IRequester) -> None:
        table_id = request.table_id
        if table_id != of.ALL_TABLES and not (
            table_id < len(self._tables) and self._tables[table_id].active
        ):
            raise OpenFlowError(errors.TABLE_MOD_BAD_TABLE, f"table {table_id}")
        if request.config & ~0x3:
            raise OpenFlowError(errors.TABLE_MOD_BAD_CONFIG, f"config {request.config:#x}")
        # 1.3 keeps the bits 0 and 1 for compatibility, without a meaning.

    def _packet_out(self, request: of.PacketOut, requester: IRequester) -> None:
        port = request.in_port
        if not (0 < port < of.Port.MAX or port in (of.Port.CONTROLLER, of.Port.LOCAL, of.ANY)):
            raise OpenFlowError(errors.REQUEST_BAD_PORT, f"in_port {port:#x}")
        self._validator.check_packet_out(requester.version, request.actions)
        data = request.data
        if request.buffer_id != of.NO_BUFFER:
            data, _ = requester.retrieve_buffer(request.buffer_id)
            if not data:
                return
        self._driver.packet_out(data, port, request.actions)
