"""Commands about the drivers: what they say of themselves, and faults on demand."""

from __future__ import annotations

from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from agent.admin.commands_bridges import Agent, able, choose
from agent.admin.unixctl import CommandError, CommandRegistry
from drivers.abilities import IChecking, IFaultInjection


class DriverCommands:
    """``driver/...``."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def register(self, registry: CommandRegistry) -> None:
        """Add the commands."""
        registry.register("driver/show", "[BRIDGE]", 0, 1, self.show)
        registry.register("driver/check", "BRIDGE", 1, 1, self.check)
        registry.register("driver/fault", "BRIDGE WORD...", 2, None, self.fault)

    def show(self, bridge: str | None = None) -> str:
        """What the drivers say of themselves, and what the agent has seen of them."""
        lines = []
        for name, one in sorted(choose(self._agent, bridge).items()):
            driver = one.ofproto.driver
            lines.append(f"{name}: {driver.name}")
            lines += [f"  {fact}: {value}" for fact, value in driver.show().items()]
            lines.append(f"  late completions: {one.ofproto.ledger.late}")
            lines.append(f"  reads without an answer: {one.ofproto.reads.unanswered}")
        return "\n".join(lines)

    def check(self, bridge: str) -> Deferred[str]:
        """Compare the hardware with the flow tables: a line for each thing that is wrong."""
        bridges = choose(self._agent, bridge)
        driver = able(bridges, lambda one: IChecking(one, None), "can read its hardware")[bridge]

        def failed(failure: Failure) -> NoReturn:
            failure.trap(OSError)
            raise CommandError(f"the hardware cannot be read: {failure.getErrorMessage()}")

        return driver.check().addCallbacks(
            lambda wrong: "\n".join(wrong) or "the hardware has what the flow tables have", failed
        )

    def fault(self, bridge: str, *words: str) -> str:
        """Make the hardware fail, as the words say, which are the driver's."""
        bridges = choose(self._agent, bridge)
        driver = able(bridges, lambda one: IFaultInjection(one, None), "has faults")[bridge]
        try:
            return driver.inject(words)
        except ValueError as error:
            raise CommandError(f"WORD: {error}") from None
