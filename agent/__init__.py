"""An OpenFlow switch agent for slow hardware.

The agent speaks OpenFlow with controllers and programs a switch through an asynchronous driver.
It answers a barrier when the hardware has confirmed everything before it, and not earlier.
:mod:`agent.tap` is where ``twistd ofagent`` comes in.
"""

__version__ = "0.1.0"
