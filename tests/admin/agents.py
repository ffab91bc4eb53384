"""A running agent, as far as commands look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from agent.admin.unixctl import CommandError, CommandRegistry
from agent.connmgr.capture import Captures
from agent.connmgr.status import ConnectionStatus
from agent.connmgr.traffic import Traffic
from agent.ofproto.ofproto import OFProto
from drivers.abilities import IClog, IFaultInjection, ISoftwareRules, SoftwareReason
from drivers.testing import ScriptableDriver


@implementer(ISoftwareRules)
class HalfSoftwareDriver(ScriptableDriver):
    """Executes some rules in software.

    :ivar reasons: why, by their handles.
    """

    def __init__(self, reasons: Mapping[int, SoftwareReason]) -> None:
        super().__init__()
        self.reasons = reasons

    def software_reasons(self) -> Mapping[int, SoftwareReason]:
        """What the test says."""
        return self.reasons


@attrs.define
class FakeConnections:
    """Connections, which a test makes up."""

    found: list[ConnectionStatus] = attrs.Factory(list)
    traffic: Traffic = attrs.Factory(Traffic)
    captures: Captures = attrs.Factory(lambda: Captures(lambda name: None, lambda: 0.0))

    def connections(self) -> Sequence[ConnectionStatus]:
        """What the test has put there."""
        return self.found


@attrs.define
class FakeBridge:
    """A switch, and made-up connections."""

    ofproto: OFProto
    connections: FakeConnections = attrs.Factory(FakeConnections)


@attrs.define
class FakeAgent:
    """Some bridges.

    :ivar run_dir: where its files are.
    :ivar exits: how often it was told to stop.
    :ivar reloads: what each reload answers, or fails with.
    """

    bridges: dict[str, FakeBridge] = attrs.Factory(dict)
    exits: int = 0
    run_dir: Path = Path("/run/ofagent")
    reloads: list[object] = attrs.Factory(list)

    def reload(self) -> Deferred[Any]:
        """What the test has put there."""
        return execute(self._reload)

    def _reload(self) -> object:
        result = self.reloads.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def exit(self) -> None:
        """Count it."""
        self.exits += 1


@implementer(IClog, IFaultInjection)
class FaultyDriver(ScriptableDriver):
    """A driver that can be halted, and made to fail; it does neither, but remembers it."""

    clogged = False

    def clog(self) -> None:
        """See :class:`drivers.abilities.IClog`, like the rest."""
        self.clogged = True

    def unclog(self) -> None:
        """Go on."""
        self.clogged = False

    def inject(self, words: Sequence[str]) -> str:
        """Repeat the words, unless they are not ``fail``."""
        if words[0] != "fail":
            raise ValueError("a fault is: fail")
        return " ".join(words)


class CommandCase(SynchronousTestCase):
    """Tests of commands.

    :ivar registry: set by the test.
    """

    registry: CommandRegistry

    def run_command(self, name: str, *args: str) -> str:
        """Execute a command, which answers at once."""
        return self.successResultOf(self.registry.execute(name, args))

    def command_refused(self, name: str, *args: str) -> str:
        """The text of the error."""
        result: Deferred[str] = self.registry.execute(name, args)
        return str(self.failureResultOf(result, CommandError).value)
