"""Tests of connections and switch together: whatever happens, in whatever order, every controller
is answered as it must be.

What may happen, and what must be, is in :mod:`tests.connmgr.world`.  A scenario is determined by a
number; there is one for every twenty of :mod:`tests.ofproto.test_machine`, for each takes longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

from twisted.trial.unittest import SynchronousTestCase

from agent.connmgr import handlers
from agent.connmgr.ofconn import OFConn
from agent.connmgr.outstanding import Outstanding
from agent.connmgr.roles import Role, Roles
from agent.ofproto.admission import Admission
from agent.ofproto.conditions import Condition
from agent.ofproto.flow_mod import FlowMods
from agent.openflow import messages as of
from tests.connmgr.world import WireWorld

FUZZING: Final = os.environ.get("OFAGENT_TEST_PROFILE") == "fuzz"
SEQUENCES: Final = (
    int(os.environ.get("OFAGENT_SEQUENCES") or (1_000_000 if FUZZING else 1_000)) // 20
)
FIRST: Final = int(os.environ.get("OFAGENT_FIRST") or 0)
LENGTH: Final = 80
"""Steps of a scenario."""

Step: TypeAlias = "tuple[str, tuple[int, ...]]"

COMMANDS: Final = (0, 0, 0, 0, 1, 2)
"""ADD, MODIFY and DELETE: what is likelier is there more often."""
NAMES: Final = (0, 0, 0, 0, 0, 0, 1, 2, 4, 5)
"""Of a rule: which group and meter it names, mostly none."""
ROLES: Final = (0, 1, 1, 2, 2, 3)


def _which(random: Random) -> tuple[int, ...]:
    return (random.randrange(6),)


def _flow(random: Random) -> tuple[int, ...]:
    choice = random.choice
    return (random.randrange(3), choice(COMMANDS), *random.choices(range(6), k=2), choice(NAMES))


def _numbered(random: Random) -> tuple[int, ...]:
    return (random.randrange(1, 3), random.choice(COMMANDS), *random.choices(range(12), k=2))


def _role(random: Random) -> tuple[int, ...]:
    """Generation ids mostly grow, and jump now and then."""
    generation = random.choice((*range(3, 9), 2**63 + 5, -1))
    return (random.randrange(3), random.choice(ROLES), generation)


KINDS: Final[tuple[tuple[int, str, Callable[[Random], tuple[int, ...]]], ...]] = (
    (40, "flow", _flow),
    (12, "group", _numbered),
    (6, "meter", _numbered),
    (10, "barrier", _which),
    (4, "statistics", _which),
    (2, "features", _which),
    (6, "role", _role),
    (4, "echo", _which),
    (4, "disconnect", _which),
    (2, "choke", _which),
    (40, "turn", lambda random: ()),
    (40, "finish", _which),
    (2, "duplicate", _which),
    (8, "fail", _which),
    (2, "lose", _which),
    (4, "advance", _which),
)
"""How likely a step is, its name, and what makes its arguments."""

_WEIGHTS: Final = tuple(weight for weight, _, _ in KINDS)


def steps(number: int) -> list[Step]:
    """A scenario; there are groups and a meter at the beginning of most."""
    random = Random(number)
    found: list[Step] = []
    if number % 3:
        for kind, which in (("group", 0), ("group", 1), ("meter", 0)):
            found += [(kind, (1, 0, which, 0)), ("turn", ()), ("finish", (0,)), ("turn", ())]
    for _, name, make in random.choices(KINDS, weights=_WEIGHTS, k=LENGTH):
        found.append((name, make(random)))
    return found


def run(scenario: list[Step], settle: bool = True) -> WireWorld:
    """Have a scenario happen, to its end.

    :raises AssertionError: when something is not as it must be.
    """
    world = WireWorld()
    for name, arguments in scenario:
        world.step(name, *arguments)
    if settle:
        world.settle()
    world.stop()
    return world


def shortest(scenario: list[Step], settle: bool) -> list[Step]:
    """Leave out of a scenario that ends badly what it does so without."""
    place = 0
    while place < len(scenario):
        shorter = scenario[:place] + scenario[place + 1 :]
        try:
            run(shorter, settle)
        except Exception:
            scenario = shorter
        else:
            place += 1
    return scenario


class WireTests(SynchronousTestCase):
    """Whatever happens, in whatever order, all is answered as it must be."""

    def test_random(self) -> None:
        """No scenario ends badly; if one does, here is how to replay it."""
        for number in range(FIRST, FIRST + SEQUENCES):
            scenario, settle = steps(number), number % 4 != 0
            try:
                run(scenario, settle)
            except Exception as error:
                short = "".join(f"            {step!r},\n" for step in shortest(scenario, settle))
                raise AssertionError(
                    f"scenario {number} ends badly ({error!r}); so does\n{short}"
                ) from error

    def test_much_happens(self) -> None:
        """What scenarios are about does happen in them."""
        seen: dict[str, int] = {}
        for number in range(100):
            world = run(steps(number))
            for client in world.clients:
                for sent in client.sent.values():
                    seen[sent.kind] = seen.get(sent.kind, 0) + 1
                    for name in sent.refusal:
                        seen[name] = seen.get(name, 0) + 1
                    if sent.group is not None and sent.group.error is not None:
                        seen["failed"] = seen.get("failed", 0) + 1
        for what in (
            *("mod", "barrier", "statistics", "features", "role", "echo", "failed", "IS_SLAVE"),
            *("GROUP_EXISTS", "UNKNOWN_GROUP", "BAD_OUT_GROUP", "METER_EXISTS", "UNKNOWN_METER"),
            *("TABLE_FULL", "OUT_OF_GROUPS", "OUT_OF_METERS"),
        ):
            self.assertGreater(seen.get(what, 0), 2, f"{what}: {seen}")


class EyeTests(SynchronousTestCase):
    """These tests can fail: what is broken on purpose is seen."""

    def assert_seen(self, owner: Any, name: str, broken: Callable[..., Any]) -> None:
        """One of not too many scenarios ends badly when something is another."""
        self.patch(owner, name, broken)
        for number in range(1, 200):
            try:
                run(steps(number))
            except Exception:
                self.flushLoggedErrors()
                return
        self.fail(f"{name} may do anything")

    def test_barrier(self) -> None:
        """A barrier that waits for nothing."""

        def barrier(session: OFConn, message: of.BarrierRequest) -> None:
            session.send(of.BarrierReply(message.xid))

        self.patch(handlers, "OWN", handlers.OWN)
        original = handlers.OWN[of.BarrierRequest]
        handlers.OWN[of.BarrierRequest] = barrier
        self.addCleanup(handlers.OWN.__setitem__, of.BarrierRequest, original)
        self.assert_seen(handlers, "_barrier", barrier)

    def test_generations(self) -> None:
        """A generation id that is never stale."""
        self.assert_seen(Roles, "check", lambda roles, role, generation_id: Role(role))

    def test_demotion(self) -> None:
        """A master who stays."""

        def grant(roles: Roles, connection: Any, role: Any, generation_id: Any) -> None:
            if role:
                connection.role = role
            if role >= 2 and generation_id is not None:
                roles.generation_id = generation_id

        self.assert_seen(Roles, "grant", grant)

    def test_role_at_once(self) -> None:
        """A role that changes while something is in flight."""
        self.assert_seen(Outstanding, "__len__", lambda outstanding: 0)

    def test_echo(self) -> None:
        """Echo requests that wait."""
        self.assert_seen(OFConn, "frame_overtakes", lambda session, frame: False)

    def test_wake(self) -> None:
        """Waiters who are not woken."""
        self.assert_seen(Condition, "clear", lambda condition: None)

    def test_places(self) -> None:
        """Places that are not given back."""
        self.assert_seen(Admission, "forgo", lambda admission, requester: None)

    def test_rules_of_groups(self) -> None:
        """A group that goes without the rules that name it."""
        self.assert_seen(FlowMods, "naming", lambda mods, names: [])
