"""The drivers that come with the agent, as Twisted plugins.

Only named: see :mod:`drivers.plugin`.
"""

from drivers.plugin import DriverFactory

asic = DriverFactory(
    "asic",
    "drivers.asic.driver",
    "A simulated switching ASIC, as slow and as small as a profile says.",
)
software = DriverFactory(
    "software",
    "drivers.software.driver",
    "A datapath in software, which executes OpenFlow actions on frames itself.",
)
tcflower = DriverFactory(
    "tcflower",
    "drivers.tcflower.driver",
    "The kernel's own forwarding, and hardware behind it: Linux's tc flower classifier.",
)
