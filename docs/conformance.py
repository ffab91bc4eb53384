"""What of OpenFlow there is, from what the code has: the codecs, the switch, and each driver.

A driver says what it can do in its :class:`drivers.interfaces.Capabilities`.  They are asked for
here of drivers with their default options and two ports, not started; whatever changes in them, or
whichever driver is added, changes the tables.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Container, Iterable, Iterator
from functools import cache, partial
from typing import Any, Final

from twisted.internet.task import Clock
from zope.interface.interface import InterfaceClass

from agent.connmgr.handlers import OWN
from agent.ofproto.ofproto import OFProto
from agent.openflow import actions as of
from agent.openflow import actions10, actions13, of10, of13, symmetric
from agent.openflow.actions import Action
from agent.openflow.fields import FIELDS, Field
from agent.openflow.frame import Type10, Type13
from agent.openflow.group_messages import BandType, GroupType, MeterFlags
from agent.openflow.instructions13 import InstructionType
from agent.openflow.messages import Port
from agent.openflow.multipart import Multipart, Stat
from agent.openflow.nicira import monitor
from agent.openflow.nicira import statistics as nicira_statistics
from agent.openflow.nicira.actions import ENCODERS as NICIRA_ENCODERS
from agent.openflow.nicira.session import EXTENSIONS
from docs.table import NO, YES, first_sentence, table, tick
from drivers import abilities as drivers_abilities
from drivers.interfaces import ALL_FIELDS, Capabilities, TableCapabilities
from drivers.registry import available
from drivers.testing.fakes import FakeEntry

_PORT_TYPES: Final = ("memory", "netdev")
"""Kinds of ports; each driver has at least one of them."""


@cache
def drivers() -> dict[str, Capabilities]:
    """What each driver of this project can do, by its name."""
    return {
        name: _driver(name).capabilities
        for name, factory in available().items()
        if getattr(factory, "module", "").startswith("drivers.")
    }


def _driver(name: str) -> Any:
    factory = available()[name]
    for kind in _PORT_TYPES:
        ports = [FakeEntry(f"p{number}", number=number, type=kind) for number in (1, 2)]
        try:
            return factory.create({}, ports, ())
        except ValueError as error:
            refused = error
    raise refused


def _by_driver(heads: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> list[str]:
    return table((*heads, *(f"`{name}`" for name in drivers())), rows)


def _each(
    holds: Callable[[Capabilities], object], shown: Callable[[Any], str] = tick
) -> tuple[str, ...]:
    """A cell for each driver."""
    return tuple(shown(holds(capabilities)) for capabilities in drivers().values())


def _tables(shown: Callable[[TableCapabilities], str]) -> tuple[str, ...]:
    """A cell for each driver, from its tables; what is not so in all of them says where it is."""
    return tuple(_spread(capabilities, shown) for capabilities in drivers().values())


def _spread(capabilities: Capabilities, shown: Callable[[TableCapabilities], str]) -> str:
    where: dict[str, list[str]] = {}
    for one in capabilities.tables:
        where.setdefault(shown(one), []).append(str(one.table_id))
    if len(where) == 1:
        return next(iter(where))
    return "; ".join(f"{cell}: {', '.join(ids)}" for cell, ids in where.items() if cell != NO)


def abilities() -> list[str]:
    """What each driver offers besides: the interfaces of :mod:`drivers.abilities`."""
    offered = [one for one in vars(drivers_abilities).values() if isinstance(one, InterfaceClass)]
    made = {name: _driver(name) for name in drivers()}
    return _by_driver(
        ("ability", "what"),
        (
            (
                f"`{one.__name__}`",
                first_sentence(one.__doc__),
                *(tick(one.providedBy(driver)) for driver in made.values()),
            )
            for one in offered
            if one.__module__ == drivers_abilities.__name__
        ),
    )


# --- messages ------------------------------------------------------------------------------------


@cache
def executed() -> frozenset[type]:
    """The classes of messages that the agent executes."""
    switch = OFProto("br0", 1, _driver("software"), Clock())
    switch.start()
    return frozenset(OWN) | frozenset(switch._handlers)


def messages() -> list[str]:
    """The types of messages, and what the agent does with each."""
    kinds: dict[type, dict[int, type]] = {
        version: {kind.number: kind.message for kind in module.KINDS}
        for version, module in ((Type10, of10), (Type13, of13))
    }
    both = {kind.message for kind in (*symmetric.KINDS10, *symmetric.KINDS13)}
    names = list(dict.fromkeys(_same(kind) for kind in (*Type13, *Type10)))
    rows = []
    for name in names:
        numbers = [
            next((int(kind) for kind in version if _same(kind) == name), None)
            for version in (Type10, Type13)
        ]
        found = [
            kinds[version].get(number)
            for version, number in zip((Type10, Type13), numbers, strict=True)
            if number is not None
        ]
        rows.append((f"`{name}`", *map(_number, numbers), _done(name, found, both)))
    return table(("message", "1.0", "1.3", "the agent"), rows)


def _number(number: int | None) -> object:
    return NO if number is None else number


def _same(kind: Type10 | Type13) -> str:
    """Its name; of what both versions have, that of 1.3."""
    renamed = {"VENDOR": "EXPERIMENTER"}
    name = kind.name.replace("STATS_", "MULTIPART_")
    return f"OFPT_{renamed.get(name, name)}"


def _done(name: str, found: list[type | None], both: set[type]) -> str:
    if name.startswith("OFPT_MULTIPART"):
        return "executes, see below" if name.endswith("REQUEST") else "sends"
    classes = {one for one in found if one is not None}
    if classes & both:
        return "executes and sends"
    if classes & executed():
        return "executes"
    return "sends" if classes else "refuses"


def statistics() -> list[str]:
    """The statistics, which 1.3 calls multipart messages."""
    versions = (of10.STATISTICS, of13.STATISTICS)
    rows = [
        (f"`OFPMP_{stat.name}`", *(tick(stat in _stats(version)) for version in versions))
        for stat in Stat
        if stat is not Stat.EXPERIMENTER
    ]
    extended = (*nicira_statistics.STATISTICS10, *monitor.STATISTICS10, *monitor.STATISTICS13)
    for one in extended:
        text = f"`{one.request.__name__}` (experimenter {one.experimenter:#x}, {one.number})"
        rows.append((text, *(tick(one.key in _stats(version)) for version in versions)))
    return table(("statistics", "1.0", "1.3"), rows)


def _stats(version: Multipart) -> set[int]:
    return set(version._requests)


def extensions() -> list[str]:
    """The messages of experimenters."""
    classes = {
        message: extension.experimenter
        for extension in EXTENSIONS
        for message in extension.encoders
    }
    return table(
        ("message", "what", "the agent"),
        (
            (
                f"`{message.__name__}`",
                first_sentence(message.__doc__),
                "executes" if message in executed() else "sends",
            )
            for message in classes
        ),
    )


# --- what rules are made of ----------------------------------------------------------------------


def fields() -> list[str]:
    """The fields that can be matched, on the wire and with each driver."""
    return _by_driver(
        ("field", "bits", "OXM", "mask", "NXM", "mask", "set"),
        (
            (
                f"`{field.name}`",
                field.bits,
                NO if field.oxm is None else field.oxm[1],
                tick(field.oxm and field.maskable),
                NO if field.nxm is None else f"{field.nxm[0]}, {field.nxm[1]}",
                tick(field.nxm and field.nxm_maskable),
                tick(field.writable),
                *_tables(partial(_matched, field)),
            )
            for field in FIELDS.values()
        ),
    )


def _matched(field: Field, one: TableCapabilities) -> str:
    if field.mask & ~one.match_mask & ALL_FIELDS:
        return NO
    return "exact" if field.mask & one.exact_mask else YES


def actions() -> list[str]:
    """The actions, on the wire and with each driver: in apply-actions, and in the action set."""
    spoken = {**actions13.ENCODERS, **actions10.ENCODERS, **NICIRA_ENCODERS}
    return _by_driver(
        ("action", "what", "1.0", "1.3", "Nicira"),
        (
            (
                f"`{action.__name__}`",
                first_sentence(action.__doc__),
                tick(action in actions10.ENCODERS),
                tick(action in actions13.ENCODERS),
                tick(action in NICIRA_ENCODERS),
                *_tables(partial(_executed, action)),
            )
            for action in spoken
        ),
    )


def _executed(action: type[Action], one: TableCapabilities) -> str:
    applied = one.actions is None or action in one.actions
    written = one.write_actions is None or action in one.write_actions
    if applied and written:
        return "apply, write"
    return "apply" if applied else "write" if written else NO


def instructions() -> list[str]:
    """The instructions of 1.3 with each driver."""
    classes = {
        InstructionType.GOTO_TABLE: of.GotoTable,
        InstructionType.WRITE_METADATA: of.WriteMetadata,
        InstructionType.WRITE_ACTIONS: of.WriteActions,
        InstructionType.APPLY_ACTIONS: of.ApplyActions,
        InstructionType.CLEAR_ACTIONS: of.ClearActions,
        InstructionType.METER: of.MeterInstruction,
    }
    return _by_driver(
        ("instruction",),
        (
            (
                f"`OFPIT_{kind.name}`",
                *_tables(partial(_understood, classes[kind])),
            )
            for kind in InstructionType
        ),
    )


def _understood(instruction: type, one: TableCapabilities) -> str:
    return tick(one.instructions is None or instruction in one.instructions)


def features() -> list[str]:
    """Tables, groups, meters and reserved ports of each driver."""
    return _by_driver(("",), _features())


def _features() -> Iterator[tuple[object, ...]]:
    yield ("tables", *_each(lambda can: len(can.tables), str))
    yield ("rules in a table", *_each(lambda can: {one.max_entries for one in can.tables}, _counts))
    yield ("groups of each type", *_each(lambda can: can.max_groups, _count))
    yield ("buckets of a group", *_each(lambda can: can.group_types and can.max_buckets, _count))
    yield from _members("OFPGT", GroupType, lambda can: can.group_types)
    yield (
        "weights of `OFPGT_SELECT`",
        *_each(lambda can: GroupType.SELECT in can.group_types and can.select_weight),
    )
    yield (
        "chained groups",
        *_each(
            lambda can: (
                can.group_types
                and (can.bucket_actions is None or of.GroupAction in can.bucket_actions)
            )
        ),
    )
    yield ("meters", *_each(lambda can: can.max_meters, _count))
    yield ("bands of a meter", *_each(lambda can: can.max_meters and can.max_bands, _count))
    yield from _members("OFPMBT", BandType, lambda can: can.band_types if can.max_meters else ())
    yield from _members("OFPMF", MeterFlags, _meter_flags)
    ports = [port for port in Port if port not in (Port.MAX, Port.ANY)]
    yield from _members("OFPP", ports, lambda can: can.reserved_ports, "output to ")


def _members(
    prefix: str,
    members: Iterable[enum.IntEnum],
    known: Callable[[Capabilities], Container[int]],
    before: str = "",
) -> Iterator[tuple[object, ...]]:
    """A row for each of some numbers that have a name."""
    for member in members:
        ticks = (tick(member in known(can)) for can in drivers().values())
        yield (f"{before}`{prefix}_{member.name}`", *ticks)


def _meter_flags(can: Capabilities) -> Container[int]:
    return [flag for flag in MeterFlags if can.max_meters and can.meter_flags & flag]


def _count(number: int) -> str:
    return f"{number:,}" if number else NO


def _counts(numbers: set[int]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
