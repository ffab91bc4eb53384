"""Which drivers there are on this host: ours, and those of other distributions."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.plugin import getPlugins

from drivers.interfaces import OptionError
from drivers.plugin import IDriverFactory

_log = Logger()


def available() -> dict[str, IDriverFactory]:
    """Every driver's factory by its name, in the order of the names.

    A plugin that cannot be loaded is logged by Twisted and left out.  Of two with the same name the
    first that is found counts, and the other is logged.
    """
    found: dict[str, IDriverFactory] = {}
    for factory in getPlugins(IDriverFactory):
        first = found.setdefault(factory.name, factory)
        if first is not factory:
            _log.warn(
                "driver {name!r} is there twice: {first} is used, {second} is not",
                name=factory.name,
                first=first,
                second=factory,
            )
    return dict(sorted(found.items()))


def find(name: str) -> IDriverFactory:
    """The factory of one name.

    :raises OptionError: when there is none; says which there are.
    """
    factories = available()
    factory = factories.get(name)
    if factory is None:
        raise OptionError("name", name, f"must be one of {', '.join(factories) or '(none found)'}")
    return factory
