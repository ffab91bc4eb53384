"""Tests of the agent and its drivers; the tree mirrors the one they test.

All but :mod:`tests.system` are deterministic but for Hypothesis: no real time, no real input or
output, no global reactor.  ``make test`` runs those, ``make system-test`` the others.

Hypothesis runs with one of two profiles, named by ``OFAGENT_TEST_PROFILE``: ``unit``, the default,
which fits a run into seconds, and ``fuzz`` (``make fuzz``), which looks for as long as it takes.
Neither has a deadline: a time limit on a shared machine says more about its neighbours.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit",
    derandomize=True,
    deadline=None,
    print_blob=True,
    # Who names a package and a module of it runs some tests twice.  The check is about examples
    # that are remembered, of which there are none here.
    suppress_health_check=[HealthCheck.differing_executors],
)
settings.register_profile(
    "fuzz",
    deadline=None,
    print_blob=True,
    max_examples=100_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("OFAGENT_TEST_PROFILE", "unit"))
