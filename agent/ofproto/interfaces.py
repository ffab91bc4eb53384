"""What the switch and those who use it know of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from agent.openflow.messages import FlowRemoved, PortStatus
from drivers.interfaces import PacketInEvent

# Connections import from here what the driver's contract and the switch have in common.
__all__ = ["IRequester", "ISwitchObserver", "PacketInEvent"]

if TYPE_CHECKING:
    from agent.ofproto.operations import OperationGroup


class IRequester(Interface):
    """Who asked for something: a session of a connection, or a part of the agent itself."""

    name: str = Attribute("For logs: ``br0<->tcp:192.0.2.1:6653``, as Open vSwitch writes it.")
    version: int = Attribute("The wire version it speaks; decides where versions differ.")
    miss_send_len: int = Attribute("Bytes of a packet to send on a miss; SET_CONFIG changes it.")
    invalid_ttl: bool = Attribute(
        "Whether it wants packets whose TTL ran out, unless it is a slave; SET_CONFIG changes it."
    )
    slave: bool = Attribute("Whether it may not change the switch.")
    internal: bool = Attribute(
        "Part of the agent: exempt from the cap on operations in flight, which it must not be "
        "starved by, and may use priorities above those of controllers."
    )

    n_buffers: int = Attribute("How many packets are kept for it at once.")

    def retrieve_buffer(buffer_id: int) -> tuple[bytes, int]:
        """A packet that was kept for it, and the port it came in on; it is not kept any longer.

        An empty packet is one that does not exist: nothing is to be done with it.

        :raises OpenFlowError: BUFFER_UNKNOWN or BUFFER_EMPTY.
        """

    def group_ended(group: OperationGroup) -> None:
        """A group that this requester was given has ended, well or not.

        Called once a group, never before the call that returned the group has returned.  Must not
        re-enter the switch.
        """


class ISwitchObserver(Interface):
    """Who hears what the switch says by itself: the connection manager."""

    def flow_removed(message: FlowRemoved) -> None:
        """A rule with SEND_FLOW_REM is gone, and the hardware has confirmed it."""

    def packet_in(event: PacketInEvent) -> None:
        """A packet for the controllers."""

    def port_status(message: PortStatus) -> None:
        """A port changed."""

    def flushed() -> None:
        """Every rule has been deleted, hidden ones too.  The switch may be called from here: what
        it is told now comes before any request that waited for the flush.
        """
