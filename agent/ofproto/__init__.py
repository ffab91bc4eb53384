"""The switch itself: flow tables, groups, meters, and the operations that change them.

Every change is an operation that a driver confirms or refuses, later; this package says what may
happen meanwhile and what is undone on a failure.  It is synchronous and deterministic: time is a
clock it is given, the driver is an interface of :mod:`drivers.interfaces`, and connections are
callers whose nature it does not know.
"""
