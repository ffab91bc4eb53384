"""Drivers: what programs the forwarding hardware, or stands in for it.

:mod:`drivers.interfaces` is the contract between the agent and a driver.  A driver may import that
contract and the value types of :mod:`agent.openflow` and :mod:`agent.packet`, and nothing else of
the agent, so that a third party can write one without knowing the agent's inside.
"""
