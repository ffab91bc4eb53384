"""What stands around a connection in these tests: a switch, a transport, a peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.interfaces import IFrameReceiver
from agent.connmgr.ofconn import OFConn
from agent.connmgr.roles import Roles
from agent.connmgr.settings import DEFAULT_LIMITS, Limits, SessionSettings
from agent.ofproto.conditions import Condition
from agent.ofproto.interfaces import IRequester
from agent.ofproto.monitors import FlowChanges
from agent.ofproto.operations import OperationGroup
from agent.openflow import messages as of
from agent.openflow.codec import decode, encode, header
from agent.openflow.errors import BAD_TYPE, ErrorCode, OpenFlowError
from agent.openflow.match import Match

VERSIONS = frozenset({of.OFP10, of.OFP13})


class TurnClock(Clock):
    """A clock with turns: what a turn schedules for now is done in the next one.

    (:meth:`Clock.advance` does it at once, which is not what a reactor does.)
    """

    def turn(self, turns: int = 1) -> None:
        """Let so many turns of the reactor pass, and no time."""
        for _ in range(turns):
            due = sum(call.getTime() <= self.seconds() for call in self.calls)
            for _ in range(due):
                if self.calls and self.calls[0].getTime() <= self.seconds():
                    call = self.calls.pop(0)
                    call.called = 1
                    call.func(*call.args, **call.kw)


class Gate(Condition):
    """A condition that the test clears."""

    def __init__(self, text: str = "the gate") -> None:
        super().__init__()
        self.text = text

    def describe(self) -> str:
        """The text it was made with."""
        return self.text

    @property
    def waiters(self) -> int:
        """How many wait."""
        return len(self._waiters or ())


class FakeGroup(OperationGroup):
    """A group without operations, which the test ends."""

    __slots__ = ("__weakref__",)

    def __init__(self, requester: IRequester, xid: int) -> None:
        ledger: Any = None
        super().__init__(ledger, requester, xid, ())

    def describe(self) -> str:
        """Its xid."""
        return f"group {self.xid}"

    def end(self, error: Exception | None = None) -> None:
        """End it, as a ledger does."""
        self.error = error
        self.owner.group_ended(self)
        self.clear()


class FakeSwitch:
    """Executes what a test tells it to.

    :ivar on: what to do with a class of request, instead of the default.
    :ivar handled: every request that got here.
    :ivar groups: one for each flow_mod, unless ``on`` says otherwise.
    :ivar processed: packets, each with its port, that the tables were to process.
    :ivar forgone: the requesters that could not use a place, or are gone.
    :ivar changes: there are none.
    :ivar flushing: what a flush that the test makes waits for.
    """

    name = "br0"
    flushing: Condition | None = None

    def __init__(self) -> None:
        self.on: dict[type, Callable[[Any, Any], Any]] = {}
        self.handled: list[Any] = []
        self.groups: list[FakeGroup] = []
        self.processed: list[tuple[bytes, int]] = []
        self.forgone: list[IRequester] = []
        self.changes = FlowChanges(self.name, Clock())

    def handle(self, request: Any, requester: IRequester) -> Any:
        """A group for a flow_mod, a reply for FEATURES_REQUEST, else what ``on`` says."""
        self.handled.append(request)
        handler = self.on.get(type(request))
        if handler is not None:
            return handler(request, requester)
        if isinstance(request, of.FlowMod):
            group = FakeGroup(requester, request.xid)
            self.groups.append(group)
            return group
        if isinstance(request, of.FeaturesRequest):
            return of.FeaturesReply(1, 0, 1, xid=request.xid)
        raise OpenFlowError(BAD_TYPE)

    def check(self, message: Any, requester: IRequester) -> None:
        """Whatever it is, it can be part of a bundle."""

    def process(self, data: bytes, in_port: int) -> None:
        """Remember."""
        self.processed.append((data, in_port))

    def forgo(self, requester: IRequester) -> None:
        """Remember."""
        self.forgone.append(requester)


class FakeOwner:
    """Remembers what it hears of its sessions."""

    def __init__(self) -> None:
        self.ready: list[OFConn] = []
        self.admitted = 0
        self.audience: list[OFConn] = []
        self.lost: list[str] = []

    def session_ready(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.ready.append(session)

    def session_admitted(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.admitted += 1

    def session_audience(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.audience.append(session)

    def session_lost(self, session: OFConn, reason: str) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self.lost.append(reason)


@implementer(IFrameReceiver)
class FakeReceiver:
    """Takes frames, and waits, overtakes and refuses as it is told to.

    :ivar frames: what it was given, in order.
    :ivar overtaken: what it has taken ahead.
    :ivar holds: frames for which it is not ready at once.
    :ivar ready: whether a retry succeeds.
    """

    channel: FrameProtocol

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.overtaken: list[bytes] = []
        self.holds: list[bytes] = []
        self.ready = False
        self.retries = 0
        self.held_up = 0
        self.refused: list[tuple[bytes, ErrorCode]] = []
        self.lost = 0
        self.drains = 0
        self.on_frame: Callable[[bytes], object] = lambda frame: None

    def connection_made(self, channel: FrameProtocol) -> None:
        """Remember."""
        self.channel = channel

    def frame_received(self, frame: bytes) -> bool:
        """Remember, do what the test wants, and hold if it is to."""
        self.frames.append(frame)
        self.on_frame(frame)
        return frame not in self.holds

    def retry(self) -> bool:
        """Ready when the test says so."""
        self.retries += 1
        ready, self.ready = self.ready, False
        return ready

    def frame_held_up(self) -> None:
        """Count."""
        self.held_up += 1

    overtaking = frozenset((2,))

    def frame_overtakes(self, frame: bytes) -> bool:
        """Echo requests do."""
        if frame[1] == 2:
            self.overtaken.append(frame)
            self.on_frame(frame)
            return True
        return False

    def frame_refused(self, head: bytes, code: ErrorCode, text: str) -> None:
        """Remember, and close."""
        self.refused.append((head, code))
        self.channel.close()

    def drained(self) -> None:
        """Count."""
        self.drains += 1

    def connection_lost(self, reason: Failure) -> None:
        """Count."""
        self.lost += 1


class FakeTransport(StringTransportWithDisconnection):
    """A transport whose peer can be slow, and can refuse to close.

    :ivar lingering: whether closing takes for ever; aborting does not.
    :ivar aborted: whether it was aborted.
    :ivar options: of TCP, which were set.
    """

    lingering = False
    aborted = False
    producer: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.options: dict[str, object] = {}

    def setTcpNoDelay(self, enabled: object) -> None:
        """Remember."""
        self.options["nodelay"] = enabled

    def setTcpKeepAlive(self, enabled: object) -> None:
        """Remember."""
        self.options["keepalive"] = enabled

    def loseConnection(self) -> None:
        """Close, unless the peer does not let us."""
        self.disconnecting = True
        if not self.lingering:
            super().loseConnection()

    def abortConnection(self) -> None:
        """Close in any case."""
        self.aborted = True
        self.lingering = False
        self.loseConnection()

    def lose(self, reason: Exception) -> None:
        """The peer, or the network, ends it."""
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(reason))

    def choke(self) -> None:
        """The peer does not read."""
        self.producer.pauseProducing()

    def unchoke(self) -> None:
        """The peer has read everything."""
        self.producer.resumeProducing()


def frames_of(data: bytes) -> list[bytes]:
    """The frames in a stream of bytes, all of which belong to one."""
    found = []
    while data:
        length = header(data)[2]
        assert 8 <= length <= len(data), data
        found.append(data[:length])
        data = data[length:]
    return found


@attrs.define
class Peer:
    """The other end: speaks messages, and reads them."""

    protocol: FrameProtocol
    transport: FakeTransport
    version: int = 0

    def send(self, *messages: Any) -> None:
        """Send messages in one piece."""
        self.send_bytes(b"".join(encode(self.version, message) for message in messages))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes in one piece."""
        self.protocol.dataReceived(data)

    def received(self) -> list[Any]:
        """The messages that have come since the last time."""
        data = self.transport.value()
        self.transport.clear()
        return [decode(self.version or of.OFP13, frame) for frame in frames_of(data)]


