"""Tests of :mod:`docs`."""
