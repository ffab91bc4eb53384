"""Tests of the agent and its drivers; the tree mirrors the one they test.

All but :mod:`tests.system` are deterministic: no real time, no real input or output, no global
reactor.  ``make test`` runs those, ``make system-test`` the others.
"""
