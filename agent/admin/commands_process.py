"""Commands about the process: its version and end, its log, its counters and its memory."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

import agent as package
from agent.admin.commands_bridges import Agent
from agent.admin.coverage import Coverage
from agent.admin.schema import ConfigError
from agent.admin.unixctl import CommandError, CommandRegistry
from agent.admin.vlog import Vlog


class ProcessCommands:
    """``version``, ``exit``, ``ofagent/reload`` and ``memory/show``."""

    def __init__(self, agent: Agent, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock

    def register(self, registry: CommandRegistry) -> None:
        """Add the commands."""
        registry.register("version", "", 0, 0, self.version)
        registry.register("exit", "", 0, 0, self.exit)
        registry.register("ofagent/reload", "", 0, 0, self.reload)
        registry.register("memory/show", "", 0, 0, self.memory)

    @staticmethod
    def version() -> str:
        """The program and its version."""
        return f"ofagent {package.__version__}"

    def exit(self) -> str:
        """Stop the agent, when this was answered."""
        self._clock.callLater(0, self._agent.exit)
        return ""

    def reload(self) -> Deferred[str]:
        """Read the configuration again; what has changed, when it has."""

        def refused(failure: Failure) -> NoReturn:
            failure.trap(ConfigError)
            raise CommandError(f"nothing has changed: {failure.getErrorMessage()}")

        return self._agent.reload().addCallbacks(str, refused)

    def memory(self) -> str:
        """What memory is used for, and how much there is in all: ``name:count`` of each."""
        bridges = list(self._agent.bridges.values())
        switches = [bridge.ofproto for bridge in bridges]
        usage = {
            "bridges": len(bridges),
            "connections": sum(len(bridge.connections.connections()) for bridge in bridges),
            "groups": sum(len(switch.ledger.groups) for switch in switches),
            "operations": sum(
                len(group.operations) for switch in switches for group in switch.ledger.groups
            ),
            "ports": sum(len(switch.driver.ports()) for switch in switches),
            "rules": sum(table.rules.count for switch in switches for table in switch.tables),
            **resident(),
        }
        return " ".join(f"{name}:{usage[name]}" for name in sorted(usage))


def resident() -> dict[str, int]:
    """The memory that the process has now, and the most it ever had, in kB."""
    found = {"peak-rss-kB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return found  # there is no such file but in Linux
    return {**found, "rss-kB": pages * resource.getpagesize() // 1024}


class LogCommands:
    """``vlog/...``."""

    def __init__(self, vlog: Vlog) -> None:
        self._vlog = vlog

    def register(self, registry: CommandRegistry) -> None:
        """Add the commands."""
        registry.register("vlog/list", "", 0, 0, self._vlog.levels.show)
        registry.register("vlog/set", "[MODULE[:DESTINATION[:LEVEL]]]...", 0, None, self.change)
        registry.register("vlog/reopen", "", 0, 0, self.reopen)
        registry.register("vlog/enable-rate-limit", "[MODULE]...", 0, None, self.limit)
        registry.register("vlog/disable-rate-limit", "[MODULE]...", 0, None, self.unlimit)

    def change(self, *specs: str) -> str:
        """Change levels; without an argument, all are DBG."""
        for spec in specs or ("",):
            try:
                self._vlog.levels.set(spec)
            except ValueError as error:
                raise CommandError(f'{error} (in "{spec}")') from None
        return ""

    def reopen(self) -> str:
        """Open the log file anew."""
        try:
            if not self._vlog.reopen():
                raise CommandError("Logging to file not configured")
        except OSError as error:
            raise CommandError(f"the log file cannot be opened: {error.strerror}") from None
        return ""

    def limit(self, *modules: str) -> str:
        """Limit how often lines may come, as it is from the beginning."""
        self._vlog.levels.unlimited -= self._modules(modules)
        return ""

    def unlimit(self, *modules: str) -> str:
        """Write lines however often they come."""
        self._vlog.levels.unlimited |= self._modules(modules)
        return ""

    def _modules(self, names: tuple[str, ...]) -> set[str]:
        levels = self._vlog.levels
        if not names or any(name.lower() == "any" for name in names):
            return set(levels.modules())
        try:
            return {levels.find(name) for name in names}
        except ValueError as error:
            raise CommandError(f"MODULE: {error}") from None


class CoverageCommands:
    """``coverage/...``."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage

    def register(self, registry: CommandRegistry) -> None:
        """Add the commands."""
        registry.register("coverage/show", "", 0, 0, self._coverage.show)
        registry.register("coverage/read-counter", "COUNTER", 1, 1, self.read)

    def read(self, counter: str) -> str:
        """One counter."""
        try:
            return str(self._coverage.total(counter))
        except KeyError:
            raise CommandError(f'COUNTER: no such counter "{counter}"') from None
