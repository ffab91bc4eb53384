"""Tests of :mod:`agent.admin`."""
