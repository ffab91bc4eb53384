"""Tests of :mod:`agent.ctl`."""
