"""Tests of :mod:`drivers`."""
