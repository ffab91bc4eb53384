"""Operations on rules and groups, and the rules again when what they depend on changes.

A rule is translated with what the bridge is like (:mod:`drivers.tcflower.view`) and brought into
the kernel (:mod:`drivers.tcflower.installer`).  When a port or a group changes, the rules that
depend on it are translated again, and where something else comes of it, that takes the place of
what is there; a rule of which nothing comes any more is degraded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from agent.openflow.errors import BAD_OUT_PORT, FLOW_MOD_UNKNOWN, TABLE_FULL, OpenFlowError
from agent.packet.classifier import Classifier
from drivers.abilities import SoftwareReason
from drivers.interfaces import IDriverHost, IGroup, IOperation, IRule, TableCapabilities
from drivers.tcflower.actions import Policer
from drivers.tcflower.changes import Block, Done, End, Refusal
from drivers.tcflower.cpu import Cpu
from drivers.tcflower.credits import Accounts
from drivers.tcflower.entries import Entry
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.installer import Installer
from drivers.tcflower.leftovers import Leftovers
from drivers.tcflower.places import MAX_PRIORITY
from drivers.tcflower.ports import TcPort
from drivers.tcflower.surroundings import Surroundings
from drivers.tcflower.template import Templates
from drivers.tcflower.translate import Translation, in_software, translate
from drivers.tcflower.turns import Turns
from drivers.tcflower.view import View

Tables = Mapping[int, Classifier[IRule]]
"""What the software goes by: the rules that are in the kernel, by the number of their table."""


class Rules:
    """The rules of a bridge in its block.

    :ivar installer: has what is in the kernel for them.
    :ivar surroundings: what they depend on, with what is in the kernel besides.
    :ivar leftovers: what an earlier run has left.
    :ivar refused: how many operations were refused.
    :ivar turns: which of them are being changed.
    :ivar wrong: which of them are degraded because the kernel has refused what they shall be.
    """

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
        groups: dict[int, IGroup] = {}
        self.installer = Installer(block, flags, host.now, Accounts(groups))
        self.refused = 0
        self.surroundings = Surroundings(
            block,
            self.installer,
            ports,
            groups,
            meters,
            cpu,
            fallback,
            flags,
            host,
            self._look_again,
        )
        self.leftovers = Leftovers(block, self.installer, self.surroundings.ground, host, patience)
        self._block = block
        self._cpu = cpu
        self._fallback = fallback
        self._ended = end
        self._tables = tables
        self._sizes = {table.table_id: table.max_entries for table in sizes}
        self._host = host
        self._entries = self.installer.entries
        self._templates = Templates(block, flags)
        self._view = self._seen()
        self.turns = Turns()
        self.wrong: set[int] = set()
        # Those that are degraded because nothing comes of them now.
        self._useless: set[int] = set()

    def stop(self) -> None:
        """Translate nothing any more."""
        self.surroundings.stop()
        self.leftovers.stop()

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
                self.leftovers.wait_for_claims()
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
        self.surroundings.prepare(rule)
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
        self.installer.remove(entry, partial(self._was_deleted, operation))

    def _was_deleted(self, operation: IOperation, refusal: Refusal | None) -> None:
        """The filters of a rule are gone or not."""
        if refusal is None:
            rule = operation.rule
            self._tables[rule.table_id].remove(rule.match, rule.priority)
            self._forget(rule.handle)
            self._end(operation)
        else:
            error = OpenFlowError(FLOW_MOD_UNKNOWN, f"tc flower: {refusal}")
            self._end(operation, error)

    def _end(self, operation: IOperation, error: OpenFlowError | None = None) -> None:
        self.turns.end(operation.rule.handle)
        self._ended(operation, error)

    def set_group(self, number: int, group: IGroup | None, done: Callable[[], None]) -> None:
        """Have a group as it shall be, and the rules that lead there.

        :param group: None: it shall be no more.
        :param done: called when that is so, at once or later.
        """
        self.surroundings.set_group(number, group)
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

    # What they depend on.

    def _look_again(self) -> None:
        """Translate the rules again that depend on ports, if these are different now."""
        view = self._seen()
        if view == self._view:
            return
        self._view = view
        for entry in list(self._entries):
            if entry.translation.ports:
                self._again(entry.rule.handle, lambda: None)

    def _seen(self) -> View:
        """What rules depend on as it is now."""
        # What was translated with another view holds no more.
        self._templates.clear()
        return self.surroundings.view()

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

    # What others have removed.

    def common(self) -> list[Filter]:
        """The filters that are no rule's alone: the ends of chains, and tails."""
        return [
            *self.surroundings.ground.filters(),
            *self.installer.ends.all(self._block.cookie(0)),
        ]

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
