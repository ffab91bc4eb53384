"""What becomes of what an earlier run has left (:mod:`drivers.tcflower.left`).

Rules claim it when they are installed; here is what goes because nobody claims it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.logger import Logger

from drivers.interfaces import IDriverHost
from drivers.tcflower.changes import Block
from drivers.tcflower.ground import Ground
from drivers.tcflower.installer import Installer
from drivers.tcflower.left import Left


class Leftovers:
    """See the module."""

    _log = Logger()

    def __init__(
        self,
        block: Block,
        installer: Installer,
        ground: Ground,
        host: IDriverHost,
        patience: float,
    ) -> None:
        """Begin with nothing.

        :param installer: has what is left, and claims it for rules.
        :param ground: keeps those ends of chains that are left.
        :param patience: seconds from the first rule until what is left goes.
        """
        self._block = block
        self._installer = installer
        self._ground = ground
        self._host = host
        self._patience = patience
        self._ending: Any = None

    def stop(self) -> None:
        """Leave what there is."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def adopt(self, left: Left) -> None:
        """There is something, which rules may claim."""
        self._ground.adopt(left)
        self._installer.adopt(left)
        if left:
            self._log.info(
                "{bridge}: {count} filters are left of an earlier run",
                bridge=self._host.name,
                count=len(left),
            )

    def forget(self, tables: Collection[int], done: Callable[[], None]) -> None:
        """Have it no more: see :class:`drivers.abilities.ILeftovers`."""
        self._remove(self._installer.left.of_tables(tables), done)

    def wait_for_claims(self) -> None:
        """A controller has begun to fill the tables: what it does not ask for soon shall go."""
        if self._ending is None:
            self._ending = self._host.reactor.callLater(self._patience, self._end)

    def _end(self) -> None:
        self._ending = None
        self._remove(self._installer.left.take(), lambda: None)

    def _remove(self, gone: Sequence[tuple[int, int, int]], done: Callable[[], None]) -> None:
        left = len(gone) + 1

        def answered(error: int, text: str) -> None:
            nonlocal left
            self._block.expect(error, text)
            left -= 1
            if not left:
                done()

        for one in gone:
            self._block.remove(one, answered)
        if gone:
            self._log.info(
                "{bridge}: {count} filters of an earlier run, for which nobody asked, are removed",
                bridge=self._host.name,
                count=len(gone),
            )
        answered(0, "")
