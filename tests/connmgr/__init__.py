"""Tests of :mod:`agent.connmgr`."""
