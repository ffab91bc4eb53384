"""The configuration of one switch: ``[[bridge]]`` and the tables in it.

See :mod:`agent.admin.config`, which has the rest of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from agent.admin import values
from agent.admin.kinds import Boolean, Integer, ListOf, OneOf, Pattern, Seconds, Table, Text
from agent.admin.schema import Change, ColdIf, Place, Refused, key
from agent.connmgr.target import ACTIVE_FORMS, PASSIVE_FORMS, Target
from agent.openflow.messages import Port
from agent.openflow.ports import to_wire10

COLD, IDENTITY, WARM = Change.COLD, Change.IDENTITY, Change.WARM

VERSIONS: Final = {"OpenFlow10": 1, "OpenFlow13": 4}
"""The protocols by the names Open vSwitch gives them, with their wire versions."""

MAX_PORT: Final = 0xFEFF
"""The highest port number that OpenFlow 1.0 has room for, as in Open vSwitch."""

_NAME: Final = Pattern(
    "a name of 1 to 15 letters, digits, '.', '_' and '-', not starting with '.' or '-'",
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}",
)


_PROBE: Final = Seconds(0.1, 86400, "no probe")
_RATE: Final = Integer(0, 1_000_000)
_BURST: Final = Integer(0, 1_000_000)


@attrs.frozen(kw_only=True)
class ControllerConfig:
    """An entry of ``controllers``: a string, which is the target, or a table."""

    target: Target = attrs.field(
        metadata=key(
            Text(ACTIVE_FORMS, values.active_target),
            "Where to connect to; the port is 6653 unless given.",
            change=IDENTITY,
        )
    )
    max_backoff: float = attrs.field(
        default=8.0,
        metadata=key(
            Seconds(1, 3600),
            "The longest wait between two attempts; the first wait is 1 s, and each is twice the "
            "one before.",
            change=WARM,
        ),
    )
    inactivity_probe: float = attrs.field(
        default=5.0,
        metadata=key(
            _PROBE,
            "After this long without a message an echo request is sent, and after as long again "
            "without an answer the connection is closed.",
            change=WARM,
        ),
    )
    controller_rate_limit: int | None = attrs.field(
        default=None,
        metadata=key(_RATE, "For this controller; without it, the bridge's.", change=WARM),
    )
    controller_burst_limit: int | None = attrs.field(
        default=None,
        metadata=key(_BURST, "For this controller; without it, the bridge's.", change=WARM),
    )


@attrs.frozen(kw_only=True)
class ListenerConfig:
    """An entry of ``listen``: a string, which is the target, or a table."""

    target: Target = attrs.field(
        metadata=key(
            Text(PASSIVE_FORMS, values.passive_target),
            "Where to listen; the port is 6653 unless given, and 0 means any free one.",
            change=IDENTITY,
        )
    )
    inactivity_probe: float = attrs.field(
        default=5.0,
        metadata=key(_PROBE, "As for controllers, for each accepted connection.", change=WARM),
    )
    snoop: bool = attrs.field(
        default=False,
        metadata=key(
            Boolean(),
            "Whether who connects is not listened to, but gets a copy of every message to and from "
            "the controllers that the bridge connects to.",
            change=WARM,
        ),
    )


@attrs.frozen(kw_only=True)
class PeerConfig:
    """``[[bridge.peer]]``: what the owner of a certificate may do."""

    name: str = attrs.field(
        metadata=key(
            Pattern('a name in a certificate, or "*"', r"[!-~]([ -~]{0,253}[!-~])?"),
            'The subject\'s common name, or a DNS name, URI or address beside it; "*" are all '
            "whom no other entry names.",
            change=IDENTITY,
        )
    )
    role: str = attrs.field(
        metadata=key(
            OneOf(("controller", "observer")),
            "What it may be: a controller may do everything, an observer is a slave for good.",
            change=WARM,
        )
    )


def _frozen(options: Mapping[str, object]) -> Mapping[str, object]:
    return MappingProxyType(dict(options))


@attrs.frozen
class DriverConfig:
    """``[bridge.driver]``: which driver, and its own options, which only its factory knows.

    :ivar options: the other keys.  A string that names a file, as seen from the configuration's
        directory, has become that file's absolute path.  They are not hashed, being a mapping.
    """

    name: str
    options: Mapping[str, object] = attrs.field(factory=dict, converter=_frozen, hash=False)


@attrs.frozen
class _Driver:
    """The kind of ``[bridge.driver]``."""

    allowed: str = (
        'a table with the key name ("asic", "software" or a plugin\'s) '
        "and the driver's own options"
    )

    def read(self, value: object, place: Place) -> DriverConfig:
        """The name checked for its type, the options as they are."""
        if not isinstance(value, dict):
            raise Refused(f"must be {self.allowed}")
        name = value.get("name")
        if name is None:
            raise place.at("name").error("missing; must be the name of a driver")
        if not isinstance(name, str):
            raise place.at("name").error("must be a string, the name of a driver", name)
        options = {
            option: self._resolve(given, place)
            for option, given in value.items()
            if option != "name"
        }
        return DriverConfig(name, options)

    @staticmethod
    def parts(value: DriverConfig) -> Mapping[str, object]:
        """Its keys, to be compared one by one."""
        return {"name": value.name, **value.options}

    @staticmethod
    def _resolve(given: object, place: Place) -> object:
        # Only a driver knows which of its options are paths.  A plain word never becomes one,
        # so that a file which happens to be called "quanta" does not change a meaning.
        if isinstance(given, str) and ("/" in given or "." in given):
            path = os.path.join(place.directory, given)
            if os.path.isfile(path):
                return path
        return given


def _grows(old: int | None, new: int | None) -> bool:
    """Whether a table is to take more rules than the driver was told: it may have no room."""
    return new is None or (old is not None and new > old)


@attrs.frozen(kw_only=True)
class TableConfig:
    """``[[bridge.table]]``: restricts what the driver offers."""

    id: int = attrs.field(metadata=key(Integer(0, 254), "Which table.", change=IDENTITY))
    name: str | None = attrs.field(
        default=None,
        metadata=key(
            Pattern("a string of 1 to 31 printable ASCII characters", r"[ -~]{1,31}"),
            "Its name; without it, the driver's.",
            change=WARM,
            cold_if=ColdIf("it is left out", lambda old, new: new is None),
        ),
    )
    overflow: str = attrs.field(
        default="refuse",
        metadata=key(
            OneOf(("refuse", "evict")),
            "What happens to a rule for which there is no room: it is refused, or takes the place "
            "of the rule that would expire first; rules without a timeout stay.",
            change=WARM,
        ),
    )
    size: int | None = attrs.field(
        default=None,
        metadata=key(
            Integer(1, 10_000_000),
            "The most rules it takes; without it, what the driver offers.  Of more rules than "
            "that, those that are there stay.",
            change=WARM,
            cold_if=ColdIf("it grows, or is left out", _grows),
        ),
    )


@attrs.frozen
class _PortNumber:
    """The kind of a port's number."""

    allowed: str = f'an integer from 1 to {MAX_PORT}, or "LOCAL"'

    def read(self, value: object, place: Place) -> int:
        """The number in OpenFlow 1.3; that of LOCAL in OpenFlow 1.0 will do, too."""
        if value in (Port.LOCAL.name, to_wire10(Port.LOCAL)):
            return int(Port.LOCAL)
        if type(value) is not int or not 1 <= value <= MAX_PORT:
            raise Refused(f"must be {self.allowed}")
        return value

    def form(self, value: int) -> object:
        """The number as the file has it."""
        return Port.LOCAL.name if value == Port.LOCAL else value


