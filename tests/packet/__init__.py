"""Tests of :mod:`agent.packet`."""
