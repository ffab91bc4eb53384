"""What a bridge with ``fail_mode = "standalone"`` does when nobody controls it.

:class:`FailOpen` is for a bridge with controllers.  When for some time none of them has been in
control, it deletes every rule and lets the bridge forward like an ordinary switch, by one hidden
rule with the action NORMAL, until a controller is in control again.

A controller that accepts connections is not yet in control: it may refuse the switch a moment
later, again and again, and a network that stopped forwarding each time would be down.  So the rule
stays until the controller has *admitted* the switch, which is when it does something that only who
controls this switch does.  A controller that waits for a packet before it does anything would wait
for ever, for NORMAL has them all; so it is sent packets that do not exist.

:class:`Standalone` is for a bridge without controllers, which forwards like an ordinary switch from
the start.  As in Open vSwitch its rule is an ordinary one, of the lowest priority, which whoever
connects to a listener can replace.

Times and names are those of Open vSwitch (``ofproto/fail-open.c``).
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from struct import Struct
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from agent.ofproto.hidden import HiddenRule, HiddenRules
from agent.ofproto.internal import Internal
from agent.ofproto.ofproto import OFProto
from agent.ofproto.operations import OperationGroup
from agent.openflow.actions import ApplyActions, Instructions, Output
from agent.openflow.errors import OpenFlowError
from agent.openflow.match import MATCH_ALL
from agent.openflow.messages import FlowMod, FlowModCommand, Port

PRIORITY: Final = 0xF0F0F0
"""``FAIL_OPEN_PRIORITY``."""
NORMAL: Final[Instructions] = (ApplyActions((Output(Port.NORMAL),)),)

BOGUS_INTERVAL: Final = 2.0
"""Seconds between two packets that do not exist."""
DEFAULT_PROBE: Final = 5.0
"""Seconds that stand for the probe interval of controllers which are not probed."""

_ETHERNET: Final = Struct("!6s6sH").pack
_RARP: Final = Struct("!HHBBH6sI6sI").pack
_RARP_TYPE: Final = 0x8035
_RARP_REQUEST: Final = 3


def trigger_duration(probes: Iterable[float]) -> float:
    """Seconds without a controller in control after which a bridge fails open.

    One interval passes before a silent controller is probed, another until it should have answered,
    and the third is to connect again.

    :param probes: the inactivity probes of the controllers in seconds; 0: none.
    """
    return 3 * max((probe or DEFAULT_PROBE for probe in probes), default=DEFAULT_PROBE)


def bogus_packet(random: Random) -> bytes:
    """A frame that makes a controller react: a RARP request of a host that there is not."""
    mac = (0x02 << 40 | random.getrandbits(40)).to_bytes(6, "big")
    rarp = _RARP(1, 0x0800, 6, 4, _RARP_REQUEST, mac, 0, mac, 0)
    return _ETHERNET(b"\xff" * 6, mac, _RARP_TYPE) + rarp


class Controllers(Protocol):
    """The controllers of a bridge: :class:`agent.connmgr.connmgr.ConnectionManager`.

    :ivar last_admitted: see there.
    """

    last_admitted: float

    @property
    def admitted(self) -> bool:
        """Whether one of them is in control."""

    @property
    def connected(self) -> bool:
        """Whether one of them is connected."""

    def bogus_packet_in(self, data: bytes) -> None:
        """Send them a packet that does not exist."""


class FailOpen:
    """Fail-open of a bridge that has controllers; an :class:`agent.connmgr.interfaces.Policy`.

    :ivar active: whether the bridge forwards by itself now.
    :ivar delay: seconds without a controller in control after which it does (see
        :func:`trigger_duration`); None: it never does.
    """

    _log = Logger()

    def __init__(
        self,
        switch: OFProto,
        clock: IReactorTime,
        controllers: Controllers,
        delay: float | None = None,
        random: Random | None = None,
    ) -> None:
        """:param random: where the addresses of hosts that there are not come from."""
        self.active = False
        self.delay = delay
        self._running = False
        self._switch = switch
        self._clock = clock
        self._controllers = controllers
        self._random = random or Random()
        self._rules = HiddenRules("fail-open", switch, clock)
        self._trigger: IDelayedCall | None = None
        self._bogus: IDelayedCall | None = None

    def start(self) -> None:
        """See :class:`agent.connmgr.interfaces.Policy`, like the rest."""
        self._running = True
        self.controllers_changed()

    def stop(self) -> None:
        """Leave no timer behind."""
        self._running = False
        self._disarm()
        self._stop_bogus()
        self._rules.stop()

    def set_delay(self, delay: float | None) -> None:
        """Change :attr:`delay`; the time that has passed already counts."""
        self.delay = delay
        self._disarm()
        self.controllers_changed()

    def controllers_changed(self) -> None:
        """Begin to wait, or end it; recover."""
        controllers = self._controllers
        if not self._running:
            return
        if self.delay is None or controllers.admitted:
            self._disarm()
            if self.active:
                self._recover()
        elif not self.active:
            if self._trigger is None:
                due = controllers.last_admitted + self.delay
                wait = max(0.0, due - self._clock.seconds())
                self._trigger = self._clock.callLater(wait, self._fail)
        elif not controllers.connected:
            self._stop_bogus()
        elif self._bogus is None:
            self._bogus = self._clock.callLater(BOGUS_INTERVAL, self._send_bogus)

    def ports_changed(self) -> None:
        """Makes no difference."""

    def flushed(self) -> None:
        """Put the rule back, if it is to be there."""
        self._rules.refresh()

    def _fail(self) -> None:
        self._trigger = None
        self._log.warn(
            "{bridge}: could not connect to controller (or switch failed controller's "
            "post-connection admission control policy) for {seconds:.0f} seconds, failing open",
            bridge=self._switch.name,
            seconds=self._clock.seconds() - self._controllers.last_admitted,
        )
        self.active = True
        self._switch.flush()
        self._rules.set([HiddenRule(PRIORITY, MATCH_ALL, NORMAL)])
        self.controllers_changed()

    def _recover(self) -> None:
        self._log.warn("{bridge}: no longer in fail-open mode", bridge=self._switch.name)
        self.active = False
        self._stop_bogus()
        self._rules.set([])

    def _send_bogus(self) -> None:
        self._bogus = self._clock.callLater(BOGUS_INTERVAL, self._send_bogus)
        self._controllers.bogus_packet_in(bogus_packet(self._random))

    def _disarm(self) -> None:
        if self._trigger is not None:
            self._trigger.cancel()
            self._trigger = None

    def _stop_bogus(self) -> None:
        if self._bogus is not None:
            self._bogus.cancel()
            self._bogus = None


class Standalone:
    """A bridge without controllers; an :class:`agent.connmgr.interfaces.Policy`.

    It adds its rule when there is no other: at the start and after a flush.

    :ivar enabled: whether it does.
    """

    _log = Logger()

    def __init__(self, switch: OFProto, enabled: bool = True) -> None:
        self.enabled = enabled
        self._running = False
        self._switch = switch
        self._requester = Internal(f"{switch.name}<->standalone", self._group_ended)

    def start(self) -> None:
        """See :class:`agent.connmgr.interfaces.Policy`, like the rest."""
        self._running = True
        self.flushed()

    def set_enabled(self, enabled: bool) -> None:
        """Become, or cease to be, an ordinary switch: rules of before are not those of either."""
        changed = enabled != self.enabled
        self.enabled = enabled
        if changed and self._running:
            self._switch.flush()

    def stop(self) -> None:
        """Add no rule any more."""
        self._running = False

    def controllers_changed(self) -> None:
        """There are none."""

    def ports_changed(self) -> None:
        """Makes no difference."""

    def flushed(self) -> None:
        """Add the rule.  Nothing is in flight, so that nothing has to be waited for."""
        if not self.enabled or not self._running:
            return
        request = FlowMod(FlowModCommand.ADD, MATCH_ALL, 0, NORMAL)
        try:
            self._switch.handle(request, self._requester)
        except OpenFlowError as error:
            self._complain(error)

    def _group_ended(self, group: OperationGroup) -> None:
        if group.error is not None:
            self._complain(group.error)

    def _complain(self, error: Exception) -> None:
        self._log.error(
            "{bridge}: cannot forward like an ordinary switch: {error}",
            bridge=self._switch.name,
            error=error,
        )
