"""Connections with controllers: framing, sessions, fairness, back-pressure and reconnecting.

This package moves messages between transports and :mod:`agent.ofproto`.  It keeps what belongs to
one session, and forgets it when the session ends; it does not know what a rule is.
"""
