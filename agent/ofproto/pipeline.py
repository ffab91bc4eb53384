"""Which tables packets pass: OFPMP_TABLE_FEATURES, to look at them and to change them.

A controller that asks for tables names all of those it wants.  It is given them with everything the
hardware can do in them, "either a superset of, or equal to" what it asked for: what it did not ask
for is not taken from it, since hardware gains nothing by that, and there are controllers which use
more than they ask for (Faucet asks Open vSwitch for tables that match no field at all).  What a
table has for it are its name and its place in the pipeline; a table that is not named is taken out
of it, with its rules, and no request finds it until another request of this kind brings it back.
Rules elsewhere that lead to it stay, and find it empty.

A request is checked as a whole before anything is changed.  Then the change is made at once and
answered when the hardware has confirmed that the rules of the tables taken out are gone; should it
refuse to delete one, the pipeline is again what it was, but for the rules that did go.

Source: OpenFlow 1.3.5 section 7.3.5.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from twisted.internet.defer import Deferred

from agent.ofproto.conditions import Postponed
from agent.ofproto.flow_mod import FlowMods
from agent.ofproto.interfaces import IRequester
from agent.ofproto.operations import OperationGroup
from agent.ofproto.table import FlowTable
from agent.ofproto.table_features import check, describe
from agent.openflow.errors import FLOW_MOD_UNKNOWN, OpenFlowError
from agent.openflow.messages import (
    RemovedReason,
    TableFeatures,
    TableFeaturesReply,
    TableFeaturesRequest,
)

UNTOLD: Final = cast(RemovedReason, -1)
"""Why rules go with their table: a reason that nobody is told, whatever the rules ask for: "no
ofp_flow_removed messages are sent".  1.3.1 still had them announced as expired."""


class Pipeline:
    """The tables of a bridge, as controllers arrange them."""

    def __init__(
        self, tables: Sequence[FlowTable], flow_mods: FlowMods, requester: IRequester
    ) -> None:
        """:param requester: deletes the rules of tables that are taken out."""
        self._tables = tables
        self._flow_mods = flow_mods
        self._requester = requester
        self._changing: OperationGroup | None = None

    @property
    def tables(self) -> list[FlowTable]:
        """Those in the pipeline, in their order."""
        return [table for table in self._tables if table.active]

    def handle(
        self, request: TableFeaturesRequest, requester: IRequester
    ) -> TableFeaturesReply | Deferred[TableFeaturesReply]:
        """Answer a request.

        :raises OpenFlowError: TABLE_FEATURES_FAILED with the code for what cannot be had.
        :raises Postponed: when something is in flight in a table that is to be taken out.
        """
        if request.tables:
            return self._change(request.tables, request.xid)
        return self._answer(request.xid)

    def _answer(self, xid: int, order: Sequence[int] = ()) -> TableFeaturesReply:
        """The pipeline as it is now.

        :param order: numbers of tables, to be described in this order.
        """
        tables = self.tables
        chosen = [self._tables[number] for number in order] or tables
        return TableFeaturesReply(tuple(describe(table, tables) for table in chosen), xid)

    def _change(
        self, wanted: Sequence[TableFeatures], xid: int
    ) -> TableFeaturesReply | Deferred[TableFeaturesReply]:
        check(wanted, self._tables)
        names = {features.table_id: features.name for features in wanted}
        order = list(names)
        going = [table for table in self.tables if table.table_id not in names]
        if self._changing is not None:
            raise Postponed(self._changing)
        for table in going:
            for operation in table.pending:
                raise Postponed(operation.group)
        before = {table: (table.active, table.name) for table in self._tables}
        self._arrange(
            {
                table: (table.table_id in names, names.get(table.table_id, table.name))
                for table in self._tables
            }
        )
        rules = [rule for table in going for rule in table.rules]
        group = self._flow_mods.delete_rules(rules, UNTOLD, self._requester)
        if group is None:
            return self._answer(xid, order)
        self._changing = group

        def ended(_: None) -> None:
            self._changing = None
            if group.error is not None:
                self._arrange(before)

        def answer(_: None) -> TableFeaturesReply:
            if group.error is None:
                return self._answer(xid, order)
            if isinstance(group.error, OpenFlowError):
                raise group.error
            raise OpenFlowError(FLOW_MOD_UNKNOWN, str(group.error))

        # Two, for whoever asked may be gone by then, and not want the answer.
        group.wait().addCallback(ended)
        return group.wait().addCallback(answer)

    def _arrange(self, tables: Mapping[FlowTable, tuple[bool, str]]) -> None:
        """Give each table its place (whether it has one) and its name."""
        for table, (active, name) in tables.items():
            table.active = active
            table.name = name
        # Rules that go to a table may have become good, or bad.
        self._flow_mods.forget()
