"""Tests of :mod:`agent.admin.flow_search`."""

from __future__ import annotations

from agent.admin.flow_search import FlowSearch, FlowState, SearchError
from agent.admin.slices import SLICE
from agent.openflow.match import Match
from agent.openflow.messages import FlowModCommand
from tests.ofproto.stage import SwitchTestCase

ADD = FlowModCommand.ADD


class SearchTests(SwitchTestCase):
    """What is found."""

    def found(self, offset: int = 0, limit: int = 100, **words: str) -> list[int]:
        """The ports of the rules that are found, sorted; ghosts are negative."""
        searching = FlowSearch.parse(words).run(self.switch, self.clock, offset, limit)
        self.turn()
        return sorted(
            -rule.match.value if ghost else rule.priority
            for rule, ghost in self.successResultOf(searching)
        )

    def setUp(self) -> None:
        """Some rules, told apart by their priorities."""
        super().setUp()
        self.add(Match.of(in_port=1), priority=1)
        self.add(Match.of(in_port=1, eth_type=0x800), priority=2)
        self.add(Match.of(in_port=2), priority=3, table_id=1)
        self.add(Match.of(in_port=4), priority=5).degraded = "lost"
        self.start(ADD, match=Match.of(in_port=3), priority=4)

    def test_everything(self) -> None:
        """Without words, all of them, some at a time."""
        self.assertEqual(self.found(), [1, 2, 3, 4, 5])
        pages = [self.found(offset, 2) for offset in (0, 2, 4, 6)]
        self.assertEqual([len(page) for page in pages], [2, 2, 1, 0])
        self.assertEqual(sorted(one for page in pages for one in page), [1, 2, 3, 4, 5])

    def test_match(self) -> None:
        """Rules at least as specific."""
        self.assertEqual(self.found(match="in_port=1"), [1, 2])
        self.assertEqual(self.found(match="ip"), [2])
        self.assertEqual(self.found(match="in_port=1", table="1"), [])

    def test_table(self) -> None:
        """Rules of one table."""
        self.assertEqual(self.found(table="1"), [3])

    def test_text(self) -> None:
        """Rules that contain a text as they are written, whatever its case."""
        self.assertEqual(self.found(text="IN_PORT=1"), [1, 2])
        self.assertEqual(self.found(text="output:2"), [1, 2, 3, 4, 5])
        self.assertEqual(self.found(text="output:2", limit=2, offset=4, match="in_port=9"), [])
        self.assertEqual(len(self.found(text="output:2", limit=2, offset=4)), 1)

    def test_state(self) -> None:
        """Rules by what the hardware has of them."""
        self.assertEqual(self.found(state="installed"), [1, 2, 3])
        self.assertEqual(self.found(state="pending"), [4])
        self.assertEqual(self.found(state="degraded,pending"), [4, 5])
        self.assertEqual(self.found(state="ghost"), [])

    def test_ghosts(self) -> None:
        """Ghosts are found among the others, by their match too."""
        table = self.switch.tables[0]
        rule = table.rules.find(Match.of(in_port=1), 1)
        assert rule is not None
        table.ghosts.entries[rule.handle] = rule
        search = FlowSearch(states=frozenset({FlowState.GHOST}))
        searching = search.run(self.switch, self.clock, 0, 9)
        self.turn()
        self.assertEqual(self.successResultOf(searching), [(rule, True)])
        for match, count in (("in_port=1", 3), ("in_port=1,ip", 1), ("", 6)):
            self.assertEqual(len(self.found(match=match)), count, match)

    def test_bad_words(self) -> None:
        """An error that names the word."""
        for words in (
            {"table": "x"},
            {"table": "255"},
            {"match": "in_port"},
            {"match": "nothing=1"},
            {"state": "well"},
        ):
            error = self.assertRaises(SearchError, FlowSearch.parse, words)
            self.assertTrue(str(error).startswith(f"{next(iter(words))}: "), error)


class FairnessTests(SwitchTestCase):
    """A search among many."""

    def test_turns(self) -> None:
        """It goes on in later turns when its time is over, and ends when it is cancelled."""
        for port in range(1, 8):
            self.add(Match.of(in_port=port), table_id=port % 2)
        before = self.clock.getDelayedCalls()
        now = self.clock.seconds
        reads = iter(range(10000))
        self.patch(self.clock, "seconds", lambda: now() + next(reads) * SLICE * 2)
        searching = FlowSearch.parse({"text": "nothing"}).run(self.switch, self.clock, 0, 9)
        self.assertNoResult(searching)
        searching.addErrback(lambda _: None)
        searching.cancel()
        self.patch(self.clock, "seconds", now)
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), before)
