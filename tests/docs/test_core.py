"""Tests of ``docs/core.md`` and ``docs/architecture.md``: their diagrams show what there is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from agent.admin.flow_search import FlowState
from agent.ofproto.operations import State
from docs.machines import reconnect, transitions
from docs.rooms import leans_on, packages, rooms
from tests.docs.pages import Diagram


class StateTests(SynchronousTestCase):
    """The states of the core."""

    def test_operation(self) -> None:
        """An operation's states are those of its enumeration."""
        titles = Diagram("core.md", "The states of an operation").titles
        self.assertEqual(sorted(titles.values()), sorted(state.name for state in State))

    def test_entry(self) -> None:
        """An entry's are those that are shown, and that there is none."""
        titles = set(Diagram("core.md", "The states of an entry").titles.values())
        self.assertEqual(titles, {state.value for state in FlowState} | {"no entry"})

    def test_connection(self) -> None:
        """A dialled connection's arrows are transitions of the machine, and the table has all."""
        drawn = Diagram("core.md", "The states of a connection to a controller")
        self.assertEqual(len(drawn.arrows), 6)
        self.assertLessEqual(drawn.arrows, set(transitions()))
        self.assertLessEqual(set(drawn.titles.values()), {one[0] for one in transitions()})
        self.assertEqual(len(reconnect()), len(transitions()) + 3)
        self.assertIn("| greeting | lost | backoff |", reconnect())


class RoomTests(SynchronousTestCase):
    """The rooms of the house."""

    def test_arrows(self) -> None:
        """Whoever has an arrow to a room imports it."""
        found = packages()
        known = set(found)
        drawn = Diagram("architecture.md", "The rooms and who leans on whom")
        self.assertEqual(len(drawn.arrows), 9)
        for start, _, end in drawn.arrows:
            name, other = drawn.titles[start], drawn.titles[end]
            if name == "drivers.*":
                users = [one for one in known if one.startswith("drivers.")]
                users.remove("drivers.testing")
            else:
                users = [name]
            for user in users:
                self.assertIn(other, leans_on(user, found[user], known), user)

    def test_table(self) -> None:
        """Every package has its row."""
        rows = rooms()
        self.assertEqual(len(rows), len(packages()) + 3)
        self.assertTrue(
            any(row.startswith("| `agent.ofproto` | The switch itself") for row in rows)
        )
