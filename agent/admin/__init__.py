"""What the operator of the agent sees and touches: configuration, control, metrics, logging.

Nothing here takes part in switching.  The packages below know nothing of it: what they need of
the configuration they are given.
"""
