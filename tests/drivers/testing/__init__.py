"""Tests of :mod:`drivers.testing`."""
