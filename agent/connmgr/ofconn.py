"""One session with one controller, from its HELLO to its end.

:class:`OFConn` executes the messages of a connection in their order: those that concern the session
itself (:mod:`agent.connmgr.handlers`) and all others, which are the switch's.  It has at most one
message that waits, with the condition it waits for; behind it only echo requests are answered.

Everything that belongs to a session lives in this object, which is never used again: a reconnection
cannot inherit a role, a mask or a message.  When the connection ends it lets go of all timers and
of what it waits for.  Its groups of operations run on, and their errors go nowhere.

What it is not for: bytes (:mod:`agent.connmgr.framing`), the other connections
(:mod:`agent.connmgr.connmgr`), and what a request does (:mod:`agent.ofproto`).
"""

from __future__ import annotations

from typing import Final

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from agent.connmgr.assembler import Assembler
from agent.connmgr.asyncmsg import DEFAULT_ASYNC, DEFAULT_MISS_SEND_LEN
from agent.connmgr.bundles import Bundles
from agent.connmgr.framing import FrameProtocol
from agent.connmgr.handlers import OWN
from agent.connmgr.identity import Access, IdentityRefused, access_of, certificate_of
from agent.connmgr.interfaces import IFrameReceiver, Owner, Switch
from agent.connmgr.monitors import FlowMonitors
from agent.connmgr.negotiation import admits, agree, error_version
from agent.connmgr.nicira import Formats
from agent.connmgr.outstanding import MAX_REPLIES
from agent.connmgr.packets import Packets, buffer_of
from agent.connmgr.pktbuf import SLOTS
from agent.connmgr.postponement import Postponement
from agent.connmgr.probe import InactivityProbe
from agent.connmgr.roles import MODIFYING, Role, Roles, modifies
from agent.connmgr.settings import ConnectionKind, SessionSettings
from agent.connmgr.speaker import Speaker
from agent.connmgr.tls_errors import tls_problem
from agent.connmgr.traffic import Traffic
from agent.ofproto.conditions import Postponed
from agent.ofproto.interfaces import IRequester
from agent.ofproto.operations import OperationGroup
from agent.openflow import messages as of
from agent.openflow.codec import decode, encode, encode_error, header
from agent.openflow.errors import BAD_VERSION, IS_SLAVE, REQUEST_EPERM, ErrorCode, OpenFlowError
from agent.openflow.messages import NO_BUFFER, TableFeaturesRequest

_HELLO: Final = 0
_ECHO_REQUEST: Final = 2
_ECHO_REPLY: Final = 3

_WHILE_FLUSHING: Final[frozenset[type]] = frozenset(
    {of.Hello, of.ErrorMessage, of.EchoRequest, of.EchoReply}
)
"""What is dealt with while all rules are being deleted: what keeps the connection alive."""