PORT_NUMBER: Final = _PortNumber()


def _usual_type(port: PortConfig) -> str:
    return "tap" if port.number == Port.LOCAL else "netdev"


MAX_QUEUE: Final = 0xFFFE
"""Classes have numbers of 16 bits, one more than those of their queues."""


def _ascending(numbers: Iterable[int]) -> tuple[int, ...]:
    """Each once: the order they are written in means nothing."""
    return tuple(sorted(frozenset(numbers)))


@attrs.frozen(kw_only=True)
class PortConfig:
    """``[[bridge.port]]``."""

    number: int = attrs.field(
        metadata=key(
            PORT_NUMBER,
            'Its OpenFlow number; "LOCAL": the port of the host that the agent runs on, which '
            "in-band connections use.",
            change=IDENTITY,
        )
    )
    name: str = attrs.field(
        factory=str,
        metadata=key(
            _NAME,
            "Its name; of a netdev, the device's.  Every port needs one but LOCAL, which has its "
            "bridge's unless it is given another.",
            change=COLD,
        ),
    )
    type: str = attrs.field(
        default=attrs.Factory(_usual_type, takes_self=True),
        metadata=key(
            OneOf(("memory", "netdev", "tap")),
            "memory: inside the agent only; netdev: an existing network device of that name; "
            "tap: a device of that name that the agent makes.  Unless given it is netdev, and of "
            "the port LOCAL tap.",
            change=COLD,
        ),
    )
    queues: tuple[int, ...] = attrs.field(
        default=(),
        converter=_ascending,
        metadata=key(
            ListOf(Integer(0, MAX_QUEUE)),
            "Of a netdev, the queues that rules can choose: packets of queue 0 go to the class 1:1 "
            "of the device's traffic control, those of queue 1 for 1:2, and so on.  The agent does "
            "not make the classes.",
            change=COLD,
        ),
    )


