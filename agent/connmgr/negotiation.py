"""Which version two peers speak, and whether a controller has made up its mind about us.

Source: OpenFlow 1.3.5 section 6.3.1.  A HELLO without a bitmap stands for all versions up to that
of its header, as Open vSwitch reads it (and writes it); the highest that both speak is taken.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from agent.openflow import messages as of
from agent.openflow.errors import HELLO_INCOMPATIBLE, OpenFlowError

_NAMES: Final = {1: "1.0", 2: "1.1", 3: "1.2", 4: "1.3", 5: "1.4", 6: "1.5"}

_NOT_ADMITTING: Final[frozenset[type]] = frozenset(
    {
        of.Hello,
        of.ErrorMessage,
        of.EchoRequest,
        of.EchoReply,
        of.FeaturesRequest,
        of.GetConfigRequest,
        of.SetConfig,
        of.QueueGetConfigRequest,
        of.GetAsyncRequest,
        of.TableFeaturesRequest,
        of.Experimenter,
    }
)
"""What a controller may say before it has decided to control us, as in Open vSwitch."""

ADMITTED_AFTER: Final = 30.0
"""Seconds after which a controller who still speaks to us has admitted us, whatever it says."""


def version_name(version: int) -> str:
    """``1.3`` for wire version 4."""
    return _NAMES.get(version, f"{version:#04x}")


def agree(ours: Set[int], theirs: Set[int]) -> int:
    """The wire version to speak.

    :raises OpenFlowError: HELLO_FAILED/INCOMPATIBLE when there is none; its text says why.
    """
    common = ours & theirs
    if not common:
        raise OpenFlowError(
            HELLO_INCOMPATIBLE,
            f"we support OpenFlow {_list(ours)}, you support {_list(theirs)}: none in common",
        )
    return max(common)


def error_version(ours: Set[int], theirs: int) -> int:
    """The wire version to report an error in before one is agreed on.

    :param theirs: that of the header which came.
    """
    return max((version for version in ours if version <= theirs), default=min(ours))


def admits(kind: type, seconds: float) -> bool:
    """Whether a message of this kind is one that a controller sends who controls us.

    :param seconds: since it said HELLO.
    """
    return kind not in _NOT_ADMITTING or seconds >= ADMITTED_AFTER


def _list(versions: Set[int]) -> str:
    return ", ".join(version_name(version) for version in sorted(versions)[:8])
