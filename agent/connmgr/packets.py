"""The packets of one session: those that its controller is sent, and those that it sends back.

A controller usually decides by the beginning of a packet.  So it is sent no more than it wants, and
the packet is kept under a number (:mod:`agent.connmgr.pktbuf`), with which the controller can have
it processed: by a packet-out, or after a flow_mod by the very rules it belongs to.

The latter happens when the rule is in the hardware, for before that the packet would be a miss
again.  It does not happen from within the completion of an operation, which must not re-enter the
switch, but in a turn of its own, from a queue that is bounded; and a barrier waits for it.

How many packets there may be a second is up to :mod:`agent.connmgr.pinsched`; packets that nobody
had a rule for do not take away from those that a rule sends, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agent.connmgr.asyncmsg import NO_RULE, Asynchronous, for_version, packet_in
from agent.connmgr.interfaces import Switch
from agent.connmgr.pinsched import PacketInScheduler
from agent.connmgr.pktbuf import PacketBuffers
from agent.ofproto.interfaces import PacketInEvent
from agent.openflow.errors import OpenFlowError
from agent.openflow.messages import NO_BUFFER, FlowMod, FlowModCommand, Message, PacketInReason

if TYPE_CHECKING:
    from agent.connmgr.ofconn import OFConn

MAX_RELEASED: Final = 1024
"""Packets that wait to be processed for one session; more are dropped."""
BATCH: Final = 50
"""How many are processed in one turn of the reactor."""

DELETE: Final = int(FlowModCommand.DELETE)

Encode = Callable[[int, Asynchronous], "bytes | None"]
"""A message as the bytes of a version; None: the version cannot say it."""


def buffer_of(message: Message) -> int:
    """The buffer whose packet is to be processed when a message has succeeded; NO_BUFFER: none."""
    if isinstance(message, FlowMod) and message.command < DELETE:
        return message.buffer_id
    return NO_BUFFER


class SharedPacket:
    """A packet for controllers, which is encoded once a version for all that get the whole of it.

    :ivar event: the packet.
    :ivar message: the whole of it.
    :ivar bogus: whether it does not exist: whatever a controller does with it comes to nothing.
    """

    __slots__ = ("_encode", "_whole", "bogus", "event", "message")

    def __init__(self, event: PacketInEvent, encode: Encode, bogus: bool = False) -> None:
        self.event = event
        self.message = packet_in(event)
        self.bogus = bogus
        self._encode = encode
        self._whole: dict[tuple[int, bool], bytes | None] = {}

    @property
    def missed(self) -> bool:
        """Whether it hit no rule at all, not even one for packets that hit no other."""
        event = self.event
        return event.reason == PacketInReason.NO_MATCH and event.cookie == NO_RULE

    def whole(self, version: int, nxm: bool) -> bytes | None:
        """The message with all of the packet.

        :param nxm: whether in Nicira's format.
        """
        form = (version, nxm)
        if form not in self._whole:
            message = packet_in(self.event, nxm=True) if nxm else self.message
            self._whole[form] = self._encode(version, for_version(version, nxm, message))
        return self._whole[form]

    def part(self, version: int, nxm: bool, length: int, buffer_id: int) -> bytes | None:
        """The message with the packet's beginning, and the number of a buffer."""
        message = packet_in(self.event, length, buffer_id, nxm)
        return self._encode(version, for_version(version, nxm, message))


