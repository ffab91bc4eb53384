"""Frames, from Ethernet to layer 4, to flow keys and back, with their checksums.

A pure package: no input, no output, no Twisted.  A flow key is one integer over the layout of
:mod:`agent.openflow.fields`, so that what a rule matches and what a frame carries can be compared
directly.
"""
