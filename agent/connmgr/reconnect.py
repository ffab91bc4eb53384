"""A controller that we dial, and dial again when the connection is lost.

The waits between attempts start at 1 s and double up to ``max_backoff``; they start over once a
session has proved itself, which is when a version is agreed on: a peer that accepts and hangs up is
no better than one that does not answer.

::

            start           connected          proved
    VOID -----> CONNECTING ----------> GREETING -----> ACTIVE
     ^            ^    | failed           | lost         | lost
     |    attempt |    v                  |              |
     |          BACKOFF <-----------------+--------------+
     |            |
     |            | stop (from anywhere)
     +------ DISCONNECTING (while something is still open)

The states have the names that Open vSwitch shows.  A session is made for every attempt that gets as
far as a transport, and forgotten with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from automat import TypeMachineBuilder, pep614
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from agent.connmgr.framing import FrameProtocol
from agent.connmgr.interfaces import Owner
from agent.connmgr.ofconn import OFConn

MIN_BACKOFF: Final = 1.0
"""Seconds of the first wait."""
STOP_TIMEOUT: Final = 1.0
"""Seconds that a connection has to be closed when the agent stops."""


class _Inputs(Protocol):
    """What can happen to a connection."""

    def start(self) -> None:
        """Begin to dial."""

    def stop(self) -> None:
        """End for good."""

    def attempt(self) -> None:
        """The wait is over."""

    def connected(self) -> None:
        """There is a transport."""

    def failed(self, reason: str) -> None:
        """There will be none."""

    def proved(self) -> None:
        """The session has agreed on a version."""

    def lost(self, reason: str) -> None:
        """The session is over."""


class _Core:
    """What a connection keeps across its states; see :class:`ReconnectingConnection`."""

    log = Logger()

    def __init__(
        self,
        name: str,
        endpoint: IStreamClientEndpoint,
        factory: Factory,
        clock: IReactorTime,
        max_backoff: float,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.factory = factory
        self.clock = clock
        self.max_backoff = max_backoff
        self.state = "VOID"
        self.since = clock.seconds()
        self.wait = MIN_BACKOFF
        self.attempts = 0
        self.last_error = ""
        self.sessions = 0
        self.errors: Counter[str] = Counter()
        self.session: OFConn | None = None
        self.attempt: Deferred[IProtocol] | None = None
        self.timer: IDelayedCall | None = None
        self.stopped: list[Deferred[None]] = []

    def enter(self, state: str) -> None:
        """Note a state for the operator."""
        self.state = state
        self.since = self.clock.seconds()

    def dial(self, inputs: _Inputs) -> None:
        """Try once."""
        self.enter("CONNECTING")
        self.attempts += 1
        self.attempt = self.endpoint.connect(self.factory)

        def connected(_: IProtocol) -> None:
            self.attempt = None
            session = self.session
            if session is None or session.closed:
                inputs.failed("closed at once")
            else:
                inputs.connected()

        def failed(failure: Failure) -> None:
            self.attempt = None
            inputs.failed(failure.getErrorMessage())

        self.attempt.addCallbacks(connected, failed)

    def back_off(self, inputs: _Inputs, reason: str) -> None:
        """Wait, each time twice as long."""
        self.enter("BACKOFF")
        self.session = None
        self.last_error = reason
        wait = min(self.wait, self.max_backoff)
        self.wait = min(2 * wait, self.max_backoff)
        self.log.info(
            "{connection}: {reason}; waiting {wait:g} seconds before reconnect",
            connection=self.name,
            reason=reason,
            wait=wait,
        )
        self.timer = self.clock.callLater(wait, inputs.attempt)

    def end(self) -> None:
        """Everything is closed."""
        self.enter("VOID")
        self.session = None
        self.wait = MIN_BACKOFF
        stopped, self.stopped = self.stopped, []
        for waiter in stopped:
            waiter.callback(None)


def _build() -> Callable[[_Core], _Inputs]:
    machine = TypeMachineBuilder(_Inputs, _Core)
    void = machine.state("void")
    connecting = machine.state("connecting")
    greeting = machine.state("greeting")
    active = machine.state("active")
    backoff = machine.state("backoff")
    disconnecting = machine.state("disconnecting")

    @pep614(void.upon(_Inputs.start).to(connecting))
    def first(inputs: _Inputs, core: _Core) -> None:
        core.dial(inputs)

    @pep614(backoff.upon(_Inputs.attempt).to(connecting))
    def again(inputs: _Inputs, core: _Core) -> None:
        core.timer = None
        core.dial(inputs)

    @pep614(connecting.upon(_Inputs.connected).to(greeting))
    def connected(inputs: _Inputs, core: _Core) -> None:
        core.enter("GREETING")

    @pep614(greeting.upon(_Inputs.proved).to(active))
    def proved(inputs: _Inputs, core: _Core) -> None:
        core.log.info("{connection}: connected", connection=core.name)
        core.enter("ACTIVE")
        core.sessions += 1
        core.wait = MIN_BACKOFF
        core.attempts = 0

    @pep614(connecting.upon(_Inputs.failed).to(backoff))
    @pep614(greeting.upon(_Inputs.lost).to(backoff))
    @pep614(active.upon(_Inputs.lost).to(backoff))
    def back_off(inputs: _Inputs, core: _Core, reason: str) -> None:
        core.back_off(inputs, reason)

    @pep614(connecting.upon(_Inputs.stop).to(disconnecting))
    def cancel(inputs: _Inputs, core: _Core) -> None:
        core.enter("DISCONNECTING")
        assert core.attempt is not None
        core.attempt.cancel()

    @pep614(greeting.upon(_Inputs.stop).to(disconnecting))
    @pep614(active.upon(_Inputs.stop).to(disconnecting))
    def close(inputs: _Inputs, core: _Core) -> None:
        core.enter("DISCONNECTING")
        assert core.session is not None
        core.session.close(STOP_TIMEOUT)

    @pep614(backoff.upon(_Inputs.stop).to(void))
    def give_up(inputs: _Inputs, core: _Core) -> None:
        assert core.timer is not None
        core.timer.cancel()
        core.timer = None
        core.end()

    @pep614(void.upon(_Inputs.stop).loop())
    def stop_nothing(inputs: _Inputs, core: _Core) -> None:
        core.end()

    @pep614(disconnecting.upon(_Inputs.failed).to(void))
    @pep614(disconnecting.upon(_Inputs.lost).to(void))
    def closed(inputs: _Inputs, core: _Core, reason: str) -> None:
        core.end()

    # A transport that vanished before its attempt was over is reported by that attempt.
    connecting.upon(_Inputs.lost).loop().returns(None)
    disconnecting.upon(_Inputs.stop).loop().returns(None)
    disconnecting.upon(_Inputs.proved).loop().returns(None)
    return machine.build()


_machine: Final = _build()


class _SessionFactory(Factory):
    """Makes the session, and the frames, of each attempt."""

    noisy = False

    def __init__(self, connection: ReconnectingConnection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: IAddress | None) -> FrameProtocol:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return self._connection.new_session()


class ReconnectingConnection:
    """The connection with one controller, as far as it outlives its sessions.

    It is the owner of its sessions, and passes on what it hears.
    """

    def __init__(
        self,
        name: str,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        max_backoff: float,
        make_session: Callable[[Owner[OFConn]], OFConn],
        owner: Owner[OFConn],
    ) -> None:
        """
        :param name: ``bridge<->target``.
        :param max_backoff: seconds of the longest wait between two attempts.
        :param make_session: makes a session with the given owner.
        :param owner: hears of every session.
        """
        self._core = _Core(name, endpoint, _SessionFactory(self), clock, max_backoff)
        self._inputs = _machine(self._core)
        self._clock = clock
        self._make_session = make_session
        self._owner = owner

    @property
    def name(self) -> str:
        """``bridge<->target``."""
        return self._core.name

    @property
    def session(self) -> OFConn | None:
        """The session of now, if there is a transport."""
        return self._core.session

    @property
    def state(self) -> str:
        """``VOID``, ``BACKOFF``, ``CONNECTING``, ``GREETING``, ``ACTIVE`` or ``DISCONNECTING``."""
        return self._core.state

    @property
    def since(self) -> float:
        """When that began, in seconds of the clock."""
        return self._core.since

    @property
    def attempts(self) -> int:
        """Attempts since the last session that proved itself."""
        return self._core.attempts

    @property
    def last_error(self) -> str:
        """Why the last attempt failed or the last session ended; empty before that."""
        return self._core.last_error

    @property
    def sessions(self) -> int:
        """How many sessions have proved themselves."""
        return self._core.sessions

    @property
    def errors(self) -> Counter[str]:
        """Error messages sent, in sessions that are over too, by the error's name."""
        session = self._core.session
        if session is None or session.closed:
            return self._core.errors
        return self._core.errors + Counter(session.counters.errors)

    @property
    def retry_in(self) -> float | None:
        """Seconds until the next attempt; None: it waits for none."""
        timer = self._core.timer
        return None if timer is None else max(0.0, timer.getTime() - self._clock.seconds())

    def start(self) -> None:
        """Begin to dial."""
        self._inputs.start()

    def stop(self) -> Deferred[None]:
        """End for good; fires when nothing is open any more."""
        stopped: Deferred[None] = Deferred()
        self._core.stopped.append(stopped)
        self._inputs.stop()
        return stopped

    def set_max_backoff(self, seconds: float) -> None:
        """Wait no longer than that from now on, also if it waits already."""
        core = self._core
        core.max_backoff = seconds
        core.wait = min(core.wait, seconds)
        if core.timer is not None and core.timer.getTime() - self._clock.seconds() > seconds:
            core.timer.reset(seconds)

    def new_session(self) -> FrameProtocol:
        """A session for a transport that is about to be there."""
        session = self._core.session = self._make_session(self)
        return FrameProtocol(self._clock, session, session.settings.limits)

    # --- Owner -----------------------------------------------------------------------------------

    def session_ready(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._inputs.proved()
        self._owner.session_ready(session)

    def session_admitted(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._owner.session_admitted(session)

    def session_audience(self, session: OFConn) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._owner.session_audience(session)

    def session_lost(self, session: OFConn, reason: str) -> None:
        """See :class:`agent.connmgr.interfaces.Owner`."""
        self._core.errors.update(session.counters.errors)
        self._owner.session_lost(session, reason)
        self._inputs.lost(reason)