class Packets:
    """See the module."""

    __slots__ = ("_buffers", "_call", "_clock", "_schedulers", "_session", "_switch")

    _log = Logger()

    def __init__(self, session: OFConn, switch: Switch, clock: IReactorTime) -> None:
        self._session = session
        self._switch = switch
        self._clock = clock
        # Most sessions never see a packet.
        self._buffers: PacketBuffers | None = None
        self._schedulers: dict[bool, PacketInScheduler[SharedPacket]] = {}
        self._call: IDelayedCall | None = None

    def stop(self) -> None:
        """The session is over: forget its packets."""
        self._session.traffic.packet_ins_dropped["limited"] += self.dropped
        for scheduler in self._schedulers.values():
            scheduler.stop()
        self._schedulers.clear()
        self._buffers = None
        self._session.outstanding.packets.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        # They refer to each other: leave no circle behind.
        del self._session

    def reconfigure(self) -> None:
        """The session has other settings."""
        settings = self._session.settings
        for scheduler in self._schedulers.values():
            scheduler.set_limits(settings.packet_in_rate, settings.packet_in_burst)

    @property
    def queued(self) -> int:
        """Packets that wait because there were too many."""
        return sum(scheduler.queued for scheduler in self._schedulers.values())

    @property
    def limited(self) -> int:
        """Packets that had to wait for that reason."""
        return sum(scheduler.limited for scheduler in self._schedulers.values())

    @property
    def dropped(self) -> int:
        """Those of them for which there was no room."""
        return sum(scheduler.dropped for scheduler in self._schedulers.values())

    # --- to the controller -----------------------------------------------------------------------

    def offer(self, packet: SharedPacket) -> None:
        """Send a packet, now, later, or, if there are too many, not at all."""
        settings = self._session.settings
        if not settings.packet_in_rate:
            self._send(packet)
            return
        missed = packet.event.reason == PacketInReason.NO_MATCH
        scheduler = self._schedulers.get(missed)
        if scheduler is None:
            scheduler = self._schedulers[missed] = PacketInScheduler(
                self._clock, settings.packet_in_rate, settings.packet_in_burst, self._send
            )
        scheduler.offer(packet.event.in_port, packet)

    def _send(self, packet: SharedPacket) -> None:
        self._session.offer(lambda: self._frame(packet))

    def _frame(self, packet: SharedPacket) -> bytes | None:
        """The message for this session, with as much of the packet as it wants."""
        session, event = self._session, packet.event
        size = len(event.data)
        buffer_id = None
        if packet.bogus:
            length = size
            buffer_id = self._save(b"", event.in_port)
        else:
            length = session.miss_send_len
            if event.max_len is not None and not packet.missed:
                length = event.max_len
            if length < size:
                buffer_id = self._save(event.data, event.in_port)
        if buffer_id is None:
            return packet.whole(session.version, session.formats.packets_as_nxm)
        return packet.part(session.version, session.formats.packets_as_nxm, length, buffer_id)

    def _save(self, data: bytes, in_port: int) -> int | None:
        if self._buffers is None:
            self._buffers = PacketBuffers()
        return self._buffers.save(data, in_port, self._clock.seconds())

    # --- from the controller ---------------------------------------------------------------------

    def retrieve(self, buffer_id: int) -> tuple[bytes, int]:
        """See :meth:`agent.ofproto.interfaces.IRequester.retrieve_buffer`."""
        return (self._buffers or PacketBuffers()).retrieve(buffer_id)

    def release(self, buffer_id: int, request: bytes, xid: int) -> None:
        """A flow_mod with the number of a buffer has succeeded: process the packet, soon.

        Where there is no such packet the flow_mod has succeeded all the same, and the controller is
        told.
        """
        try:
            packet = self.retrieve(buffer_id)
        except OpenFlowError as error:
            self._session.refuse(error, request, xid)
            return
        released = self._session.outstanding.packets
        if len(released) >= MAX_RELEASED:
            self._session.counters.packets_dropped += 1
            return
        released.append(packet)
        if self._call is None:
            self._call = self._clock.callLater(0, self._process)

    def _process(self) -> None:
        """Have packets processed by the tables."""
        self._call = None
        released = self._session.outstanding.packets
        for _ in range(min(BATCH, len(released))):
            data, in_port = released.popleft()
            try:
                self._switch.process(data, in_port)
            except Exception:
                self._log.failure(
                    "{connection}: a buffered packet cannot be processed",
                    connection=self._session.name,
                )
        if released:
            self._call = self._clock.callLater(0, self._process)
        self._session.outstanding.settle()
