"""Notices what others take away from a bridge, and has it put back.

Filters, qdiscs and chains can be removed by whoever may use tc.  The kernel tells so
(:mod:`drivers.tcflower.monitor`); which filters it was is found out by reading them all, unless it
said that, too.  The rules that lack one are *lost*: they are degraded until they are there again.
What becomes of them is a matter of policy (the option ``lost``): they are put back, or left for the
operator.

Somebody may be taking away again and again what is put back.  So there is a pause before each look,
which gets longer from one loss to the next, and shrinks only when nothing was lost for a while; and
there is one line in the log for each look that finds something.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.python.failure import Failure

from drivers.interfaces import IDriverHost
from drivers.tcflower import found as seen
from drivers.tcflower.changes import Block
from drivers.tcflower.devices import Devices
from drivers.tcflower.dumper import Dumper
from drivers.tcflower.entries import Entry
from drivers.tcflower.filters import Filter
from drivers.tcflower.found import Found
from drivers.tcflower.monitor import Key, Monitor
from drivers.tcflower.netlink import LOST as UNKNOWN
from drivers.tcflower.netlink import explain
from drivers.tcflower.rules import Rules

LEAST: Final = 0.05
"""Seconds from the first news to a look: what one command does is seen at once."""
MOST: Final = 30.0
"""Seconds from one look to the next, at most, when there is always something lost."""
QUIET: Final = 60.0
"""Seconds without a loss after which the next is looked at as soon as the first."""

LOST: Final = "somebody has removed or changed its filters"
NOWHERE: Final = "no device is part of the bridge"


class Guard:
    """See the module.

    :ivar losses: how many rules were lost so far.
    """

    _log = Logger()

    def __init__(
        self,
        block: Block,
        rules: Rules,
        devices: Devices,
        dumper: Dumper,
        host: IDriverHost,
        worker: Cooperator,
        restore: bool,
    ) -> None:
        """Look at nothing yet.

        :param worker: of :func:`drivers.tcflower.check.slices`.
        :param restore: whether what is lost is put back.
        """
        self.losses = 0
        self._block = block
        self._rules = rules
        self._devices = devices
        self._dumper = dumper
        self._host = host
        self._worker = worker
        self._restore = restore
        self._monitor: Monitor | None = None
        self._call: Any = None
        self._looking = False
        # What to look at: filters that are known, or all.
        self._suspects: set[Key] = set()
        self._all = False
        # The rules that were told to be degraded, and not to be right again.
        self._degraded: set[int] = set()
        self._pause = LEAST
        self._last = 0.0

    def open(self, monitor: Monitor) -> None:
        """Begin to listen."""
        self._monitor = monitor
        monitor.open(self._host.reactor)

    def close(self) -> None:
        """Listen no more."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def suspect(self, key: Key | None) -> None:
        """A filter may be gone or another; None: any."""
        if key is None:
            self._all = True
        else:
            self._suspects.add(key)
        self._later()

    def overrun(self) -> None:
        """Acknowledgements were lost, so that any filter may be gone or another.

        To put back what is being changed can lose others; so the next look is later each time.
        """
        if self._call is None and not self._looking:
            self._rest()
        self.suspect(None)

    def _later(self) -> None:
        """Look, when it is time."""
        if self._monitor is None or self._looking or self._call is not None:
            return
        since = self._host.reactor.seconds() - self._last
        if since > QUIET:
            self._pause = LEAST
        self._call = self._host.reactor.callLater(max(LEAST, self._pause - since), self._begin)

    def _begin(self) -> None:
        self._call = None
        self._looking = True
        keys, self._suspects = self._suspects, set()
        everything, self._all = self._all, False
        self._look(keys, everything).addErrback(self._failed).addBoth(self._looked)

    def _failed(self, failure: Failure) -> None:
        # Otherwise the driver has stopped meanwhile.
        if self._monitor is not None:
            self._log.failure("{bridge}: cannot look at filters", failure, bridge=self._host.name)

    def _looked(self, _: object) -> None:
        self._looking = False
        if self._all or self._suspects:
            self._later()

    @inlineCallbacks
    def _look(self, keys: set[Key], everything: bool) -> Generator[Deferred[Any], Any, None]:
        """Find out what is lost, and have it put back."""
        gone = yield self._devices.look()
        if gone and self._restore:
            yield self._devices.bind(gone)
        entries = self._rules.installer.entries
        if not len(self._devices):
            self._tell(f"all of {len(entries)} rules", {e.rule.handle for e in entries}, NOWHERE)
            return
        # What is being changed may be lost as well: it is not known to be there yet.
        busy = self._rules.turns.all()
        common = self._rules.common()
        if everything or gone:
            lost: list[Entry] = []
            there: dict[Key, Found] = {}
            before = list(entries)
            messages = yield self._dumper.messages(self._block.ask_all)
            yield self._worker.coiterate(self._compare(messages, there, before, lost))
            missing = [one for one in common if _wrong(one, there)]
            surplus = self._surplus(there.values())
        else:
            surplus = []
            lost = [entry for entry in entries if any(slot.key in keys for slot in entry.slots)]
            missing = [one for one in common if _key(one) in keys]
        handles = {entry.rule.handle for entry in lost}
        if lost or missing or gone:
            what = f"filters of {len(lost)} rules and {len(missing)} others"
            names = ", ".join(port.name for port in gone)
            self._tell(f"{what}, and the qdiscs of {names}" if gone else what, handles, LOST)
        if self._restore:
            for key in surplus:
                self._block.remove(key, self._answered)
            again = self._rules.wrong - handles
            if surplus or again:
                self._rest()
            # Something else may have put back what was degraded: that is told by doing it again.
            self._put_back(missing, handles | busy | again | self._degraded)

    def _surplus(self, there: Iterable[Found]) -> list[Key]:
        """The filters of rules that do not have them, and of tails that are none any more: what
        could not be taken back or removed."""
        entries = self._rules.installer.entries
        busy = self._rules.turns.all()
        common = {_key(one) for one in self._rules.common()}
        return [
            one.key
            for one in there
            if one.ours(self._block.number)
            and one.key not in self._rules.installer.left
            and (
                one.rule not in busy and one.key[2] not in entries.at(one.key[:2])
                if one.rule
                else one.key not in common
            )
        ]

    def _compare(
        self,
        messages: list[bytes],
        there: dict[Key, Found],
        before: list[Entry],
        lost: list[Entry],
    ) -> Generator[None, None, None]:
        """Which rules are not in the kernel as they should be, a little at a time.

        :param there: takes what there is.
        :param before: the rules that were there before the dump began.
        :param lost: takes those of them that are lost, unless something else has become of them.
        """
        for message in messages:
            found = seen.read(message, 0, len(message))
            if found is not None:
                there[found.key] = found
            yield
        get = self._rules.installer.entries.get
        for entry in before:
            if get(entry.rule.handle) is entry and any(
                _wrong(slot.filter, there) for slot in entry.slots
            ):
                lost.append(entry)
            yield

    def _tell(self, what: str, handles: set[int], why: str) -> None:
        """Something is lost: degrade its rules, and look later the next time."""
        self._rest()
        self.losses += len(handles)
        self._log.warn(
            "{bridge}: somebody has removed or changed {what}; {then}",
            bridge=self._host.name,
            what=what,
            then="it is put back" if self._restore else "it is left so",
        )
        if handles:
            self._degraded |= handles
            self._host.degraded_many(handles, why)

    def _rest(self) -> None:
        """Look later the next time."""
        self._pause = min(MOST, self._pause * 2)
        self._last = self._host.reactor.seconds()

    def _put_back(self, missing: list[Filter], handles: set[int]) -> None:
        """Install what is lost, what all rules need first."""
        wanted = set(self._rules.common())
        for one in missing:
            # While it was looked for, the last rule that ended there may have gone.
            if one in wanted:
                self._block.install_once(one, self._answered)
        left = len(handles)
        well: set[int] = set()

        def ended(handle: int, right: bool) -> None:
            nonlocal left
            left -= 1
            if right:
                well.add(handle)
                self._degraded.discard(handle)
            if not left:
                self._host.restored_many(well)

        for handle in handles:
            self._rules.put_back(handle, ended)

    def _answered(self, error: int, text: str) -> None:
        if error:
            if error != UNKNOWN:
                self._log.error(
                    "{bridge}: cannot put a filter back: {why}",
                    bridge=self._host.name,
                    why=explain(error, text),
                )
            self.suspect(None)


def _key(one: Filter) -> Key:
    return one.chain, one.pref, one.handle


def _wrong(one: Filter, there: dict[Key, Found]) -> bool:
    """Whether a filter is not there, or does something else."""
    found = there.get(_key(one))
    return found is None or bool(seen.difference(seen.of(one), found))
