"""Tests of :mod:`bench`, as far as its figures depend on more than a clock."""
