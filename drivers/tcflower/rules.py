"""Operations on rules and groups, and the rules again when what they depend on changes.

A rule is translated with what the bridge is like (:mod:`drivers.tcflower.view`) and brought into
the kernel (:mod:`drivers.tcflower.installer`).  When a port or a group changes, the rules that
depend on it are translated again, and where something else comes of it, that takes the place of
what is there; a rule of which nothing comes any more is degraded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.logger import Logger

from agent.openflow.errors import BAD_OUT_PORT, FLOW_MOD_UNKNOWN, TABLE_FULL, OpenFlowError
from agent.packet.classifier import Classifier
from drivers.abilities import SoftwareReason
from drivers.interfaces import IDriverHost, IGroup, IOperation, IRule, TableCapabilities
from drivers.tcflower import pack
from drivers.tcflower.actions import Policer
from drivers.tcflower.changes import ADDING, Block, Done, End, Refusal
from drivers.tcflower.cpu import Cpu
from drivers.tcflower.entries import Entry
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.ground import Ground, Site
from drivers.tcflower.installer import Installer
from drivers.tcflower.left import Left
from drivers.tcflower.netlink import explain
from drivers.tcflower.places import MAX_PRIORITY
from drivers.tcflower.ports import TcPort
from drivers.tcflower.template import Templates
from drivers.tcflower.translate import Translation, in_software, translate
from drivers.tcflower.turns import Turns
from drivers.tcflower.upcall import to_software
from drivers.tcflower.view import View, dropped

Tables = Mapping[int, Classifier[IRule]]
"""What the software goes by: the rules that are in the kernel, by the number of their table."""


class Rules:
    """The rules of a bridge in its block.

    :ivar installer: has what is in the kernel for them.
    :ivar ground: and what is there besides.
    :ivar refused: how many operations were refused.
    :ivar turns: which of them are being changed.
    :ivar wrong: which of them are degraded because the kernel has refused what they shall be.
    """

    _log = Logger()

    def __init__(
        self,
        block: Block,
        ports: Sequence[TcPort],
        tables: Tables,
        sizes: Sequence[TableCapabilities],
        flags: FilterFlags,
        host: IDriverHost,
        meters: Mapping[int, Policer],
        patience: float,
        cpu: Cpu | None,
        fallback: bool,
        end: End,
    ) -> None:
        """Begin without any, with the ports as they are.

        :param meters: what filters name meters by, by number; those that a rule names are there.
        :param patience: seconds from the first rule until what is left of an earlier run goes.
        :param cpu: by what packets come to the software; None: none do.
        :param fallback: whether the software executes what flower cannot express.
        :param end: completes operations.
        """
        self.installer = Installer(block, flags, host.now)
        self.refused = 0
        self._block = block
        self._ports = ports
        self._cpu = cpu
        self._fallback = fallback
        self._ended = end
        self._upcall = dropped if cpu is None else to_software
        self._tables = tables
        self._sizes = {table.table_id: table.max_entries for table in sizes}
        self._host = host
        self.ground = Ground(self._site(), flags, block.cookie(0))
        self._entries = self.installer.entries
        self._groups: dict[int, IGroup] = {}
        self._meters = meters
        self._templates = Templates(block, flags)
        self._view = self._seen()
        self.turns = Turns()
        self.wrong: set[int] = set()
        # Those that are degraded because nothing comes of them now.
        self._useless: set[int] = set()
        self._turn: Any = None
        self._patience = patience
        self._ending: Any = None

    def stop(self) -> None:
        """Translate nothing any more."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    # Operations.

    def room(self, table_id: int) -> int:
        """How many more rules a table takes."""
        return self._sizes[table_id] - self._tables[table_id].count

    def set(self, operation: IOperation) -> None:
        """Have a rule as it shall be."""
        rule = operation.rule
        if not self.turns.begin(rule.handle, self.set, operation):
            return
        old = self._entries.get(rule.handle)
        done = partial(self._was_set, operation, old, self._view)
        if old is None:
            table = self._tables[rule.table_id]
            if table.count >= self._sizes[rule.table_id]:
                self._end(operation, OpenFlowError(TABLE_FULL, f"{table.count} rules"))
                return
            if self.installer.left:
                # It may claim something of that, and is not to be made blindly.
                self._wait_for_claims()
            else:
                known = self._templates.find(rule)
                if known is not None:
                    answered = self._or_software(rule, old, done, known[1])
                    self.installer.install_alike(rule, *known, answered)
                    return
        try:
            wanted = self.translate(rule)
        except OpenFlowError as error:
            self.refused += 1
            self._end(operation, error)
            return
        for one in self.ground.prepare(rule):
            self._install(one)
        self.installer.install(rule, wanted, old, self._or_software(rule, old, done, wanted))
        self._templates.learn(rule, wanted)

    def _or_software(self, rule: IRule, old: Entry | None, done: Done, wanted: Translation) -> Done:
        """What hears whether a rule's filters are there: if the kernel has not what they need, the
        software executes the rule instead.

        :param old: what the rule has until then.
        """
        if not self._fallback or wanted.upcall:
            return done

        def answered(refusal: Refusal | None) -> None:
            if refusal is None or not refusal.lacking:
                done(refusal)
                return
            reason = SoftwareReason(FLOW_MOD_UNKNOWN.name, f"tc flower: {refusal}")
            try:
                instead = in_software(rule, wanted, self._view, reason)
            except OpenFlowError:
                done(refusal)
                return
            if old is not None and old.rule is rule and old.own == instead:
                done(None)
                return
            self.installer.install(rule, instead, old, done)
            # Others like it need not be tried; when what they depend on changes, all are again.
            self._templates.learn(rule, instead)

        return answered

    def _was_set(
        self, operation: IOperation, former: Entry | None, view: View, refusal: Refusal | None
    ) -> None:
        """The filters of a rule are there or not.

        :param former: what it had before.
        :param view: what it was translated with.
        """
        rule = operation.rule
        if refusal is None:
            self._tables[rule.table_id].put(rule)
            self._right(rule.handle)
            entry = None if view is self._view else self._entries.get(rule.handle)
            if entry is None:
                self._end(operation)
            else:
                # Something has changed meanwhile.
                self._renew(entry, partial(self._end, operation))
            return
        self.refused += 1
        if refusal.broken:
            if former is not None:
                self._refused(former.rule.handle, refusal)
            self._block.doubt()
        self._end(operation, OpenFlowError(FLOW_MOD_UNKNOWN, f"tc flower: {refusal}"))

    def delete(self, operation: IOperation) -> None:
        """Have a rule no more."""
        rule = operation.rule
        if not self.turns.begin(rule.handle, self.delete, operation):
            return
        entry = self._entries.get(rule.handle)
        if entry is None:
            self._end(operation)
            return

        def answered(refusal: Refusal | None) -> None:
            if refusal is None:
                self._tables[rule.table_id].remove(rule.match, rule.priority)
                self._forget(rule.handle)
                self._end(operation)
            else:
                error = OpenFlowError(FLOW_MOD_UNKNOWN, f"tc flower: {refusal}")
                self._end(operation, error)

        self.installer.remove(entry, answered)

    def _end(self, operation: IOperation, error: OpenFlowError | None = None) -> None:
        self.turns.end(operation.rule.handle)
        self._ended(operation, error)

    def set_group(self, number: int, group: IGroup | None, done: Callable[[], None]) -> None:
        """Have a group as it shall be, and the rules that lead there.

        :param group: None: it shall be no more.
        :param done: called when that is so, at once or later.
        """
        if group is None:
            self._groups.pop(number, None)
        else:
            self._groups[number] = group
        self._view = self._seen()
        waiting = [
            entry.rule.handle for entry in self._entries if number in entry.translation.groups
        ]
        left = len(waiting) + 1

        def ready() -> None:
            nonlocal left
            left -= 1
            if not left:
                done()

        for handle in waiting:
            self._again(handle, ready)
        ready()

    def translate(self, rule: IRule) -> Translation:
        """What a rule is in the kernel.

        :raises OpenFlowError: when it cannot be there.
        """
        if rule.priority > MAX_PRIORITY and self._cpu is None:
            # It outputs to NORMAL, and the like.
            raise OpenFlowError(BAD_OUT_PORT, "tc flower cannot do what the agent itself asks for")
        return translate(rule, self._view, self._fallback)

    def expected(self, rule: IRule) -> Translation:
        """What there should be of a rule, as far as the kernel has what it needs.

        :raises OpenFlowError: when it cannot be there.
        """
        wanted = self.translate(rule)
        entry = self._entries.get(rule.handle)
        if entry is None or entry.translation.lacked is None or wanted.upcall:
            return wanted
        return in_software(rule, wanted, self._view, entry.translation.lacked)

    def _install(self, one: Filter) -> None:
        """Have a filter that is no rule's."""
        self.installer.left.claim(one)
        number = self._block.number
        # If it has to be asked for again, another may be wanted there by then.
        self._block.request(
            lambda n: pack.new_filter(self.ground.now(one), number, ADDING, n),
            self._ground_answered,
        )

    def _ground_answered(self, error: int, text: str) -> None:
        if error:
            self._log.error(
                "{bridge}: tc flower: {why}", bridge=self._host.name, why=explain(error, text)
            )
            self._block.doubt()

    # What they depend on.

    def ports_changed(self) -> None:
        """Translate all rules again that depend on ports, after this turn."""
        if self._turn is None:
            self._turn = self._host.reactor.callLater(0, self._look_again)

    def look_at_ground(self) -> None:
        """See whether what is there besides rules is still as it should be, and change it."""
        install, remove = self.ground.change(self._site())
        for one in install:
            self._install(one)
        for one in remove:
            self._block.remove(one.place, self._ground_answered)

    def _look_again(self) -> None:
        self._turn = None
        self.look_at_ground()
        view = self._seen()
        if view == self._view:
            return
        self._view = view
        for entry in list(self._entries):
            if entry.translation.ports:
                self._again(entry.rule.handle, lambda: None)

    def _seen(self) -> View:
        """The ports and groups as they are now."""
        # What was translated with another view holds no more.
        self._templates.clear()
        there = [port for port in self._ports if port.ifindex]
        views = {port.number: port.view() for port in there}
        # Without such a port rules set them to tell packets apart, which the software does, too.
        tunnels = not self._fallback or any(port.tunnel for port in there)
        return View(views, self._groups, self._meters, self._upcall, tunnels)

    def _site(self) -> Site:
        """What the filters that are no rule's depend on, as it is now."""
        there = [(place, port) for place, port in enumerate(self._ports) if port.ifindex]
        return Site(
            {port.name: port.ifindex for _, port in there if port.closed},
            {port.name: (place, port.ifindex) for place, port in there},
            None if self._cpu is None else self._cpu.index,
            self._cpu is not None and self._host.miss_to_controller,
        )

    def _again(self, handle: int, ready: Callable[[], None]) -> None:
        """Translate a rule again when nothing else is done to it, if it is still there then."""
        if not self.turns.begin(handle, self._again, handle, ready):
            return

        def renewed() -> None:
            self.turns.end(handle)
            ready()

        entry = self._entries.get(handle)
        if entry is None:
            renewed()
        else:
            self._renew(entry, renewed)

    def _renew(self, entry: Entry, ready: Callable[[], None], anew: bool = False) -> None:
        """Translate a rule again, and change what has become of it.

        :param anew: whether it is installed, too, if nothing else has.
        """
        handle = entry.rule.handle

        def answered(refusal: Refusal | None) -> None:
            if refusal is None:
                self._right(handle)
            else:
                self._refused(handle, refusal)
            ready()

        try:
            wanted = self.translate(entry.rule)
        except OpenFlowError as error:
            self.wrong.discard(handle)
            self._useless.add(handle)
            self._host.degraded(handle, str(error))
            ready()
            return
        if wanted == entry.own and not anew:
            answered(None)
        else:
            done = self._or_software(entry.rule, entry, answered, wanted)
            self.installer.install(entry.rule, wanted, entry, done)

    def _refused(self, handle: int, refusal: Refusal) -> None:
        """The kernel has not made a rule what it should be; it is tried again, in the long run."""
        self.wrong.add(handle)
        self._host.degraded(handle, str(refusal))
        self._block.doubt()

    def _right(self, handle: int) -> None:
        """A rule is what it should be."""
        if handle in self.wrong or handle in self._useless:
            self._forget(handle)
            self._host.restored(handle)

    def _forget(self, handle: int) -> None:
        self.wrong.discard(handle)
        self._useless.discard(handle)

    # What an earlier run has left.

    def adopt(self, left: Left) -> None:
        """There is something, which rules may claim."""
        self.ground.adopt(left)
        self.installer.adopt(left)
        if left:
            self._log.info(
                "{bridge}: {count} filters are left of an earlier run",
                bridge=self._host.name,
                count=len(left),
            )

    def forget_left(self, tables: Collection[int], done: Callable[[], None]) -> None:
        """Have it no more: see :class:`drivers.abilities.ILeftovers`."""
        self._remove_left(self.installer.left.of_tables(tables), done)

    def _wait_for_claims(self) -> None:
        """A controller has begun to fill the tables: what it does not ask for soon shall go."""
        if self._ending is None:
            self._ending = self._host.reactor.callLater(self._patience, self._end_left)

    def _end_left(self) -> None:
        self._ending = None
        self._remove_left(self.installer.left.take(), lambda: None)

    def _remove_left(self, gone: Sequence[tuple[int, int, int]], done: Callable[[], None]) -> None:
        left = len(gone) + 1

        def answered(error: int, text: str) -> None:
            nonlocal left
            if error:
                self._ground_answered(error, text)
            left -= 1
            if not left:
                done()

        for one in gone:
            self._block.remove(one, answered)
        if gone:
            self._log.info(
                "{bridge}: {count} filters of an earlier run, for which nobody asked, are removed",
                bridge=self._host.name,
                count=len(gone),
            )
        answered(0, "")

    # What others have removed.

    def common(self) -> list[Filter]:
        """The filters that are no rule's alone: the ends of chains, and tails."""
        return [*self.ground.filters(), *self.installer.ends.all(self._block.cookie(0))]

    def put_back(self, handle: int, done: Callable[[int, bool], None]) -> None:
        """Install the filters of a rule once more when nothing else is done to it; those that it
        should have, if it is one of :attr:`wrong`.

        :param done: told of it by its handle, and whether it is right then, or no rule any more.
        """
        if not self.turns.begin(handle, self.put_back, handle, done):
            return

        def ended() -> None:
            self.turns.end(handle)
            done(handle, handle not in self.wrong and handle not in self._useless)

        def installed(refusal: Refusal | None) -> None:
            if refusal is not None:
                self._refused(handle, refusal)
            ended()

        entry = self._entries.get(handle)
        if entry is None:
            self._forget(handle)
            ended()
        elif handle in self.wrong:
            self._renew(entry, ended, anew=True)
        else:
            self.installer.install(entry.rule, entry.own, entry, installed)
