"""A simulated switching ASIC: small, slow, and wrong in the ways that real ones are.

Its profiles, one data file for each kind of switch, say how long an operation takes and what fits.
It lets an agent or a controller be tested against slow hardware without any hardware.
"""
