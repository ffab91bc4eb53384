"""Tests of :mod:`agent.ctl.timeline` and :mod:`agent.ctl.plot`."""

from __future__ import annotations

import io
import struct
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from agent.ctl import plot
from agent.ctl.plot import HEIGHT, WIDTH, PlotError, draw, summary
from agent.ctl.timeline import MAX_CONNECTIONS, Bar, Timeline, timeline


def operation(
    arrived: float,
    begun: float | None = None,
    finished: float | None = None,
    kind: str = "add",
    moves: int = 0,
    error: str | None = None,
) -> dict[str, Any]:
    """An operation; all times are seconds ago."""
    return {"kind": kind, "target": "rule", "table": 0, "arrived": arrived, "begun": begun,
            "finished": finished, "moves": moves, "error": error}  # fmt: skip


def barrier(since: float, answered: float | None = None, connection: str = "c") -> dict[str, Any]:
    """A barrier."""
    return {"connection": connection, "xid": 1, "since": since, "answered": answered}


def data(operations: list[Any], barriers: list[Any]) -> dict[str, Any]:
    """What the agent remembers."""
    return {"hardware": "chip", "operations": operations, "barriers": barriers}


class TimelineTests(SynchronousTestCase):
    """What is to be drawn."""

    def test_nothing(self) -> None:
        """Nothing happened."""
        found = timeline(data([], []))
        self.assertEqual((found.connections, found.barriers, found.operations), ([], [], []))
        self.assertEqual(set(found.moves) | set(found.busy), {0.0})
        self.assertGreater(found.span, 0)

    def test_one(self) -> None:
        """It begins with what came first, and ends with what ended last."""
        found = timeline(data([operation(10, 8, 6, moves=4)], [barrier(10, 6)]), bins=4)
        self.assertEqual(found.span, 4.0)
        self.assertEqual(list(found.operations), [Bar("add", 0, 2.0, 4.0)])
        self.assertEqual(list(found.barriers), [Bar("barrier", 0, 0.0, 4.0)])
        self.assertEqual(list(found.waiting), [(0.0, 1), (2.0, 0), (4.0, 0)])
        self.assertEqual((list(found.moves), list(found.busy)), ([0, 0, 2, 2], [0, 0, 1, 1]))

    def test_not_over(self) -> None:
        """What waits, is being done, or is not answered goes on to the end."""
        found = timeline(data([operation(4, 2), operation(4)], [barrier(3)]), bins=4)
        self.assertEqual(found.span, 4.0)
        self.assertEqual(list(found.operations), [Bar("add", 0, 2.0, 4.0, True)])
        self.assertEqual(list(found.barriers), [Bar("barrier", 0, 1.0, 4.0, True)])
        self.assertEqual(list(found.waiting), [(0.0, 2), (2.0, 1), (4.0, 1)])

    def test_kinds(self) -> None:
        """Whatever failed is told apart."""
        kinds = ("add", "modify", "replace", "delete")
        works = [operation(9, 9 - n, 8 - n, kind) for n, kind in enumerate(kinds)]
        works.append(operation(9, 3, 2, "delete", error="no"))
        self.assertEqual(
            [bar.kind for bar in timeline(data(works, [])).operations],
            ["add", "modify", "modify", "delete", "refused"],
        )

    def test_last(self) -> None:
        """Only the last seconds: what was over before is not there, the rest is cut."""
        works = [operation(10, 10, 8, moves=9), operation(10, 6, 2, moves=4), operation(10, 2, 0)]
        found = timeline(data(works, [barrier(10, 5), barrier(5, 1)]), last=4, bins=4)
        self.assertEqual(
            [(bar.begin, bar.end) for bar in found.operations], [(0.0, 2.0), (2.0, 4.0)]
        )
        self.assertEqual([(bar.begin, bar.end) for bar in found.barriers], [(0.0, 3.0)])
        self.assertEqual((list(found.moves), list(found.busy)), ([1, 1, 0, 0], [1, 1, 1, 1]))
        self.assertEqual(found.waiting[0], (0.0, 1))

    def test_connections(self) -> None:
        """Each has a row, but where there are very many those with few barriers share one."""
        barriers = [barrier(9, 8, f"c{n}") for n in range(MAX_CONNECTIONS)]
        found = timeline(data([], barriers))
        self.assertEqual(found.connections, [f"c{n}" for n in range(MAX_CONNECTIONS)])
        self.assertEqual({bar.row for bar in found.barriers}, set(range(MAX_CONNECTIONS)))
        barriers += [barrier(7, 6, f"c{n}") for n in range(2, MAX_CONNECTIONS + 1)]
        found = timeline(data([], barriers))
        self.assertEqual(found.connections[:2], ["c0", "c2"])
        self.assertEqual(found.connections[-1], "2 others")
        self.assertEqual(len(found.connections), MAX_CONNECTIONS)

    @given(st.lists(st.tuples(*[st.integers(0, 50)] * 4, st.booleans()), max_size=20))
    def test_any(self, numbers: list[tuple[int, int, int, int, bool]]) -> None:
        """No bar lies over another, all is within the time, and nothing gets lost."""
        works = [
            operation(a + b + c, b + c, None if is_open else c, moves=moves)
            for a, b, c, moves, is_open in numbers
        ]
        found = timeline(data(works, []), bins=7)
        self.assertEqual(len(found.operations), len(works))
        done = [one["moves"] for one in works if one["finished"] is not None]
        self.assertAlmostEqual(sum(found.moves), sum(done))
        rows: dict[int, float] = {}
        for bar in found.operations:
            self.assertTrue(0 <= bar.begin <= bar.end <= found.span + 1e-9, bar)
            self.assertLess(bar.row, found.rows)
            self.assertGreaterEqual(bar.begin, rows.get(bar.row, 0.0))
            rows[bar.row] = bar.end
        self.assertTrue(all(0 <= share <= 1 for share in found.busy))
        self.assertTrue(all(count >= 0 for _, count in found.waiting))


class PlotTests(SynchronousTestCase):
    """How it is drawn."""

    def picture(self, found: Timeline) -> bytes:
        """A PNG; its size is right."""
        file = io.BytesIO()
        draw(found, "br0: chip", file)
        written = file.getvalue()
        self.assertEqual(written[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack("!II", written[16:24]), (WIDTH, HEIGHT))
        return written

    def test_sizes(self) -> None:
        """Nothing, one thing, and very much."""
        empty = self.picture(timeline(data([], [])))
        one = self.picture(timeline(data([operation(2, 1)], [barrier(1)])))
        works = [operation(10_000 - n, 9_999 - n, 9_998 - n, moves=n % 7) for n in range(10_000)]
        many = self.picture(timeline(data(works, [barrier(n + 1, n) for n in range(4096)])))
        self.assertEqual(len({empty, one, many}), 3)

    def test_same(self) -> None:
        """The same data, the same picture."""
        found = timeline(data([operation(5, 3, 1, error="no")], [barrier(5, 1)]))
        self.assertEqual(self.picture(found), self.picture(found))

    def test_summary(self) -> None:
        """It in numbers."""
        found = timeline(data([operation(4, 2, 0, moves=1200)], [barrier(4, 0)]))
        self.assertEqual(
            summary(found),
            "1 operations and 1,200 moves of entries in 4.0 s; busy 50% of the time; 1 barriers",
        )

    def test_missing(self) -> None:
        """Without matplotlib it is said what to do."""
        self.patch(sys, "modules", {**sys.modules, "matplotlib": None})
        error = self.assertRaises(PlotError, plot.check)
        self.assertIn("pip install 'ofagent[plot]'", str(error))
