"""Tests of :mod:`agent.admin.web`."""
