"""What the kernel says of a filter: not quite what it was sent."""

from __future__ import annotations

from struct import Struct

import attrs

from drivers.tcflower import pack
from drivers.tcflower.dump import TIMES, payloads
from drivers.tcflower.filters import KEYS

TPIDS = (0x8100, 0x88A8)
POLICE_RESULT = 5

_stats = Struct("=QIxxxx")
_times = Struct("=QQQQ")
_gen = Struct("=IIiii")
_mirred = Struct("=IIiiiiI")


@attrs.define(eq=False)
class Installed:
    """A filter in the kernel.

    :ivar key: its chain, pref and handle.
    :ivar options: of the request that it was made by.
    :ivar flags: where it is.
    :ivar octets: without Ethernet headers.
    :ivar index: the number of the device whose name was given; 0: none was.
    :ivar gone: the numbers of devices that were there and are not any more: their names are not
        told, and what is sent there goes nowhere.
    :ivar what: what it compares: filters of one pref must differ in it.
    """

    key: tuple[int, int, int]
    options: dict[int, bytes]
    flags: int = 8
    packets: int = 0
    octets: int = 0
    age: int = 0
    in_hw_count: int = 0
    index: int = 0
    gone: set[int] = attrs.Factory(set)
    what: frozenset[tuple[int, bytes | int]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.what = frozenset(
            (number, value)
            for number, value in self.options.items()
            if number not in (pack.FLOWER_ACT, pack.FLOWER_FLAGS, pack.FLOWER_INDEV)
        ) | {(pack.FLOWER_INDEV, self.index)}

    @property
    def indev(self) -> str:
        """The device where its packets come in; empty: any, or one that is gone."""
        if self.index in self.gone:
            return ""
        return self.options.get(pack.FLOWER_INDEV, b"").rstrip(b"\0").decode()

    @property
    def targets(self) -> list[int]:
        """The devices that it sends packets to."""
        return [
            _mirred.unpack(payloads(one[pack.ACT_OPTIONS])[2])[6]
            for one in self.actions
            if one[pack.ACT_KIND] == b"mirred\0"
        ]

    @property
    def actions(self) -> list[dict[int, bytes]]:
        """Its actions, as attributes."""
        return [
            payloads(action)
            for _, action in sorted(payloads(self.options.get(pack.FLOWER_ACT, b"")).items())
        ]

    @property
    def police(self) -> list[int]:
        """The numbers of the police actions that it only refers to."""
        found = [payloads(one[pack.ACT_OPTIONS]) for one in self.actions if _is_police(one)]
        # What it has itself has a result.
        return [int.from_bytes(one[1][:4], pack.ORDER) for one in found if POLICE_RESULT not in one]

    @property
    def kinds(self) -> list[str]:
        """The kinds of its actions."""
        return [one[pack.ACT_KIND].rstrip(b"\0").decode() for one in self.actions]

    @property
    def kind(self) -> str:
        """The kind of its first action."""
        return self.kinds[0]

    @property
    def cookie(self) -> bytes:
        """Of its first action."""
        return self.actions[0].get(pack.ACT_COOKIE, b"")


def _is_police(action: dict[int, bytes]) -> bool:
    return action[pack.ACT_KIND] == b"police\0"


def filter_message(
    installed: Installed, block: int, sequence: int = 0, kind: int = 44, terse: bool = False
) -> bytes:
    """What a dump says of a filter.

    :param kind: RTM_NEWTFILTER, or of news that it is gone, RTM_DELTFILTER.
    :param terse: whether it leaves out what is compared and what the actions do.
    """
    chain, pref, handle = installed.key
    hardware = pack.attribute(86, installed.in_hw_count.to_bytes(4, "little"))
    options = (
        (b"" if terse else _keys(installed))
        + pack.attribute(pack.FLOWER_FLAGS, installed.flags.to_bytes(4, "little"))
        + (b"" if terse else hardware)
        + pack.attribute(
            pack.FLOWER_ACT,
            b"".join(
                pack.attribute(place, _action(installed, action, terse))
                for place, action in enumerate(installed.actions, 1)
            ),
        )
    )
    body = (
        pack.string(pack.KIND, "flower")
        + pack.attribute(pack.CHAIN, chain.to_bytes(4, "little"))
        + pack.attribute(pack.OPTIONS, options)
    )
    return pack.message(kind, 2, sequence, block, (handle, pref, 3), body)


def _action(installed: Installed, action: dict[int, bytes], terse: bool) -> bytes:
    """An action with what it has counted, a number of its own, and its times."""
    statistics = pack.attribute(1, _stats.pack(installed.octets, installed.packets))
    if installed.in_hw_count:
        statistics += pack.attribute(7, _stats.pack(installed.octets, installed.packets))
    name = action[pack.ACT_KIND].rstrip(b"\0").decode()
    options = payloads(action[pack.ACT_OPTIONS])
    parms = {"csum": 1, "police": 1, "ct": 1, "pedit": 4}.get(name, 2)
    if name != "police":
        _, capab, control, _, _ = _gen.unpack_from(options[parms])
        options[parms] = _gen.pack(77, capab, control, 1, 1) + options[parms][_gen.size :]
    if name == "mirred" and _mirred.unpack(options[2])[6] in installed.gone:
        options[2] = _mirred.pack(*_mirred.unpack(options[2])[:6], 0)
    options[TIMES[name.encode()]] = _times.pack(0, installed.age, 0, 0)
    cookie = action.get(pack.ACT_COOKIE)
    told = (
        pack.attribute(pack.ACT_KIND, action[pack.ACT_KIND])
        + pack.attribute(pack.ACT_STATS, statistics)
        + (b"" if cookie is None else pack.attribute(pack.ACT_COOKIE, cookie))
    )
    if terse:
        return told
    return told + pack.attribute(
        pack.ACT_OPTIONS,
        b"".join(pack.attribute(number, value) for number, value in options.items()),
    )


def _keys(installed: Installed) -> bytes:
    """What is compared, with all masks; of tags, not which EtherTypes they have."""
    untold = {pack.FLOWER_ACT, pack.FLOWER_FLAGS}
    if not installed.indev:
        untold.add(pack.FLOWER_INDEV)
    told = {n: value for n, value in installed.options.items() if n not in untold}
    types = [KEYS[name].attr for name in ("eth_type", "vlan_eth_type", "cvlan_eth_type")]
    if int.from_bytes(told.get(types[0], b""), "big") in TPIDS:
        inner = [told.pop(number) for number in types if number in told][-1]
        if int.from_bytes(inner, "big") not in TPIDS:
            told[types[0]] = inner
    for kind in KEYS.values():
        if kind.attr in told and kind.mask_attr is not None:
            told.setdefault(kind.mask_attr, b"\xff" * kind.size)
    return b"".join(pack.attribute(number, value) for number, value in sorted(told.items()))
