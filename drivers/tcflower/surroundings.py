"""What the rules of a bridge depend on, as it is now: its ports, groups and meters, and the device
by which packets come to the software.

Rules are translated with a :class:`.view.View` of it.  The filters that are no rule's
(:mod:`drivers.tcflower.ground`) depend on it, too, and are brought into the kernel here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivers.interfaces import IDriverHost, IGroup, IRule
from drivers.tcflower import pack
from drivers.tcflower.actions import Policer
from drivers.tcflower.changes import ADDING, Block
from drivers.tcflower.cpu import Cpu
from drivers.tcflower.filters import Filter, FilterFlags
from drivers.tcflower.ground import Ground, Site
from drivers.tcflower.installer import Installer
from drivers.tcflower.ports import TcPort
from drivers.tcflower.upcall import to_software
from drivers.tcflower.view import View, dropped


class Surroundings:
    """See the module.

    :ivar ground: the filters that are no rule's.
    """

    def __init__(
        self,
        block: Block,
        installer: Installer,
        ports: Sequence[TcPort],
        groups: dict[int, IGroup],
        meters: Mapping[int, Policer],
        cpu: Cpu | None,
        fallback: bool,
        flags: FilterFlags,
        host: IDriverHost,
        changed: Callable[[], object],
    ) -> None:
        """Begin with the ports as they are, and without groups; see :class:`.rules.Rules`.

        :param groups: is where those are kept that there are then.
        :param changed: called when :meth:`view` may be another because of ports.
        """
        self._block = block
        self._installer = installer
        self._ports = ports
        self._groups = groups
        self._meters = meters
        self._cpu = cpu
        self._fallback = fallback
        self._upcall = dropped if cpu is None else to_software
        self._host = host
        self._changed = changed
        self._turn: Any = None
        self.ground = Ground(self._site(), flags, block.cookie(0))

    def stop(self) -> None:
        """Say nothing any more."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def set_group(self, number: int, group: IGroup | None) -> None:
        """There is another group of this number; None: there is none."""
        if group is None:
            self._groups.pop(number, None)
        else:
            self._groups[number] = group

    def ports_changed(self) -> None:
        """Look at all that depends on ports again, after this turn."""
        if self._turn is None:
            self._turn = self._host.reactor.callLater(0, self._look_again)

    def _look_again(self) -> None:
        self._turn = None
        self.look_at_ground()
        self._changed()

    def view(self) -> View:
        """What rules depend on."""
        there = [port for port in self._ports if port.ifindex]
        views = {port.number: port.view() for port in there}
        # Without such a port rules set them to tell packets apart, which the software does, too.
        tunnels = not self._fallback or any(port.tunnel for port in there)
        return View(views, self._groups, self._meters, self._upcall, tunnels)

    def _site(self) -> Site:
        """What the filters that are no rule's depend on."""
        there = [(place, port) for place, port in enumerate(self._ports) if port.ifindex]
        return Site(
            {port.name: port.ifindex for _, port in there if port.closed},
            {port.name: (place, port.ifindex) for place, port in there},
            None if self._cpu is None else self._cpu.index,
            self._cpu is not None and self._host.miss_to_controller,
        )

    def look_at_ground(self) -> None:
        """See whether what is there besides rules is still as it should be, and change it."""
        install, remove = self.ground.change(self._site())
        for one in install:
            self._install(one)
        for one in remove:
            self._block.remove(one.place, self._block.expect)

    def prepare(self, rule: IRule) -> None:
        """Have what must be there before a rule."""
        for one in self.ground.prepare(rule):
            self._install(one)

    def _install(self, one: Filter) -> None:
        """Have a filter that is no rule's."""
        self._installer.left.claim(one)
        number = self._block.number
        # If it has to be asked for again, another may be wanted there by then.
        self._block.request(
            lambda n: pack.new_filter(self.ground.now(one), number, ADDING, n), self._block.expect
        )
