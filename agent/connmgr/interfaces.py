"""What the parts of a connection know of each other."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from agent.ofproto.conditions import Condition
from agent.ofproto.interfaces import IRequester
from agent.ofproto.monitors import FlowChanges
from agent.openflow.errors import ErrorCode

if TYPE_CHECKING:
    from agent.connmgr.framing import FrameProtocol


class IFrameReceiver(Interface):
    """Who makes sense of frames.  Called from the reactor's turns only, never re-entered."""

    overtaking: Collection[int] = Attribute(
        "The types of messages of which :meth:`frame_overtakes` is asked; others never overtake."
    )

    def connection_made(channel: FrameProtocol) -> None:
        """The transport is there.  Frames follow."""

    def frame_received(frame: bytes) -> bool:
        """A whole frame.

        :returns: whether the receiver is ready for another one.  If it is not, it keeps this one,
            and calls :meth:`FrameProtocol.wake` when it may be able to go on.
        """

    def retry() -> bool:
        """Go on with the frame that had to wait, if possible.

        :returns: as for :meth:`frame_received`.
        """

    def frame_held_up() -> None:
        """The peer shall read before the frame that had to wait is tried again: that may take long.

        Called when the receiver has called :meth:`FrameProtocol.wake`; :meth:`retry` follows.
        """

    def frame_overtakes(frame: bytes) -> bool:
        """A frame that has arrived behind one that waits.

        :returns: whether it has been dealt with.  Otherwise it comes again, in its turn.
        """

    def drained() -> None:
        """Everything that was to be sent has been handed to the transport, which had been full."""

    def frame_refused(head: bytes, code: ErrorCode, text: str) -> None:
        """What follows is no frame.  The receiver has to close the connection.

        :param head: its first bytes, as far as they are here.
        """

    def connection_lost(reason: Failure) -> None:
        """The transport is gone; nothing more will come."""


class Switch(Protocol):
    """The switch, as a session needs it: :class:`agent.ofproto.ofproto.OFProto`."""

    name: str
    changes: FlowChanges

    @property
    def flushing(self) -> Condition | None:
        """Clears when all rules have been deleted; None: they are not being deleted."""

    def handle(self, request: Any, requester: IRequester) -> Any:
        """See :meth:`agent.ofproto.ofproto.OFProto.handle`."""

    def check(self, message: Any, requester: IRequester) -> None:
        """See :meth:`agent.ofproto.ofproto.OFProto.check`."""

    def process(self, data: bytes, in_port: int) -> None:
        """See :meth:`agent.ofproto.ofproto.OFProto.process`."""

    def forgo(self, requester: IRequester) -> None:
        """See :meth:`agent.ofproto.ofproto.OFProto.forgo`."""


S_contra = TypeVar("S_contra", contravariant=True)


class Owner(Protocol[S_contra]):
    """Who has made a session and hears how it goes.  Must not re-enter it."""

    def session_ready(self, session: S_contra) -> None:
        """A version is agreed on."""

    def session_admitted(self, session: S_contra) -> None:
        """The peer has done something that it does only if it wants to control us."""

    def session_audience(self, session: S_contra) -> None:
        """It has begun or ceased to want asynchronous messages."""

    def session_lost(self, session: S_contra, reason: str) -> None:
        """It is over.  Called once, also when no version was ever agreed on."""


class Policy(Protocol):
    """What a bridge does by itself because of how its controllers are: fail-open, in-band control.

    It is told what happens, by the connection manager, and never from within the switch.
    """

    def start(self) -> None:
        """The bridge begins to work; before its controllers are dialled."""

    def stop(self) -> None:
        """The bridge goes: let go of timers, and of what is waited for.  Called once."""

    def controllers_changed(self) -> None:
        """A controller was connected, admitted or lost."""

    def ports_changed(self) -> None:
        """A port was added, removed or changed."""

    def flushed(self) -> None:
        """Every rule has been deleted, those of this policy too."""
