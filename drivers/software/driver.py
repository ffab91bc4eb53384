"""The software driver: every operation is done when :meth:`SoftwareDriver.submit` returns.

It has no entries of its own.  The agent's rules are put into its tables as they are, so that a rule
costs a slot of a dictionary and an operation about a microsecond: what an agent with this driver
cannot do in a second is the agent's own doing.  ``bench/drivers.py`` measures it.

Options::

    tables = 254        # how many tables there are
    size = 1000000      # how many rules each of them takes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zope.interface import implementer

from agent.openflow.errors import TABLE_FULL, OpenFlowError
from agent.packet.classifier import Classifier
from drivers.interfaces import (
    Capabilities,
    IDriver,
    IOperation,
    IRule,
    OperationKind,
    TableCapabilities,
)
from drivers.options import Options, restricted
from drivers.software.datapath import Datapath
from drivers.software.ports import Ports
from drivers.software.program import ACTIONS, INSTRUCTIONS, RESERVED

DEFAULT_TABLES: Final = 254
"""As many as Open vSwitch has."""
DEFAULT_SIZE: Final = 1_000_000

ADD: Final = OperationKind.ADD
DELETE: Final = OperationKind.DELETE


@implementer(IDriver)
class SoftwareDriver(Datapath):
    """See the module."""

    name = "software"

    def __init__(self, tables: Sequence[TableCapabilities], ports: Ports) -> None:
        self._tables: dict[int, Classifier[IRule]] = {
            table.table_id: Classifier() for table in tables
        }
        self._sizes = {table.table_id: table.max_entries for table in tables}
        capabilities = Capabilities(
            tables=tuple(tables), hardware="Software datapath", reserved_ports=RESERVED
        )
        super().__init__(capabilities, self._tables, ports)

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Do the operations, and complete them."""
        tables = self._tables
        for operation in operations:
            rule = operation.rule
            table = tables[rule.table_id]
            kind = operation.kind
            if kind is DELETE:
                table.remove(rule.match, rule.priority)
            elif kind is ADD and table.count >= self._sizes[rule.table_id]:
                operation.complete(OpenFlowError(TABLE_FULL, f"{table.count} rules"))
                continue
            else:
                table.put(rule)
            operation.complete()

    def show(self) -> Mapping[str, object]:
        """How many rules there are in which tables."""
        used = {table_id: table.count for table_id, table in self._tables.items() if table.count}
        return {
            "rules": sum(used.values()),
            "tables": ", ".join(f"{table_id}: {count}" for table_id, count in used.items()),
        }


def create(
    options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
) -> SoftwareDriver:
    """See :meth:`drivers.plugin.IDriverFactory.create`."""
    given = Options(options)
    count = given.integer("tables", 1, 254, DEFAULT_TABLES)
    size = given.integer("size", 1, 1 << 31, DEFAULT_SIZE)
    given.finish()
    offered = [
        TableCapabilities(
            table_id,
            f"table{table_id}",
            size,
            actions=ACTIONS,
            write_actions=ACTIONS,
            instructions=INSTRUCTIONS,
        )
        for table_id in range(count)
    ]
    return SoftwareDriver(restricted(offered, tables), Ports.configured(ports))
