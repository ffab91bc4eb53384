"""The commands that capture one connection into a file: ``bridge/capture``.

A file whose path is relative is in the agent's ``run_dir``: where a daemon was started says nothing
to people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.admin.commands_bridges import Agent, choose
from agent.admin.unixctl import CommandError, CommandRegistry
from agent.connmgr.capture import MAX_BYTES, CaptureRefused, Captures, NoConnection

MOST: Final = 4096
"""The highest number of megabytes."""


class CaptureCommands:
    """``bridge/capture`` and ``bridge/capture-stop``."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def register(self, registry: CommandRegistry) -> None:
        """Add the commands."""
        registry.register("bridge/capture", "BRIDGE CONNECTION FILE [MEGABYTES]", 3, 4, self.start)
        registry.register("bridge/capture-stop", "BRIDGE CONNECTION", 2, 2, self.stop)

    def start(self, bridge: str, connection: str, file: str, megabytes: str = "") -> str:
        """Capture a connection, named as ``bridge/connections`` names it, with its bridge or
        without, into a new file."""
        most = MAX_BYTES
        if megabytes:
            if not (megabytes.isascii() and megabytes.isdecimal() and len(megabytes) <= 4):
                megabytes = "0"
            if not 1 <= int(megabytes) <= MOST:
                raise CommandError(f"MEGABYTES: must be an integer from 1 to {MOST}")
            most = int(megabytes) * 1024 * 1024
        if not file or "\0" in file:
            raise CommandError("FILE: must be the path of a file")
        captures = self._captures(bridge)
        path = Path(self._agent.run_dir, file)
        try:
            captures.start(self._name(bridge, connection), path, most)
        except CaptureRefused as refused:
            raise _error(refused) from None
        return f"capturing into {path}"

    def stop(self, bridge: str, connection: str) -> str:
        """End a capture; says what it has got."""
        try:
            return self._captures(bridge).stop(self._name(bridge, connection))
        except CaptureRefused as refused:
            raise _error(refused) from None

    def _captures(self, bridge: str) -> Captures:
        return choose(self._agent, bridge)[bridge].connections.captures

    @staticmethod
    def _name(bridge: str, connection: str) -> str:
        return connection if "<->" in connection else f"{bridge}<->{connection}"


def _error(refused: CaptureRefused) -> CommandError:
    about = "CONNECTION: " if isinstance(refused, NoConnection) else ""
    return CommandError(f"{about}{refused}")
