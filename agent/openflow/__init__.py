"""OpenFlow on the wire: bytes to message objects and back.

A pure package: no input, no output, no Twisted.  Any byte string gives messages or a typed
:class:`~agent.openflow.errors.OpenFlowError`, in bounded time and memory.  What a message means is
not decided here but in :mod:`agent.ofproto`.
"""
