"""The driver that programs Linux's tc flower classifier: the kernel's own, and through it that of
network cards, DPUs and DSA switches.

:mod:`drivers.tcflower.driver` is where to begin.
"""
