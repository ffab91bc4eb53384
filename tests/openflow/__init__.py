"""Tests of :mod:`agent.openflow`."""
