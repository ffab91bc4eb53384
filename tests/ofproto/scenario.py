"""Scenarios for :class:`tests.ofproto.world.World`: made at random, made shorter, written down.

Hypothesis finds the shortest scenario, at a price; what is made here costs a few milliseconds each,
so that there can be very many.  A scenario is determined by a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import attrs

from agent.openflow.messages import ALL_TABLES, ANY
from tests.ofproto.model import (
    ADD,
    CHECK_OVERLAP,
    DELETE,
    DELETE_STRICT,
    EMERG,
    MODIFY,
    MODIFY_STRICT,
    RESET_COUNTS,
    SEND_FLOW_REM,
    Order,
)
from tests.ofproto.oracle import PATTERNS
from tests.ofproto.world import Step, World

# What orders are made of; what is likelier is listed more often.
COMMANDS: Final = (ADD, ADD, ADD, MODIFY, MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT)
WIDE: Final = (PATTERNS[0], PATTERNS[0], *PATTERNS[1:4])
"""What loose requests are about; it covers much."""
PRIORITIES: Final = (1, 1, 2)
TABLES: Final = (0, 0, 1)
OUTPUTS: Final = ((1,), (2,), (1, 2))
COOKIES: Final = (0, 1, 2)
MASKS: Final = (0, 0, 0, 0, 3)
IDLE: Final = (0, 0, 0, 2, 5)
HARD: Final = (0, 0, 0, 3, 6)
FLAGS: Final = (0, 0, 0, SEND_FLOW_REM, SEND_FLOW_REM, CHECK_OVERLAP, RESET_COUNTS, 3)
OUT_PORTS: Final = (ANY, ANY, ANY, 1)
SECONDS: Final = (0.5, 1.0, 3.0, 10.0)

WRONG: Final[tuple[dict[str, Any], ...]] = (
    {"command": 9},
    {"table": 2},
    {"table": ALL_TABLES},
    {"outputs": (0,)},
    {"flags": EMERG},
)
"""What makes a request wrong, in one version at least."""


def random_order(random: Random, command: int | None = None) -> Order:
    """Some FLOW_MOD."""
    choice = random.choice
    if command is None:
        command = choice(COMMANDS)
    return Order(
        command,
        choice(WIDE if command in (MODIFY, DELETE) else PATTERNS),
        choice(PRIORITIES),
        choice((*TABLES, ALL_TABLES) if command >= DELETE else TABLES),
        choice(OUTPUTS),
        choice(COOKIES),
        choice(MASKS),
        choice(IDLE),
        choice(HARD),
        choice(FLAGS),
        choice(OUT_PORTS),
    )


def wrong_order(random: Random) -> Order:
    """Some FLOW_MOD with which something is wrong."""
    return attrs.evolve(random_order(random), **random.choice(WRONG))


def random_orders(random: Random) -> tuple[Order, ...]:
    """The FLOW_MODs of a bundle, with one of which something may be wrong."""
    orders = [random_order(random) for _ in range(random.randint(1, 5))]
    if random.random() < 0.1:
        orders[random.randrange(len(orders))] = wrong_order(random)
    return tuple(orders)


def _who(random: Random) -> tuple[Any, ...]:
    return (random.randrange(4),)


def _maybe(random: Random) -> tuple[Any, ...]:
    return (random.random() < 0.4,)


KINDS: Final[tuple[tuple[int, str, Callable[[Random], tuple[Any, ...]]], ...]] = (
    (72, "order", lambda random: (random.randrange(4), random_order(random))),
    (4, "order", lambda random: (random.randrange(4), wrong_order(random))),
    (16, "bundle", lambda random: (random.randrange(2), random_orders(random))),
    (10, "barrier", _who),
    (6, "statistics", _who),
    (2, "disconnect", _who),
    (28, "finish", _who),
    (2, "duplicate", _who),
    (2, "contradict", _who),
    (4, "remember", _who),
    (12, "fail", lambda random: (random.randrange(4), random.random() < 0.2)),
    (4, "lose", lambda random: (random.randrange(4), random.random() < 0.5)),
    (2, "instant", _maybe),
    (2, "hold_reads", _maybe),
    (2, "clog", _maybe),
    (6, "hit", lambda random: (random.randrange(8),)),
    (1, "flush", lambda random: ()),
    (12, "advance", lambda random: (random.choice(SECONDS),)),
    (70, "turn", lambda random: ()),
)
"""How likely a step is, its name, and what makes its arguments."""

_WEIGHTS: Final = tuple(weight for weight, _, _ in KINDS)


def random_steps(random: Random, length: int) -> list[Step]:
    """So many steps; most scenarios begin with some rules."""
    steps: list[Step] = []
    rules = random.choice((0, 2, 4, 6, 8, 10))
    if rules:
        steps.append(("instant", (True,)))
        for _ in range(rules):
            steps.append(("order", (random.randrange(4), random_order(random, ADD))))
        steps += [("turn", ()), ("instant", (False,))]
    for _, name, make in random.choices(KINDS, weights=_WEIGHTS, k=length):
        steps.append((name, make(random)))
    return steps


def run(steps: Sequence[Step], settle: bool = True) -> World:
    """Have a scenario happen in a world of its own, to its end.

    :param settle: whether everything comes to an end before the bridge goes.
    :raises AssertionError: when something is not as it must be.
    """
    world = World().play(steps)
    if settle:
        world.settle()
    world.stop()
    return world


def shorten(steps: Sequence[Step], settle: bool) -> list[Step]:
    """Leave out of a scenario that ends badly what it does so without."""

    def ends_badly(some: Sequence[Step]) -> bool:
        try:
            run(some, settle)
        except Exception:
            return True
        return False

    shortest = list(steps)
    size = len(shortest)
    while size:
        place = 0
        while place < len(shortest):
            shorter = shortest[:place] + shortest[place + size :]
            if ends_badly(shorter):
                shortest = shorter
            else:
                place += size
        size //= 2
    return shortest


def written(steps: Sequence[Step]) -> str:
    """A scenario as :mod:`tests.ofproto.test_scenarios` has them."""
    return "".join(f"            {step!r},\n" for step in steps)