def flow_mod(xid: int = 0) -> of.FlowMod:
    """Any flow_mod."""
    return of.FlowMod(of.FlowModCommand.ADD, Match(), xid=xid)


def connect(protocol: FrameProtocol) -> Peer:
    """A peer for a protocol that has no transport yet."""
    transport = FakeTransport()
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return Peer(protocol, transport)


class SessionCase(SynchronousTestCase):
    """Sessions with a fake switch, on a clock."""

    def setUp(self) -> None:
        """Nobody is connected."""
        self.clock = TurnClock()
        self.switch = FakeSwitch()
        self.roles = Roles()
        self.owner = FakeOwner()

    def session(self, limits: Limits = DEFAULT_LIMITS, **settings: Any) -> tuple[OFConn, Peer]:
        """A session that has said HELLO, with a peer that has not."""
        session = OFConn(
            "br0<->tcp:192.0.2.1:6653",
            self.switch,
            self.clock,
            SessionSettings(VERSIONS, limits=limits, **settings),
            self.roles,
            self.owner,
        )
        return session, connect(FrameProtocol(self.clock, session, limits))

    def connected(
        self, version: int = of.OFP13, limits: Limits = DEFAULT_LIMITS, **settings: Any
    ) -> tuple[OFConn, Peer]:
        """A session that has agreed on a version; the HELLOs are read."""
        session, peer = self.session(limits, **settings)
        peer.version = version
        peer.send(of.Hello(frozenset({version})))
        self.assertEqual(session.version, version)
        peer.received()
        return session, peer

    def postpone(self, kind: type) -> list[Gate]:
        """Let the switch postpone each request of a class until its gate is cleared."""
        from agent.ofproto.conditions import Postponed

        gates: dict[int, Gate] = {}
        made: list[Gate] = []

        def handle(request: Any, requester: IRequester) -> None:
            gate = gates.get(request.xid)
            if gate is None:
                gate = gates[request.xid] = Gate(f"gate {request.xid}")
                made.append(gate)
            if not gate.cleared:
                raise Postponed(gate)

        self.switch.on[kind] = handle
        return made

    def defer(self, kind: type) -> list[Deferred[Any]]:
        """Let the switch answer requests of a class later."""
        made: list[Deferred[Any]] = []

        def handle(request: Any, requester: IRequester) -> Deferred[Any]:
            made.append(Deferred())
            return made[-1]

        self.switch.on[kind] = handle
        return made
