"""How drivers are found: the interface of a factory, and a factory that imports its driver late.

A plugin module is loaded by every ``twistd`` of the host, whatever it starts.  So it should be
quick to import and must not fail because of what a driver needs.  That is why this module imports
next to nothing, and why :class:`DriverFactory` only names what makes the driver::

    # twisted/plugins/acme_driver.py, of any distribution; no __init__.py beside it
    from drivers.plugin import DriverFactory

    acme = DriverFactory("acme", "acme.ofagent", "Acme's switching chips, over PCI Express")

What a driver is, is said in :mod:`drivers.interfaces`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from twisted.plugin import IPlugin
from twisted.python.reflect import namedModule
from zope.interface import Attribute, implementer

if TYPE_CHECKING:
    from drivers.interfaces import IDriver


class IDriverFactory(IPlugin):
    """Makes the drivers of one name; the Twisted plugin."""

    name: str = Attribute("What ``[bridge.driver] name`` says.")
    description: str = Attribute("One line for people.")

    def create(options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]) -> IDriver:
        """Make a driver; nothing happens yet that needs undoing.

        :param options: the rest of ``[bridge.driver]``; relative paths were made absolute.
        :param ports: the ``[[bridge.port]]`` entries: objects with ``number``, ``name``,
            ``type`` and ``queues``, the numbers of its queues.
        :param tables: the ``[[bridge.table]]`` entries: objects with ``id``, ``name`` (or None)
            and ``size`` (or None), which restrict what the driver offers: each names one of its
            tables, or makes it smaller.  Tables without an entry are offered as they are.
        :raises OptionError: for the first option that is wrong; its key begins with ``port.`` or
            ``table.`` where it is one of these.
        """


@implementer(IDriverFactory)
@attrs.frozen
class DriverFactory:
    """A factory whose driver is imported when the first one is made.

    :ivar module: the name of a module with a function ``create``, which is what
        :meth:`IDriverFactory.create` says.
    """

    name: str
    module: str
    description: str

    def create(
        self, options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]
    ) -> IDriver:
        """Import the module and let it make the driver.

        :raises ImportError: when the module, or what it needs, is not there.
        """
        driver: IDriver = namedModule(self.module).create(options, ports, tables)
        return driver
