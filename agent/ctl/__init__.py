"""``ofagentctl``: one command line for people who run an agent.

It asks a running agent through its control socket, as ``ovs-appctl`` does, and shows tables; with
``--json``, what the agent said.  It decides nothing: whatever it can do, the control socket can.
"""
