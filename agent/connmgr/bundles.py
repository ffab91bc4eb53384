"""The bundles of one session: what they hold, until they are committed.

::

                OPEN, or the first message
                          |
                          v       CLOSE
        message  ------> open ------------> closed
                          |                   |
                          +---------+---------+
                                    |
        COMMIT, DISCARD, a mistake, ten seconds without any of these, the end of the session
                                    v
                                  gone

A message is decoded and checked when it is added, as far as that can be done before it is its turn
(:meth:`agent.ofproto.ofproto.OFProto.check`).  One that is refused is not part of the bundle, which
stays as it was: whoever has sent it must discard the bundle, as ``ovs-ofctl`` does.  A bundle used
in a wrong way is gone, as the specification says.

A commit is a request like any other: it may wait, and then runs again, with the bundle as it was;
it is answered when the hardware has confirmed all of it, and a barrier waits for that.  If it fails
there are two errors: that of the message which is to blame, with its xid, and MSG_FAILED with the
xid of the commit.

Source: EXT-230; OpenFlow 1.4.0 sections 6.8 and 7.3.9; ``bundles.c`` of Open vSwitch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from twisted.internet.interfaces import IReactorTime

from agent.connmgr.idle import IdleCheck
from agent.connmgr.interfaces import Switch
from agent.connmgr.outstanding import BUNDLE
from agent.connmgr.packets import buffer_of
from agent.ofproto.bundles import BundleCommit, BundleGroup, MessageFailed
from agent.openflow import errors
from agent.openflow.bundle_messages import BundleAdd, BundleControl, BundleFlags, BundleType
from agent.openflow.codec import ERROR_DATA, decode, encode
from agent.openflow.errors import OpenFlowError
from agent.openflow.frame import Type13
from agent.openflow.messages import NO_BUFFER, Message

if TYPE_CHECKING:
    from agent.connmgr.ofconn import OFConn

IDLE_TIMEOUT: Final = 10.0
"""Seconds after which a bundle that nobody uses is gone."""

_FLAGS: Final = int(BundleFlags.ATOMIC | BundleFlags.ORDERED)
_TYPES: Final = frozenset({Type13.FLOW_MOD, Type13.GROUP_MOD, Type13.METER_MOD})
"""What is worth decoding; of the rest, PORT_MOD could not be taken back."""


@attrs.define(eq=False)
class Bundle:
    """A bundle.

    :ivar flags: :class:`BundleFlags`; all who name the bundle must name these.
    :ivar opening: the beginning of the message that has opened it.
    :ivar used: when it was last used, in seconds of the clock.
    :ivar size: bytes of its messages.
    :ivar heads: of each message, the beginning of the BUNDLE_ADD_MESSAGE it came in.
    """

    bundle_id: int
    flags: int
    opening: bytes
    used: float
    closed: bool = False
    size: int = 0
    messages: list[Message] = attrs.Factory(list)
    heads: list[bytes] = attrs.Factory(list)


class Bundles:
    """See the module."""

    __slots__ = ("_bundles", "_clock", "_committing", "_idle", "_session", "_switch")

    def __init__(self, session: OFConn, switch: Switch, clock: IReactorTime) -> None:
        self._session = session
        self._switch = switch
        self._clock = clock
        self._bundles: dict[int, Bundle] = {}
        self._committing: dict[BundleGroup, Bundle] = {}
        self._idle = IdleCheck(clock, session, self._bundles, IDLE_TIMEOUT, self._expired)

    def __len__(self) -> int:
        """How many there are, committed ones apart."""
        return len(self._bundles)

    def stop(self) -> None:
        """The session is over, and its bundles with it; what was committed runs on."""
        self._bundles.clear()
        self._committing.clear()
        self._idle.stop()
        # They refer to each other: leave no circle behind.
        del self._session, self._idle

    # --- BUNDLE_ADD_MESSAGE ----------------------------------------------------------------------

    def add(self, message: BundleAdd) -> None:
        """Add a message, to a new bundle if there is none."""
        self._check_role()
        inner = message.message
        if inner[1] not in _TYPES:
            raise OpenFlowError(errors.BUNDLE_MSG_UNSUP, f"type {inner[1]}")
        session = self._session
        added = decode(session.version, inner)
        self._switch.check(added, session)
        head = encode(session.version, message)[:ERROR_DATA]
        bundle = self._bundles.get(message.bundle_id)
        if bundle is not None:
            self._check_open(bundle, message.flags)
        self._check_room(len(inner))
        if bundle is None:
            bundle = self._open(message.bundle_id, message.flags, head)
        bundle.used = self._clock.seconds()
        bundle.size += len(inner)
        bundle.messages.append(added)
        bundle.heads.append(head)

    def _check_room(self, size: int) -> None:
        """Check the bounds of one session, whichever of its bundles it is."""
        limits = self._session.limits
        bundles = self._bundles.values()
        if sum(len(bundle.messages) for bundle in bundles) >= limits.bundle_messages:
            raise OpenFlowError(
                errors.BUNDLE_MSG_TOO_MANY, f"{limits.bundle_messages} messages in bundles"
            )
        if sum(bundle.size for bundle in bundles) + size > limits.bundle_bytes:
            raise OpenFlowError(
                errors.BUNDLE_MSG_TOO_MANY, f"{limits.bundle_bytes} bytes in bundles"
            )

    # --- BUNDLE_CONTROL --------------------------------------------------------------------------

    def control(self, message: BundleControl) -> None:
        """Open, close, commit or discard a bundle."""
        self._check_role()
        kind, bundle_id = message.type, message.bundle_id
        if kind == BundleType.COMMIT_REQUEST:
            self._commit(message)
            return
        if kind == BundleType.OPEN_REQUEST:
            if bundle_id in self._bundles:
                self._discard(self._bundles[bundle_id])
                raise OpenFlowError(errors.BUNDLE_BAD_ID, f"bundle {bundle_id:#x} is there already")
            self._open(bundle_id, message.flags, encode(self._session.version, message))
        elif kind == BundleType.CLOSE_REQUEST:
            bundle = self._find(bundle_id)
            self._check_open(bundle, message.flags)
            bundle.closed = True
            bundle.used = self._clock.seconds()
        elif kind == BundleType.DISCARD_REQUEST:
            self._discard(self._find(bundle_id))
        else:
            raise OpenFlowError(errors.BUNDLE_BAD_TYPE, f"type {kind}")
        self._reply(bundle_id, kind, message.xid)

    def _check_role(self) -> None:
        if self._session.slave:
            # It may have been promised a place in flight before it was demoted.
            self._switch.forgo(self._session)
            raise OpenFlowError(self._session.not_modifying)

    def _open(self, bundle_id: int, flags: int, opening: bytes) -> Bundle:
        if flags & ~_FLAGS:
            raise OpenFlowError(errors.BUNDLE_BAD_FLAGS, f"flags {flags:#x}")
        most = self._session.limits.bundles
        if len(self._bundles) >= most:
            raise OpenFlowError(errors.BUNDLE_OUT_OF_BUNDLES, f"{most} bundles")
        bundle = Bundle(bundle_id, flags, opening, self._clock.seconds())
        self._bundles[bundle_id] = bundle
        self._idle.start()
        return bundle

    def _find(self, bundle_id: int) -> Bundle:
        bundle = self._bundles.get(bundle_id)
        if bundle is None:
            raise OpenFlowError(errors.BUNDLE_BAD_ID, f"there is no bundle {bundle_id:#x}")
        return bundle

    def _check_open(self, bundle: Bundle, flags: int) -> None:
        if bundle.closed:
            self._discard(bundle)
            raise OpenFlowError(errors.BUNDLE_CLOSED, f"bundle {bundle.bundle_id:#x}")
        self._check_flags(bundle, flags)

    def _check_flags(self, bundle: Bundle, flags: int) -> None:
        if bundle.flags != flags:
            self._discard(bundle)
            raise OpenFlowError(
                errors.BUNDLE_BAD_FLAGS, f"flags {flags:#x}, where {bundle.flags:#x} was said"
            )

    def _discard(self, bundle: Bundle) -> None:
        del self._bundles[bundle.bundle_id]
        if not self._bundles:
            self._idle.stop()

    def _reply(self, bundle_id: int, request: int, xid: int) -> None:
        """Say that a request was carried out; replies have no flags, as in Open vSwitch."""
        self._session.send(BundleControl(bundle_id, request + 1, 0, xid))

    # --- COMMIT ----------------------------------------------------------------------------------

    def _commit(self, message: BundleControl) -> None:
        session = self._session
        bundle = self._find(message.bundle_id)
        self._check_flags(bundle, message.flags)
        try:
            group = self._switch.handle(BundleCommit(bundle.messages, message.xid), session)
        except MessageFailed as failed:
            self._discard(bundle)
            session.refuse(failed.error, bundle.heads[failed.number])
            raise
        except OpenFlowError:
            self._discard(bundle)
            raise
        self._discard(bundle)
        if group is None:
            self._done(bundle, message.xid)
        else:
            group.request = encode(session.version, message)
            session.outstanding.groups[group] = BUNDLE
            self._committing[group] = bundle

    def ended(self, group: BundleGroup, error: OpenFlowError | None) -> None:
        """A bundle that was committed has been carried out, or taken back."""
        bundle = self._committing.pop(group)
        if error is None:
            self._done(bundle, group.xid)
            return
        if group.culprit is not None:
            self._session.refuse(error, bundle.heads[group.culprit])
        failed = OpenFlowError(errors.BUNDLE_MSG_FAILED, str(error))
        self._session.refuse(failed, group.request, group.xid)

    def _done(self, bundle: Bundle, xid: int) -> None:
        self._reply(bundle.bundle_id, BundleType.COMMIT_REQUEST, xid)
        for message, head in zip(bundle.messages, bundle.heads, strict=True):
            buffer_id = buffer_of(message)
            if buffer_id != NO_BUFFER:
                self._session.packets.release(buffer_id, head, message.xid)

    def _expired(self, bundle: Bundle) -> None:
        self._discard(bundle)
        text = f"bundle {bundle.bundle_id:#x} was not used for {IDLE_TIMEOUT:g} s"
        self._session.refuse(OpenFlowError(errors.BUNDLE_TIMEOUT, text), bundle.opening)