@implementer(IRequester, IFrameReceiver)
class OFConn(Speaker):
    """A session; see :class:`~agent.connmgr.speaker.Speaker` for the rest of its attributes.

    :ivar settings: given by whoever made it.
    :ivar roles: those of the switch.
    :ivar role: its role.
    :ivar observer: whether it is a slave for good, for its certificate does not allow more.
    :ivar async_config: its masks of asynchronous messages.
    :ivar formats: what it has chosen of Nicira's extensions.
    :ivar controller_id: a packet may be for the controllers of one id only.
    :ivar monitors: the flow monitors that it has set up.
    :ivar assembler: requests of which not all parts have come.
    :ivar postponement: the message that waits.
    :ivar admitted: whether the controller has done more than greet us.
    """

    internal = False
    n_buffers = SLOTS

    def __init__(
        self,
        name: str,
        switch: Switch,
        clock: IReactorTime,
        settings: SessionSettings,
        roles: Roles,
        owner: Owner[OFConn],
        traffic: Traffic | None = None,
    ) -> None:
        """:param traffic: what it counts into; its own unless given."""
        super().__init__(name, settings.limits, Traffic() if traffic is None else traffic)
        self.settings = settings
        self.roles = roles
        self.role = Role.EQUAL
        self.observer = False
        self.async_config = DEFAULT_ASYNC
        self.controller_id = 0
        self.formats = Formats()
        self.admitted = False
        primary = settings.kind is ConnectionKind.PRIMARY
        self._miss_send_len = DEFAULT_MISS_SEND_LEN if primary else 0
        self.packets = Packets(self, switch, clock)
        self.bundles = Bundles(self, switch, clock)
        self.monitors = FlowMonitors(self, switch, clock)
        self.assembler = Assembler(self, clock)
        self._switch = switch
        self._clock = clock
        self._received = self.traffic.received
        self._owner = owner
        self.postponement = Postponement(clock, self.traffic, self._cleared)
        self._greeted_at = 0.0
        self._hello_timer: IDelayedCall | None = None
        self._probe: InactivityProbe | None = None

    # --- for the operator and the manager --------------------------------------------------------

    @property
    def held_up(self) -> bool:
        """Whether we do not execute now what the peer may have sent."""
        return self.postponement.condition is not None or not self.channel.reading

    @property
    def slave(self) -> bool:
        """Whether it may not change the switch."""
        return self.role is Role.SLAVE

    @property
    def not_modifying(self) -> ErrorCode:
        """What a request to change the switch is refused with, while it is a slave."""
        return REQUEST_EPERM if self.observer else IS_SLAVE

    @property
    def miss_send_len(self) -> int:
        """Bytes of a packet to send on a miss; 0 on a service connection: nothing at all."""
        return self._miss_send_len

    @miss_send_len.setter
    def miss_send_len(self, value: int) -> None:
        self._miss_send_len = value
        self._owner.session_audience(self)

    @property
    def invalid_ttl(self) -> bool:
        """Whether it wants packets whose TTL ran out, as master or equal."""
        return bool(self.async_config.packet_in_mask[0] & 1 << of.PacketInReason.INVALID_TTL)

    @invalid_ttl.setter
    def invalid_ttl(self, value: bool) -> None:
        reason = 1 << of.PacketInReason.INVALID_TTL
        masks = self.async_config.packet_in_mask
        mask = masks[0] | reason if value else masks[0] & ~reason
        self.async_config = attrs.evolve(self.async_config, packet_in_mask=(mask, masks[1]))

    @property
    def is_audience(self) -> bool:
        """Whether it wants asynchronous messages at all; which ones, its masks say."""
        return self.settings.kind is ConnectionKind.PRIMARY or self._miss_send_len > 0

    def close(self, timeout: float | None = None) -> None:
        """End the session when what is queued has been sent, in ``timeout`` seconds at most."""
        self.channel.close(timeout)

    def reconfigure(self, settings: SessionSettings) -> None:
        """Go on with other settings, unless they leave out the version that is spoken here."""
        old, self.settings = self.settings, settings
        if settings.versions != old.versions and self.version not in settings.versions:
            # Before a version is agreed on it would be one of those that our HELLO has named.
            self.last_error = "its version of OpenFlow is no longer configured"
            self._log.info("{connection}: {text}", connection=self.name, text=self.last_error)
            self.close()
            return
        if self.version and settings.peers != old.peers and not self._identify():
            return
        self.packets.reconfigure()
        if self._probe is not None and settings.inactivity_probe != old.inactivity_probe:
            self._probe.stop()
            self._start_probe()

    # --- life (IFrameReceiver) -------------------------------------------------------------------

    def connection_made(self, channel: FrameProtocol) -> None:
        """Say HELLO, and give the peer some time to do so."""
        self.channel = channel
        channel.sent_types = self.traffic.sent
        self._hello_timer = self._clock.callLater(self.settings.hello_timeout, self._no_hello)
        versions = self.settings.versions
        channel.send(encode(max(versions), of.Hello(versions)))

    def connection_lost(self, reason: Failure) -> None:
        """Let go of everything; what is in flight runs on."""
        self.closed = True
        self._stop_timers()
        self.postponement.stop()
        self.packets.stop()
        self.bundles.stop()
        self.assembler.stop()
        self.monitors.stop()
        self.outstanding.forget()
        self._switch.forgo(self)
        self.roles.leave(self)
        problem = tls_problem(reason)
        if problem and self.settings.kind is ConnectionKind.SERVICE:
            # Of a controller, this is in the line that tells when it is dialled again.
            self._log.warn("{connection}: {text}", connection=self.name, text=problem)
        self._owner.session_lost(self, self.last_error or problem or reason.getErrorMessage())

    def _stop_timers(self) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None
        if self._probe is not None:
            self._probe.stop()
            self._probe = None

    # --- HELLO -----------------------------------------------------------------------------------

    def _no_hello(self) -> None:
        self._hello_timer = None
        self.fail(f"no HELLO for {self.settings.hello_timeout:g} s")

    def _greet(self, frame: bytes) -> bool:
        """The peer's HELLO; framing lets nothing else through before it."""
        ours = self.settings.versions
        try:
            hello = decode(max(ours), frame)
            assert isinstance(hello, of.Hello)
            version = agree(ours, hello.versions)
        except OpenFlowError as error:
            self.frame_refused(frame, error.code, error.text)
            return False
        if not self._identify():
            return False
        self.version = version
        self._greeted_at = self._clock.seconds()
        self.channel.greeted()
        self._stop_timers()
        self._start_probe()
        self._owner.session_ready(self)
        return True

    def _identify(self) -> bool:
        """Find out what the peer may do; returns whether it may be connected at all."""
        certificate = certificate_of(self.channel.transport)
        try:
            access = access_of(certificate, self.settings.peers)
        except IdentityRefused as refused:
            self.fail(str(refused))
            return False
        self.observer = access is Access.OBSERVER
        if self.observer:
            self.roles.leave(self)
            self.role = Role.SLAVE
        return True

    def _start_probe(self) -> None:
        self._probe = InactivityProbe(self._clock, self.settings.inactivity_probe, self)
        self._probe.start()

    def frame_refused(self, head: bytes, code: ErrorCode, text: str) -> None:
        """What came is no OpenFlow, or none of ours: say so, and close."""
        self.last_error = text
        self._log.warn("{connection}: {text}, disconnecting", connection=self.name, text=text)
        version = self.version or error_version(self.settings.versions, head[0])
        self.count_error(code)
        self.channel.send(encode_error(version, code, head, text))
        self.channel.close()

    # --- inactivity (probe.Probed) ---------------------------------------------------------------

    def last_heard(self) -> float:
        """See :class:`agent.connmgr.probe.Probed`."""
        return self.channel.last_received

    def silence_excused(self) -> bool:
        """Whether we do not listen, or make the peer wait.

        A controller answers echo requests while it waits, and is told apart from a dead one by
        that.  Many clients of listeners (``ovs-ofctl``) wait for one reply and answer nothing
        meanwhile; no connection is closed because a request is slow.
        """
        if not self.channel.reading:
            return True
        waits = self.postponement.condition is not None or bool(self.outstanding)
        return waits and self.settings.kind is ConnectionKind.SERVICE

    def probe(self) -> None:
        """See :class:`agent.connmgr.probe.Probed`."""
        self.send(of.EchoRequest())

    def probe_failed(self) -> None:
        """See :class:`agent.connmgr.probe.Probed`."""
        self.fail(f"no response to inactivity probe after {self.settings.inactivity_probe:g} s")

    # --- frames (IFrameReceiver) -----------------------------------------------------------------

    def frame_received(self, frame: bytes) -> bool:
        """Execute one message."""
        self._received[frame[1]] += 1
        if frame[0] != self.version:
            return self._other_version(frame)
        try:
            message = decode(self.version, frame)
            if message.__class__ is TableFeaturesRequest:
                whole = self.assembler.take(message, frame)
                if whole is None:
                    return True
                message = whole
        except OpenFlowError as error:
            self.assembler.broken(frame, error.code)
            self.refuse(error, frame)
        except Exception:
            self.crashed(frame)
        else:
            if self.formats.table_in_command:
                self.formats.read(self.version, message)
            return self._execute(message, frame)
        return True

    def _other_version(self, frame: bytes) -> bool:
        if not self.version:
            return self._greet(frame)
        if frame[1] != _HELLO:
            text = f"version {frame[0]}, where {self.version} was agreed on"
            self.refuse(OpenFlowError(BAD_VERSION, text), frame)
        return True

    def _execute(self, message: of.Message, frame: bytes) -> bool:
        """Run a message; this is the hot path.  Returns whether the next one may follow."""
        kind = message.__class__
        if not self.admitted:
            self._judge(kind)
        try:
            own = OWN.get(kind)
            if own is not None:
                flushing = self._switch.flushing
                if flushing is not None and kind not in _WHILE_FLUSHING:
                    if isinstance(message, of.RoleRequest):
                        self.roles.check(message.role, message.generation_id)
                    raise Postponed(flushing)
                own(self, message)
                return True
            if self.role is Role.SLAVE and modifies(message):
                # It may have been promised a place in flight before it was demoted.
                self._switch.forgo(self)
                raise OpenFlowError(self.not_modifying)
            replies = self.outstanding.replies
            if replies and len(replies) >= MAX_REPLIES and kind not in MODIFYING:
                raise Postponed(self.outstanding.reply_done())
            result = self._switch.handle(message, self)
            if isinstance(result, OperationGroup):
                result.request = frame
                self._groups[result] = buffer_of(message)
            elif result is not None:
                self.answer(result, frame)
            elif (buffer_id := buffer_of(message)) != NO_BUFFER:
                self.packets.release(buffer_id, frame, message.xid)
        except Postponed as postponed:
            self.postponement.put(message, frame, postponed.condition)
            return False
        except OpenFlowError as error:
            self.refuse(error, frame)
        except Exception:
            self.crashed(frame)
        return True

    def retrieve_buffer(self, buffer_id: int) -> tuple[bytes, int]:
        """See :class:`agent.ofproto.interfaces.IRequester`."""
        return self.packets.retrieve(buffer_id)

    def _judge(self, kind: type) -> None:
        """Is this what a controller says who controls us?"""
        if not self.observer and admits(kind, self._clock.seconds() - self._greeted_at):
            self.admitted = True
            self._owner.session_admitted(self)

    def retry(self) -> bool:
        """Run the postponed message again, if its condition has cleared."""
        taken = self.postponement.take()
        if taken is None:
            return False
        goes_on = self._execute(*taken)
        if goes_on:
            self.postponement.done()
        return goes_on

    def frame_held_up(self) -> None:
        """Let others have the place in flight that the message may have been promised."""
        # Before its condition has cleared it would lose its turn, and nobody would tell it.
        if self.postponement.ready:
            self._switch.forgo(self)

    def _cleared(self) -> None:
        """What a message has waited for is over."""
        if self.channel.lost:
            self._switch.forgo(self)
        else:
            self.channel.wake()

    def drained(self) -> None:
        """Go on telling what flow monitors see."""
        self.monitors.drained()

    overtaking: frozenset[int] = frozenset((_ECHO_REQUEST, _ECHO_REPLY))

    def frame_overtakes(self, frame: bytes) -> bool:
        """Answer echo requests while a message waits, so that slow hardware costs no connection."""
        kind = frame[1]
        if kind == _ECHO_REQUEST and frame[0] == self.version:
            self._received[kind] += 1
            self.send(of.EchoReply(frame[8:], header(frame)[3]))
            return True
        return kind == _ECHO_REPLY
