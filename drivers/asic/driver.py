"""The simulated ASIC: rules get into its tables when its hardware has got round to it.

Packets are forwarded by what is in the hardware's tables now.  What was asked for and is not there
yet does not forward.  What the hardware leaves to the CPU (packets for the controllers, NORMAL,
entries in software) takes as long as the profile says of a packet-in.

Options::

    profile = "quanta"              # or the path of a profile file
    seed = 1                        # of the jitter; the same seed, the same run
    faults = ["fail every 10"]      # see drivers.asic.faults
    scheduler = "greedy"            # off, fifo, optimal: see drivers.scheduling; default: fifo
                                    # where the profile has gaps, else greedy
    select = "flow"                 # what SELECT groups share out: flows, or each "packet"
    confirm = "driver"              # an operation is done when the hardware says so; "delay": some
                                    # time after that; "probe": when a packet has met it, and after
                                    # that time where none can (see drivers.probing)
    confirm_delay = 0.4             # seconds: as late as RUM saw the truth come
    confirm_overlaps = 0            # packets more for each rule that is probed, one for each that
                                    # it overlaps with, for hardware which ignores priorities

:mod:`drivers.asic.profile` says what a profile is.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from agent.openflow.group_messages import GroupType
from drivers.abilities import (
    IClog,
    IFaultInjection,
    IHistory,
    IMemoryMap,
    IProbe,
    IRecall,
    Probe,
    TableMemory,
    Work,
)
from drivers.asic.cpu import Cpu
from drivers.asic.hardware import Hardware
from drivers.asic.layout import make_layout
from drivers.asic.pipeline import AsicPipeline
from drivers.asic.probes import Probes
from drivers.asic.profile import Profile, load
from drivers.asic.reader import Reader
from drivers.asic.tcam import Tcam
from drivers.confirm import ByDelay, Confirmation
from drivers.interfaces import (
    Capabilities,
    Entry,
    IDriver,
    IDriverHost,
    IOperation,
    IRule,
    OptionError,
    TableCapabilities,
    Target,
)
from drivers.options import Options, restricted
from drivers.probing import ByProbe
from drivers.scheduling import DEFAULT_POLICY, POLICIES
from drivers.software.datapath import SELECT_BY, Datapath
from drivers.software.ports import Ports
from drivers.software.program import ACTIONS, INSTRUCTIONS, RESERVED, SET_ACTIONS

CONFIRM: Final = ("driver", "delay", "probe")
"""What the option ``confirm`` may be."""

CONFIRM_DELAY: Final = 0.4
"""Its seconds, unless an option says otherwise."""

MAX_DELAY: Final = 3600
MAX_OVERLAPS: Final = 1000


@implementer(IDriver, IFaultInjection, IClog, IHistory, IMemoryMap, IProbe, IRecall)
class AsicDriver(Datapath):
    """See the module.

    :ivar profile: what kind of switch it is.
    :ivar hardware: the chip.
    :ivar reader: who reads its counters.
    :ivar cpu: what the chip leaves packets to that it cannot handle itself.
    :ivar probes: what shows what packets meet.
    :ivar confirmation: what stands between the agent and what the hardware says; None: nothing.
    """

    name = "asic"

    def __init__(
        self,
        profile: Profile,
        tables: Sequence[TableCapabilities],
        ports: Ports,
        seed: int,
        policy: str = DEFAULT_POLICY,
        by_packet: bool = False,
        confirm: str = CONFIRM[0],
        confirm_delay: float = CONFIRM_DELAY,
        confirm_overlaps: int = 0,
    ) -> None:
        self.profile = profile
        self._policy = policy
        tcams = {
            table.table_id: Tcam(
                table.table_id,
                table.size,
                make_layout(profile.layout, profile.free, table.size),
                profile.software is not None,
                profile.lies.flat,
            )
            for table in profile.tables
        }
        self.hardware = Hardware(profile, tcams, seed, policy)
        capabilities = Capabilities(
            tables=tuple(tables),
            hardware=f"Simulated ASIC ({profile.name})",
            reserved_ports=RESERVED,
            group_types=frozenset(GroupType if profile.groups else ()),
            max_groups=profile.groups,
            bucket_actions=SET_ACTIONS,
            watch_types=frozenset({GroupType.SELECT, GroupType.FF}),
            max_meters=profile.meters,
        )
        self.reader = Reader(profile.statistics, profile.statistics_entry)
        self.cpu = Cpu(profile.packet_in, profile.packet_in_queue)
        super().__init__(capabilities, AsicPipeline(tcams, ports, by_packet, self.cpu))
        self.hardware.show_packets = self.set_numbered
        self.probes = Probes(self.pipeline, self.cpu)
        self.confirmation: Confirmation | None = None
        if confirm == "probe":
            numbers = [port.number for port in ports]
            in_port = min(numbers, default=1)
            self.confirmation = ByProbe(self, confirm_delay, in_port, confirm_overlaps)
        elif confirm == "delay":
            self.confirmation = ByDelay(confirm_delay)
        if self.confirmation is not None:
            self.hardware.lost = self.confirmation.forget

    def start(self, host: IDriverHost) -> None:
        """Power on, and open the ports.

        :raises OSError: when a port cannot be opened.
        """
        self.cpu.power_on(host.reactor)
        super().start(host)
        self.reader.power_on(host.reactor)
        self.hardware.power_on(host.reactor, host)
        self.probes.power_on(host.reactor)
        if self.confirmation is not None:
            self.confirmation.power_on(host.reactor)

    def stop(self) -> Deferred[None]:
        """Power off; what is in flight is not completed."""
        if self.confirmation is not None:
            self.confirmation.power_off()
        self.probes.power_off()
        self.reader.power_off()
        self.hardware.power_off()
        return super().stop()

    def submit(self, operations: Sequence[IOperation]) -> None:
        """Hand the operations to the hardware, which does them in the scheduler's order."""
        if self.confirmation is not None:
            operations = self.confirmation.asked(operations)
        self.hardware.submit(operations)

    def refresh(self, rules: Sequence[Entry]) -> Deferred[None]:
        """Read the counters, which takes as long as the profile says."""
        return self.reader.wait(len(rules))

    def recall(self, operations: Sequence[IOperation]) -> set[IOperation]:
        """Take back what the hardware has not begun."""
        if self.confirmation is not None:
            return self.confirmation.recall(operations, self.hardware.recall)
        return self.hardware.recall(operations)

    def outcome(self, packet: Probe, rule: IRule | None) -> Hashable:
        """See :class:`drivers.abilities.IProbe`, like the next."""
        return self.probes.outcome(packet, rule)

    def probe(self, packet: Probe) -> Deferred[Hashable]:
        """Send a packet into the chip."""
        return self.probes.probe(packet)

    @property
    def clogged(self) -> bool:
        """Whether the hardware is halted."""
        return self.hardware.clogged

    def clog(self) -> None:
        """Halt the hardware."""
        self.hardware.clog()

    def unclog(self) -> None:
        """Let it go on."""
        self.hardware.unclog()

    def inject(self, words: Sequence[str]) -> str:
        """Arm, show or clear faults; see :mod:`drivers.asic.faults`.

        :raises ValueError: for words that are not understood.
        """
        faults = self.hardware.faults
        if list(words) == ["show"]:
            return faults.show()
        if list(words) == ["clear"]:
            self.hardware.clear_faults()
            return "cleared"
        if list(words) == ["reset"]:
            self.hardware.reset()
            return f"reset: {len(self.hardware.resync.missing)} entries are being put back"
        return f"armed: {faults.arm(words)}"

    def memory_map(self) -> Sequence[TableMemory]:
        """See :class:`drivers.abilities.IMemoryMap`."""
        names = {table.table_id: table.name for table in self.profile.tables}
        return [
            TableMemory(number, names[number], table.size, table.places(), len(table.spilled))
            for number, table in self.hardware.tables.items()
        ]

    def history(self) -> Sequence[Work]:
        """See :class:`drivers.abilities.IHistory`."""
        return self.hardware.history()

    def show(self) -> Mapping[str, object]:
        """The profile, what the hardware is doing, and how full it is."""
        hardware = self.hardware
        memories = hardware.writer.memories
        return {
            "profile": f"{self.profile.name} ({self.profile.kind}: {self.profile.source})",
            "scheduler": self._policy,
            "waiting": hardware.waiting,
            "running": hardware.running,
            "done": hardware.done,
            "refused": hardware.refused,
            "moves": hardware.writer.moves,
            "moves of each": f"{hardware.moves_each:.1f}",
            "busy": f"{hardware.busy:.3f} s, {hardware.busy_share:.0%} of the time",
            "clogged": hardware.clogged,
            "slow path": f"{self.cpu.handled} handled, {self.cpu.waiting} on their way, "
            f"{self.cpu.dropped} dropped",
            "confirmed early": hardware.answers.early,
            "resets": hardware.resync.resets,
            "missing": len(hardware.resync.missing),
            "faults": "; ".join(map(str, hardware.faults.armed)),
            "groups": f"{memories[Target.GROUP].used}/{memories[Target.GROUP].size}",
            "meters": f"{memories[Target.METER].used}/{memories[Target.METER].size}",
            "entries": ", ".join(
                f"{table.table_id}: {table.used}/{table.size}" for table in hardware.tables.values()
            ),
            **(self.confirmation.show() if self.confirmation is not None else {}),
        }


