"""Very many connections at once."""

from __future__ import annotations

import resource

from bench.load import Client, echo_all
from tests.system import need
from tests.system.agent import AgentCase

CROWD = 2000


class CrowdTests(AgentCase):
    """Two thousand controllers."""

    def test_echo(self) -> None:
        """Each of 2,000 connections is greeted, and its echo request is answered."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        need(hard > 2 * CROWD, f"{2 * CROWD} open files are needed, the limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.start()
        crowd = []
        for _ in range(CROWD):
            crowd.append(Client(("127.0.0.1", self.port), 4))
            self.addCleanup(crowd[-1].close)
        echo_all(crowd)
        self.assertEqual(sum(client.errors for client in crowd), 0)
