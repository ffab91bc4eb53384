"""What Nicira, and after it Open vSwitch, added to OpenFlow: messages, matches and actions.

Most of it came before OpenFlow had the like, and most controllers of 1.0 use it.  In 1.3 the
actions are what is left of it, and some messages about the session.

- :mod:`agent.openflow.nicira.actions`, :mod:`~agent.openflow.nicira.choices` and
  :mod:`~agent.openflow.nicira.learn`: actions, on
  :mod:`~agent.openflow.nicira.subfield`, runs of bits of a field.
- :mod:`agent.openflow.nicira.nxmatch`: matches, in the TLVs of :mod:`agent.openflow.oxm`.
- :mod:`agent.openflow.nicira.flows`: messages about flows and packets.
- :mod:`agent.openflow.nicira.statistics`: flow statistics in 1.0.
- :mod:`agent.openflow.nicira.monitor`: flow monitors, in 1.3 the same of the Open Networking
  Foundation.
- :mod:`agent.openflow.nicira.session`: messages about the session, and all messages put together.

:mod:`agent.openflow.codec` puts them to what OpenFlow has.  The values are in
:mod:`agent.openflow.nx_messages`, in :mod:`agent.openflow.nx_actions` and, where OpenFlow has a
twin, among its own.

Source: ``nicira-ext.h`` and ``ofp-actions.c`` of Open vSwitch.
"""
