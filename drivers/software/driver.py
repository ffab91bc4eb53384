"""The software driver: every operation is done when :meth:`SoftwareDriver.submit` returns.

It has no entries of its own.  The agent's rules are put into its tables as they are, so that a rule
costs a slot of a dictionary and an operation about a microsecond: what an agent with this driver
cannot do in a second is the agent's own doing.  ``bench/drivers.py`` measures it.

Options::

    tables = 254        # how many tables there are
    size = 1000000      # how many rules each of them takes
    masks = 1000        # with how many different masks: a packet of a new flow is looked up by all
    select = "flow"     # what SELECT groups share out by their weights: flows, or each "packet"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zope.interface import implementer

from agent.openflow.errors import TABLE_FULL, OpenFlowError
from agent.openflow.group_messages import GroupType
from agent.openflow.groups13 import MAX_BUCKETS
from agent.openflow.meters13 import MAX_BANDS
from agent.packet.classifier import Classifier
from drivers.interfaces import (
    Capabilities,
    IDriver,
    IOperation,
    IRule,
    OperationKind,
    TableCapabilities,
    Target,
)
from drivers.options import Options, restricted
from drivers.software.datapath import SELECT_BY, Datapath
from drivers.software.pipeline import Pipeline
from drivers.software.ports import Ports
from drivers.software.program import ACTIONS, INSTRUCTIONS, RESERVED, SET_ACTIONS

DEFAULT_TABLES: Final = 254
"""As many as Open vSwitch has."""
DEFAULT_SIZE: Final = 1_000_000
DEFAULT_MASKS: Final = 1000
"""With so many a packet of a flow not seen before costs some 60 us (``bench/lookup.py``)."""

ADD: Final = OperationKind.ADD
DELETE: Final = OperationKind.DELETE
RULE: Final = Target.RULE

MAX_PRIORITY: Final = 0xFFFF
"""The highest that a controller can give."""

# As many as nobody needs: what is there costs memory and nothing else.
MAX_GROUPS: Final = 1_000_000
MAX_METERS: Final = 1_000_000


@implementer(IDriver)
class SoftwareDriver(Datapath):
    """See the module."""

    name = "software"

    def __init__(
        self,
        tables: Sequence[TableCapabilities],
        ports: Ports,
        by_packet: bool = False,
        masks: int = DEFAULT_MASKS,
    ) -> None:
        """Make it, with nothing in it.

        :param by_packet: see :class:`drivers.software.groups.Groups`.
        :param masks: how many different ones the rules of a table may have.
        """
        self._tables: dict[int, Classifier[IRule]] = {
            table.table_id: Classifier() for table in tables
        }
        self._masks = masks
        self._sizes = {table.table_id: table.max_entries for table in tables}
        capabilities = Capabilities(
            tables=tuple(tables),
            hardware="Software datapath",
            reserved_ports=RESERVED,
            group_types=frozenset(GroupType),
            max_groups=MAX_GROUPS,
            max_buckets=MAX_BUCKETS,
            bucket_actions=SET_ACTIONS,
            watch_types=frozenset({GroupType.SELECT, GroupType.FF}),
            max_meters=MAX_METERS,
            max_bands=MAX_BANDS,
        )
        super().__init__(capabilities, Pipeline(self._tables, ports, by_packet))

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do the operations, and complete them."""
        tables = self._tables
        for operation in operations:
            if operation.target is not RULE:
                self.set_numbered(operation)
                operation.complete()
                continue
            rule = operation.rule
            table = tables[rule.table_id]
            kind = operation.kind
            if kind is DELETE:
                table.remove(rule.match, rule.priority)
            elif kind is ADD and table.count >= self._sizes[rule.table_id]:
                operation.complete(OpenFlowError(TABLE_FULL, f"{table.count} rules"))
                continue
            elif kind is ADD and len(table.subtables) >= self._masks and self._strange(table, rule):
                operation.complete(OpenFlowError(TABLE_FULL, f"{self._masks} masks"))
                continue
            else:
                table.put(rule)
            operation.complete()

    def _strange(self, table: Classifier[IRule], rule: IRule) -> bool:
        """Whether no rule has the mask of this one.

        The agent's own rules have few, and controllers must not keep them out.
        """
        return rule.match.mask not in table.subtables and rule.priority <= MAX_PRIORITY

    def show(self) -> Mapping[str, object]:
        """How many rules there are in which tables."""
        used = {table_id: table.count for table_id, table in self._tables.items() if table.count}
        return {
            "rules": sum(used.values()),
            "groups": len(self.pipeline.groups),
            "meters": len(self.pipeline.meters),
            "tables": ", ".join(f"{table_id}: {count}" for table_id, count in used.items()),
            "masks": ", ".join(
                f"{table_id}: {len(self._tables[table_id].subtables)}/{self._masks}"
                for table_id in used
            ),
        }


def create(
    options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
) -> SoftwareDriver:
    """See :meth:`drivers.plugin.IDriverFactory.create`."""
    given = Options(options)
    count = given.integer("tables", 1, 254, DEFAULT_TABLES)
    size = given.integer("size", 1, 1 << 31, DEFAULT_SIZE)
    masks = given.integer("masks", 1, 1 << 31, DEFAULT_MASKS)
    select = given.one_of("select", SELECT_BY, SELECT_BY[0])
    given.finish()
    offered = [
        TableCapabilities(
            table_id,
            f"table{table_id}",
            size,
            actions=ACTIONS,
            write_actions=SET_ACTIONS,
            instructions=INSTRUCTIONS,
        )
        for table_id in range(count)
    ]
    return SoftwareDriver(
        restricted(offered, tables), Ports.configured(ports), select == "packet", masks
    )