def default_policy(profile: Profile) -> str:
    """How operations are ordered unless an option says otherwise.

    Among gaps, what is cheapest now can make everything later dearer, so that sorting is not proven
    to help.
    """
    return "fifo" if profile.free == "gaps" else DEFAULT_POLICY


def offered(profile: Profile) -> list[TableCapabilities]:
    """The tables of a kind of switch."""
    return [
        TableCapabilities(
            table.table_id,
            table.name,
            table.announced,
            actions=ACTIONS,
            write_actions=SET_ACTIONS,
            instructions=INSTRUCTIONS,
        )
        for table in profile.tables
    ]


def create(options: Mapping[str, Any], ports: Sequence[Any], tables: Sequence[Any]) -> AsicDriver:
    """See :meth:`drivers.plugin.IDriverFactory.create`."""
    given = Options(options)
    profile = load(given.text("profile", "quanta"))
    seed = given.integer("seed", 0, (1 << 63) - 1, 0)
    faults = given.sequence("faults", 'texts like "fail every 10"', ())
    policy = given.one_of("scheduler", POLICIES, default_policy(profile))
    select = given.one_of("select", SELECT_BY, SELECT_BY[0])
    confirm = given.one_of("confirm", CONFIRM, CONFIRM[0])
    confirm_delay = given.number("confirm_delay", 0, MAX_DELAY, CONFIRM_DELAY)
    confirm_overlaps = given.integer("confirm_overlaps", 0, MAX_OVERLAPS, 0)
    given.finish()
    driver = AsicDriver(
        profile,
        restricted(offered(profile), tables),
        Ports.configured(ports),
        seed,
        policy,
        select == "packet",
        confirm,
        confirm_delay,
        confirm_overlaps,
    )
    for place, text in enumerate(faults):
        try:
            driver.hardware.faults.arm(text.split() if isinstance(text, str) else ())
        except ValueError as error:
            raise OptionError(f"faults[{place}]", text, str(error)) from None
    return driver
