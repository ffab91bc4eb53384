"""Frames, from Ethernet to layer 4, to flow keys and back, with their checksums.

A pure package: no input, no output, no Twisted.  A flow key is one integer over the layout of
:mod:`agent.openflow.fields`, so that what a rule matches and what a frame carries can be compared
directly.

A packet's way: :func:`~agent.packet.flowkey.flow_key` reads its key; the key is looked up
(:mod:`~agent.packet.classifier`); if the rule changes the packet, a
:class:`~agent.packet.packet.Packet` is made of it, on which work the functions that
:mod:`~agent.packet.setfield` made of the rule's actions, and its methods; and its ``frame`` is
what is sent.  :mod:`~agent.packet.complete` finishes checksums that a sender left undone.  For
tests and tools, :mod:`~agent.packet.compose` makes frames, and :mod:`~agent.packet.describe`
prints keys.
"""
