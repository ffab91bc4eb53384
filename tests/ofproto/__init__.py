"""Tests of :mod:`agent.ofproto`."""
