"""Tells the agent of the driver; nothing is imported before a bridge asks for it."""

from drivers.plugin import DriverFactory

lineswitch = DriverFactory("lineswitch", "lineswitch.driver", "A chip behind a serial line.")
