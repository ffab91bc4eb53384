"""What happens, told to everybody who looks: server-sent events.

Twice a second everybody gets the same piece of JSON: the state of each bridge, and the groups of
operations that have ended since.  It is made once, and only while somebody looks; who does not read
gets none until there is room again.  So a page costs the agent little, and nothing when it is shut.

Source of the format: the HTML Living Standard, section 9.2.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from agent.admin.commands_bridges import Agent
from agent.admin.report import Data, Report, brief
from agent.ofproto.ledger import OperationLedger
from agent.ofproto.operations import OperationGroup

INTERVAL: Final = 0.5
"""Seconds between two pieces."""

MAX_WATCHERS: Final = 20
"""Who can look at once."""

MAX_ENDED: Final = 200
"""Groups of one bridge that are listed in one piece; of more, the last."""

MAX_GROUPS: Final = 100
"""Groups in flight that are listed, of each bridge."""


@implementer(IPushProducer)
class Watcher:
    """Somebody who looks.

    :ivar choked: whether there is no room to write.
    """

    def __init__(self, request: Any) -> None:
        self.request = request
        self.choked = False
        request.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """Tell, unless it does not read."""
        if not self.choked:
            self.request.write(data)

    def end(self) -> None:
        """There is no more."""
        self.request.unregisterProducer()
        self.request.finish()

    def pauseProducing(self) -> None:
        """See :class:`twisted.internet.interfaces.IPushProducer`, like the next two."""
        self.choked = True

    def resumeProducing(self) -> None:
        """There is room again."""
        self.choked = False

    def stopProducing(self) -> None:
        """It is gone; the request says so, too."""
        self.choked = True


class _Ended:
    """What has ended on one bridge since the last piece."""

    def __init__(self, ledger: OperationLedger) -> None:
        self.ledger = ledger
        self.count = 0
        self.failed = 0
        self.groups: deque[Data] = deque(maxlen=MAX_ENDED)
        ledger.watchers.append(self.note)

    def note(self, group: OperationGroup) -> None:
        """A group has ended."""
        self.count += 1
        self.failed += group.error is not None
        self.groups.append(brief(group, self.ledger.clock.seconds()))

    def take(self) -> Data:
        """What there was, and begin anew."""
        data = {"count": self.count, "failed": self.failed, "groups": list(self.groups)}
        self.count = self.failed = 0
        self.groups.clear()
        return data

    def stop(self) -> None:
        """Note no more."""
        self.ledger.watchers.remove(self.note)


class Feed:
    """All who look.

    :param report: what they are told.
    """

    def __init__(self, agent: Agent, report: Report, clock: IReactorTime) -> None:
        self._agent = agent
        self._report = report
        self._clock = clock
        self._watchers: dict[Watcher, None] = {}
        self._ended: dict[str, _Ended] = {}
        self._loop: LoopingCall | None = None

    @property
    def full(self) -> bool:
        """Whether nobody else can look."""
        return len(self._watchers) >= MAX_WATCHERS

    def add(self, request: Any) -> None:
        """Somebody looks, and sees everything as it is now."""
        watcher = Watcher(request)
        self._watchers[watcher] = None
        finished = request.notifyFinish()
        finished.addBoth(lambda _: self._gone(watcher))
        if self._loop is None:
            self._loop = LoopingCall(self._tell)
            self._loop.clock = self._clock
            self._loop.start(INTERVAL, now=False)
        self._watch()
        # Without waiting for the others' next piece; what ended since is for all of them.
        watcher.write(self._piece({}))

    def stop(self) -> None:
        """Let all go."""
        for watcher in list(self._watchers):
            watcher.end()

    def _gone(self, watcher: Watcher) -> None:
        del self._watchers[watcher]
        if not self._watchers:
            for ended in self._ended.values():
                ended.stop()
            self._ended.clear()
            if self._loop is not None:
                self._loop.stop()
                self._loop = None

    def _watch(self) -> None:
        """Note what ends, on the bridges that there are now."""
        ledgers = {name: one.ofproto.ledger for name, one in self._agent.bridges.items()}
        for name, ended in list(self._ended.items()):
            if ledgers.get(name) is not ended.ledger:
                ended.stop()
                del self._ended[name]
        for name, ledger in ledgers.items():
            if name not in self._ended:
                self._ended[name] = _Ended(ledger)

    def _tell(self) -> None:
        self._watch()
        piece = self._piece({name: ended.take() for name, ended in self._ended.items()})
        for watcher in self._watchers:
            watcher.write(piece)

    def _piece(self, ended: dict[str, Data]) -> bytes:
        bridges = [self._bridge(name, ended.get(name)) for name in sorted(self._agent.bridges)]
        data = {**self._report.agent(), "time": self._clock.seconds(), "bridges": bridges}
        return b"".join(_event(json.dumps(data)))

    def _bridge(self, name: str, ended: Data | None) -> Data:
        report = self._report
        bridge = self._agent.bridges[name]
        now = self._clock.seconds()
        groups = list(bridge.ofproto.ledger.groups)
        return {
            **report.bridge(name),
            "who": report.connections(name),
            "in_flight": [brief(group, now) for group in groups[:MAX_GROUPS]],
            "ended": ended or {"count": 0, "failed": 0, "groups": []},
            "memory": report.memory(bridge),
            "facts": report.driver_facts(bridge),
        }


def _event(text: str) -> Iterable[bytes]:
    yield b"data: "
    yield text.encode()
    yield b"\n\n"
