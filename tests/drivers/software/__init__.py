"""Tests of :mod:`drivers.software`."""
