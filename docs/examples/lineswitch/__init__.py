"""A driver for a switching chip behind a serial line, and that chip, simulated.

The worked example of the guide for authors of drivers (``docs/drivers.md``).
"""
