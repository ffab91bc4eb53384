"""Tests of :mod:`drivers.asic`."""