def _in_order(protocols: Iterable[str]) -> tuple[str, ...]:
    """Each once, the oldest first: the order they are written in means nothing."""
    given = frozenset(protocols)
    return tuple(name for name in VERSIONS if name in given)


@attrs.frozen(kw_only=True)
class BridgeConfig:
    """``[[bridge]]``: one switch."""

    name: str = attrs.field(
        metadata=key(_NAME, "Its name, unlike any other bridge's.", change=IDENTITY)
    )
    datapath_id: int = attrs.field(
        metadata=key(
            Text(values.DATAPATH_ID, values.datapath_id, values.show_datapath_id),
            "What controllers know it by, unlike any other switch's.",
            change=COLD,
        )
    )
    protocols: tuple[str, ...] = attrs.field(
        default=tuple(VERSIONS),
        converter=_in_order,
        metadata=key(
            ListOf(OneOf(tuple(VERSIONS)), least=1),
            "The versions of OpenFlow that it speaks; a connection with another is closed.",
            change=WARM,
        ),
    )
    fail_mode: str = attrs.field(
        default="secure",
        metadata=key(
            OneOf(("secure", "standalone")),
            "Without any controller: keep the rules, or forward like an ordinary switch.",
            change=WARM,
        ),
    )
    in_band: bool = attrs.field(
        default=False,
        metadata=key(
            Boolean(), "Whether controllers are reached through the switch itself.", change=WARM
        ),
    )
    in_band_queue: int | None = attrs.field(
        default=None,
        metadata=key(
            Integer(0, 0xFFFFFFFE),
            "The queue that in-band control uses; without it, that of all other packets.",
            change=WARM,
        ),
    )
    in_band_remotes: tuple[tuple[str, int], ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Text(values.REMOTE, values.remote, values.show_http)),
            "Who else than the controllers is reached through the switch itself.",
            change=WARM,
        ),
    )
    in_band_next_hops: tuple[int, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Text(values.MAC, values.mac, values.show_mac)),
            "The next hops on the way to the controllers; without any, the kernel is asked.",
            change=WARM,
        ),
    )
    controller_rate_limit: int = attrs.field(
        default=1000,
        metadata=key(
            _RATE,
            "Packets a second that each controller is sent at most, of those that hit no rule and "
            "of those that a rule sends to it; 0: as many as there are.",
            change=WARM,
        ),
    )
    controller_burst_limit: int = attrs.field(
        default=0,
        metadata=key(
            _BURST,
            "How many of them at once after a pause, and how many may wait; 0: a quarter of the "
            "rate.",
            change=WARM,
        ),
    )
    max_pending: int = attrs.field(
        default=50,
        metadata=key(
            Integer(1, 100_000),
            "The most groups of operations in flight; further requests wait.  A driver that puts "
            "operations in an order in which they cost little chooses among these: the more, the "
            "faster it can be, and the longer a connection may wait for what others have sent.",
            change=WARM,
        ),
    )
    watchdog: float = attrs.field(
        default=60.0,
        metadata=key(
            Seconds(0.1, 86400, "no limit"),
            "An operation that the driver has not completed after this long has failed; its rule "
            "is degraded, or deleted if it was to be added.  Counters are waited for as long.",
            change=WARM,
        ),
    )
    listen: tuple[ListenerConfig, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Table(ListenerConfig, short="target")),
            "Where controllers may connect to.",
            change=WARM,
        ),
    )
    snoop: bool = attrs.field(
        default=False,
        metadata=key(
            Boolean(),
            "Whether to listen for snoops where ovs-ofctl snoop looks for them: at NAME.snoop in "
            "run_dir.",
            change=WARM,
        ),
    )
    controllers: tuple[ControllerConfig, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Table(ControllerConfig, short="target")),
            "The controllers to connect to.",
            change=WARM,
        ),
    )
    peers: tuple[PeerConfig, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Table(PeerConfig)),
            "Who may do what over ssl: and pssl:; without any, everybody whose certificate comes "
            "from the authorities may do everything, and with some, whom none names is sent away.",
            change=WARM,
            name="peer",
        ),
    )
    driver: DriverConfig = attrs.field(
        metadata=key(_Driver(), "What programs the hardware.", change=COLD)
    )
    tables: tuple[TableConfig, ...] = attrs.field(
        default=(),
        metadata=key(
            ListOf(Table(TableConfig), sparse=True),
            "Names and sizes of tables; without any, all that the driver offers.",
            change=WARM,
            name="table",
        ),
    )
    ports: tuple[PortConfig, ...] = attrs.field(
        default=(),
        metadata=key(ListOf(Table(PortConfig)), "The ports.", change=COLD, name="port"),
    )

    @property
    def versions(self) -> tuple[int, ...]:
        """The wire versions of :attr:`protocols`, ascending."""
        return tuple(VERSIONS[name] for name in self.protocols)


@attrs.frozen
class BridgeTable(Table[BridgeConfig]):
    """The kind of ``[[bridge]]``."""

    def read(self, value: object, place: Place) -> BridgeConfig:
        """A bridge whose ports all have names; the port LOCAL may have its bridge's.  The socket
        that ``snoop`` asks for is one of :attr:`BridgeConfig.listen`."""
        bridge = super().read(value, place)
        ports = []
        for index, port in enumerate(bridge.ports):
            if not port.name and port.number != Port.LOCAL:
                where = place.at("port").item(index).at("name")
                raise where.error(f"missing; must be {_NAME.allowed}")
            ports.append(attrs.evolve(port, name=port.name or bridge.name))
        listen = bridge.listen
        if bridge.snoop:
            listen = (*listen, self._snoop(bridge.name, place))
        return attrs.evolve(bridge, ports=tuple(ports), listen=listen)

    @staticmethod
    def _snoop(name: str, place: Place) -> ListenerConfig:
        """Where ovs-ofctl looks for a bridge's snoops."""
        try:
            target = values.passive_target(f"punix:{name}.snoop", place)
        except ValueError as error:
            raise place.at("snoop").error(str(error), True) from None
        return ListenerConfig(target=target, snoop=True)
