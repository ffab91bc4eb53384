"""What the author of a driver, or of a part of the agent that uses drivers, tests with.

Public, and tested like everything else:

- `FakeRule`, `FakeGroup`, `FakeMeter`, `FakeOperation` and `FakeHost` stand in for the agent.
- :class:`ScriptableDriver` stands in for a driver: a test decides when and how operations end.
- :class:`DriverContractTests` is what every driver passes; an author of one derives a test case
  from it, and from :class:`FaultInjectionContractTests` and :class:`RecallContractTests` if it can
  do that.

Nothing here is used by the running agent.
"""

from drivers.testing.contract import DriverContractTests
from drivers.testing.fakes import (
    FakeEntry,
    FakeGroup,
    FakeHost,
    FakeMeter,
    FakeOperation,
    FakeRule,
)
from drivers.testing.faults import FaultInjectionContractTests
from drivers.testing.given_up import RecallContractTests
from drivers.testing.scriptable import ScriptableDriver

__all__ = [
    "DriverContractTests",
    "FakeEntry",
    "FakeGroup",
    "FakeHost",
    "FakeMeter",
    "FakeOperation",
    "FakeRule",
    "FaultInjectionContractTests",
    "RecallContractTests",
    "ScriptableDriver",
]
