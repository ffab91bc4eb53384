"""What the tests of bundles have in common."""

from __future__ import annotations

from typing import Any

from agent.ofproto.bundles import BundleCommit, BundleGroup, MessageFailed
from agent.openflow import errors
from tests.ofproto.numbered import (
    NumberedTestCase,
)
from tests.ofproto.stage import (
    ADD,
    PORT1,
    PORT2,
    PORT4,
    Requester,
    essence,
    flow_mod,
)


class BundleTestCase(NumberedTestCase):
    """A switch with a rule for each of two ports."""

    def setUp(self) -> None:
        """Add the rules."""
        super().setUp()
        for match in (PORT1, PORT2):
            self.add(match, cookie=5)

    def commit(self, *messages: Any, requester: Requester | None = None) -> BundleGroup:
        """Commit a bundle, and hand what is ready to the driver."""
        group = self.handle(BundleCommit(messages, 70), requester)
        assert isinstance(group, BundleGroup), "there was nothing to do"
        self.turn()
        return group

    def carry_out(self, *messages: Any) -> BundleGroup:
        """Commit a bundle, and have all of it done."""
        group = self.commit(*messages)
        self.run_to_end(0)
        self.assertEqual((group.ended, group.error), (True, None))
        self.assertEqual(self.requester.ended[-1:], [group])
        self.assert_settled()
        return group

    def state(self) -> tuple[object, ...]:
        """All that a bundle which fails must leave as it was; identity included."""
        return (
            {rule.handle: (rule, essence(rule), rule.pending) for rule in self.switch.rules()},
            dict(self.switch.group_mods.table.entries),
            dict(self.switch.meter_mods.table.entries),
        )

    def failing(self, number: int, code: errors.ErrorCode, *messages: Any) -> None:
        """A bundle is refused for one of its messages, without any effect."""
        before = self.state()
        failed = self.assertRaises(
            MessageFailed, self.handle, BundleCommit([*messages, flow_mod(ADD, PORT4)])
        )
        self.assertEqual((failed.number, failed.error.code), (number, code))
        self.assertIs(failed.code, errors.BUNDLE_MSG_FAILED)
        self.assertEqual(self.state(), before)
        self.turn()
        self.assertEqual(self.driver.in_flight, [])
        self.assert_settled()
