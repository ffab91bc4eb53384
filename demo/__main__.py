"""``make demo``: starts the default agent and two controllers, and says where to look."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final, cast

from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny

from agent.admin.config import load
from agent.admin.schema import ConfigError
from agent.admin.values import show_http
from demo.controller import Controller

CONFIG: Final = Path(__file__).parents[1] / "etc" / "ofagent.toml"
TRIES: Final = 100
"""How often an agent that is being started is called, ten times a second."""


class AgentProcess(ProcessProtocol):
    """The agent; the demonstration ends with it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._last = b""
        self._stopped = False
        self.over = False
        self.failed = False

    def stop(self) -> None:
        """End it."""
        self._stopped = True
        if not self.over:
            cast(Any, self.transport).signalProcess("TERM")

    def outReceived(self, data: bytes) -> None:
        """Its log; the end of it is shown if it goes by itself."""
        self._last = (self._last + data)[-2000:]

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """It is gone, perhaps because it could not start."""
        self.over = True
        if not self._stopped:
            self.failed = True
            sys.stderr.write(self._last.decode(errors="replace"))
            self._reactor.stop()


def main() -> int:
    """Run until it is interrupted; returns the exit status."""
    reactor: Any = namedAny("twisted.internet.reactor")
    try:
        config = load(CONFIG, str(CONFIG))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    (bridge, *_) = config.bridges
    target = next(one.target for one in bridge.listen if not one.target.local)
    agent = AgentProcess(reactor)
    twistd = Path(sys.executable).with_name("twistd")
    reactor.spawnProcess(
        agent,
        sys.executable,
        [sys.executable, str(twistd), "--nodaemon", "--pidfile=", "ofagent", "-c", str(CONFIG)],
        env=os.environ,
    )

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    async def dial(name: str, network: int) -> None:
        endpoint = HostnameEndpoint(reactor, target.host, target.port)
        for _ in range(TRIES):
            try:
                await connectProtocol(endpoint, Controller(name, network, reactor, say))
            except Exception:
                if agent.over:
                    return
                await deferLater(reactor, 0.1)
            else:
                return

    async def begin() -> None:
        await dial("controller 1", 1)
        if agent.over:
            return
        if config.agent.http is not None:
            say(f"\nLook at http://{show_http(config.agent.http)}/ ; stop with Ctrl-C.\n")
        await deferLater(reactor, 2.0)
        await dial("controller 2", 2)

    reactor.callWhenRunning(lambda: ensureDeferred(begin()))
    reactor.addSystemEventTrigger("before", "shutdown", agent.stop)
    reactor.run()
    return int(agent.failed)


if __name__ == "__main__":
    sys.exit(main())
