"""The half of a session that speaks.

:class:`Speaker` turns what there is to say into frames: replies, at once or when the switch has
them, errors, and asynchronous messages.  The other half, which is told what to do, is
:class:`agent.connmgr.ofconn.OFConn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.connmgr.bundles import Bundles
from agent.connmgr.framing import FrameProtocol
from agent.connmgr.outstanding import BUNDLE, Outstanding
from agent.connmgr.packets import Packets
from agent.connmgr.settings import Limits
from agent.connmgr.traffic import Traffic
from agent.ofproto.bundles import BundleGroup
from agent.ofproto.operations import OperationGroup
from agent.openflow import messages as of
from agent.openflow.codec import encode, encode_error, encode_parts, header
from agent.openflow.errors import FLOW_MOD_UNKNOWN, REQUEST_EPERM, ErrorCode, OpenFlowError
from agent.openflow.messages import NO_BUFFER

_ERROR: Final = 1
"""``OFPT_ERROR``."""

_LONG: Final[frozenset[type]] = frozenset({of.FlowStatsReply})
"""Replies that may need more than a few frames; they are encoded as the peer reads them."""


@attrs.define
class Counters:
    """What a session has counted, beside the messages that its channel counts.

    :ivar errors: error messages sent, by the error's name.
    :ivar packet_ins_dropped: packets not sent because the peer does not read.
    :ivar packets_dropped: buffered packets not processed because there were too many.
    """

    errors: dict[str, int] = attrs.Factory(dict)
    errors_received: int = 0
    packet_ins_dropped: int = 0
    packets_dropped: int = 0

    @property
    def errors_sent(self) -> int:
        """Error messages sent."""
        return sum(self.errors.values())


class Speaker:
    """What a session says.

    :ivar name: ``bridge<->target``, for logs and for the operator.
    :ivar version: the wire version agreed on; 0 before that.
    :ivar closed: whether the session is over.
    :ivar last_error: why we closed it; empty otherwise.
    :ivar counters: what it has counted.
    :ivar traffic: what the bridge's sessions have counted together.
    :ivar outstanding: what the peer was promised and has not got yet.
    :ivar channel: its frames; there from the moment there is a transport.
    :ivar packets: those that it is sent, and sends back.
    :ivar bundles: those that it has not committed yet.
    :ivar limits: what it may cost.
    """

    _log = Logger()
    channel: FrameProtocol
    packets: Packets
    bundles: Bundles

    def __init__(self, name: str, limits: Limits, traffic: Traffic) -> None:
        self.name = name
        self.traffic = traffic
        self.version = 0
        self.closed = False
        self.last_error = ""
        self.counters = Counters()
        self.outstanding = Outstanding()
        self._groups = self.outstanding.groups
        self.limits = limits
        self._notices = 0

    def fail(self, text: str) -> None:
        """Cut the connection off."""
        self.last_error = text
        self._log.warn("{connection}: {text}, disconnecting", connection=self.name, text=text)
        self.channel.abort()

    # --- asynchronous messages -------------------------------------------------------------------

    def notify(self, data: bytes) -> None:
        """Send an asynchronous message that must not be lost.

        A peer who does not read is cut off rather than told half of what happened.
        """
        if not self.channel.choked:
            self._notices = 0
        elif self._notices >= self.limits.notices:
            self.fail(f"{self._notices} messages not read")
            return
        else:
            self._notices += 1
        self.channel.send(data)

    def offer(self, make: Callable[[], bytes | None]) -> None:
        """Send a packet, which is dropped when the peer does not read.

        :param make: makes the message, if there is one to be sent; None: it cannot be said.
        """
        channel = self.channel
        if channel.choked and channel.queued >= self.limits.packet_ins:
            self.counters.packet_ins_dropped += 1
            self.traffic.packet_ins_dropped["unread"] += 1
            return
        data = make()
        if data is not None:
            channel.send(data)

    # --- replies ---------------------------------------------------------------------------------

    def send(self, message: of.Message) -> None:
        """Send a message that is a single frame."""
        self.channel.send(encode(self.version, message))

    def group_ended(self, group: OperationGroup) -> None:
        """See :class:`agent.ofproto.interfaces.IRequester`."""
        groups = self._groups
        if group in groups:
            buffer_id = groups.pop(group)
            error = group.error
            if error is not None and not isinstance(error, OpenFlowError):
                error = OpenFlowError(FLOW_MOD_UNKNOWN, str(error))
            if buffer_id == BUNDLE:
                assert isinstance(group, BundleGroup)
                self.bundles.ended(group, error)
            elif error is not None:
                self.refuse(error, group.request, group.xid)
            elif buffer_id != NO_BUFFER:
                self.packets.release(buffer_id, group.request, group.xid)
            if not groups:
                self.outstanding.settle()

    def answer(self, result: Any, frame: bytes) -> None:
        """Send what the switch has to say, now or later."""
        if isinstance(result, Deferred):
            self.outstanding.replies[result] = None
            result.addCallback(self._answer_later, frame)
            result.addErrback(self._answer_failed, frame)
            result.addBoth(self._answered, result)
        elif isinstance(result, list):
            for message in result:
                self._reply(message, frame)
        elif result is not None:
            self._reply(result, frame)

    def _answer_later(self, result: Any, frame: bytes) -> None:
        if not self.closed:
            self.answer(result, frame)

    def _answer_failed(self, failure: Failure, frame: bytes) -> None:
        if self.closed:
            return
        if isinstance(failure.value, OpenFlowError):
            self.refuse(failure.value, frame)
        else:
            self.crashed(frame, failure)

    def _answered(self, _: None, reply: Deferred[Any]) -> None:
        self.outstanding.reply_ended(reply)

    def _reply(self, message: Any, frame: bytes) -> None:
        if message.__class__ in _LONG:
            self.channel.send_stream(self._frames(message, frame))
        else:
            self.send(message)

    def _frames(self, message: Any, frame: bytes) -> Iterator[bytes]:
        """The frames of a long reply; an error in the place of what cannot be said."""
        try:
            yield from encode_parts(self.version, message)
        except OpenFlowError as error:
            yield self._error(error, frame)
        except Exception:
            yield self._crash(frame)

    def refuse(self, error: OpenFlowError, frame: bytes, xid: int | None = None) -> None:
        """Answer a request with an error; ``xid`` where it is not to be read from the frame."""
        # An error is never answered by an error, or two peers could do so for ever.
        if frame[1] != _ERROR:
            self.channel.send(self._error(error, frame, xid))

    def _error(self, error: OpenFlowError, frame: bytes, xid: int | None = None) -> bytes:
        self.count_error(error.code)
        self._log.debug(
            "{connection}: request with xid {xid} refused: {error}",
            connection=self.name,
            xid=int.from_bytes(frame[4:8], "big") if xid is None else xid,
            error=error,
        )
        return encode_error(self.version, error.code, frame, error.text, xid)

    def count_error(self, code: ErrorCode) -> None:
        """An error message is about to be sent."""
        name = code.name
        errors = self.counters.errors
        errors[name] = errors.get(name, 0) + 1
        self.traffic.errors[name] += 1

    def crashed(self, frame: bytes, failure: Failure | None = None) -> None:
        """A bug of ours, which is no reason to close the connection."""
        self.channel.send(self._crash(frame, failure))

    def _crash(self, frame: bytes, failure: Failure | None = None) -> bytes:
        self._log.failure(
            "{connection}: message of type {type} with xid {xid} failed",
            failure=failure,
            connection=self.name,
            type=frame[1],
            xid=header(frame)[3],
        )
        return self._error(OpenFlowError(REQUEST_EPERM, "internal error"), frame)
