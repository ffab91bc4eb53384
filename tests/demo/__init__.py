"""Tests of :mod:`demo`."""
