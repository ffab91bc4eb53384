"""Messages about flows, packets and sessions, OpenFlow's and Nicira's, as ``ovs-ofctl`` 3.1 prints
them: for logs, and for tests that ask ``ovs-ofctl`` what it makes of the same bytes.

What has no words here is written as Python writes it, behind the name that it has.  Of a packet-in
only the first line is written; what the packet is tells :mod:`agent.packet.describe`.  Actions have
the words of :mod:`agent.openflow.text` in every version: what ``ovs-ofctl`` calls ``mod_dl_src`` or
``set_tunnel`` in 1.0 is a ``set_field`` here.

Source: ``ofp-print.c``, ``ofp-flow.c``, ``ofp-monitor.c`` of Open vSwitch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agent.openflow import messages as of
from agent.openflow import nx_messages as nxm
from agent.openflow.bundle_messages import BundleAdd, BundleControl, BundleFlags, BundleType
from agent.openflow.codec import decode
from agent.openflow.constants import (
    ALL_TABLES,
    ANY,
    NO_BUFFER,
    OFP10,
    FlowModCommand,
    FlowModFlags,
    PacketInReason,
    PortReason,
    RemovedReason,
)
from agent.openflow.errors import OpenFlowError
from agent.openflow.text import format_instructions, format_match
from agent.openflow.text_values import format_port

_NO_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
_NO_GENERATION: Final = 0xFFFFFFFFFFFFFFFF


def format_message(version: int, message: Any) -> str:
    """One message, on one line or, for lists, on several; no line ends at its end.

    :param version: of the session that it belongs to.
    """
    name, body = _KINDS.get(type(message), (type(message).__name__, _repr))
    if callable(name):
        name = name(version, message)
    head = name if version == OFP10 else f"{name} (OF1.3)"
    return f"{head} (xid={message.xid:#x}):{body(version, message)}"


def _repr(version: int, message: Any) -> str:
    return f" {message!r}"


def _nothing(version: int, message: Any) -> str:
    return ""


def _duration(seconds: int, nanoseconds: int) -> str:
    """Without a fraction, in milliseconds where they are enough, else without zeros at its end."""
    if not nanoseconds:
        return f"{seconds}s"
    millis, rest = divmod(nanoseconds, 1_000_000)
    digits = f"{nanoseconds:09}".rstrip("0") if rest else f"{millis:03}"
    return f"{seconds}.{digits}s"


def _more(message: Any) -> str:
    return " flags=[more]" if message.more else ""


def _removed_reason(reason: int) -> str:
    return _REMOVED.get(reason, str(reason))


_REMOVED: Final[dict[int, str]] = {
    RemovedReason.IDLE_TIMEOUT: "idle",
    RemovedReason.HARD_TIMEOUT: "hard",
    RemovedReason.DELETE: "delete",
    RemovedReason.GROUP_DELETE: "group_delete",
    RemovedReason.METER_DELETE: "meter_delete",
    RemovedReason.EVICTION: "eviction",
}
_PACKET_IN: Final[dict[int, str]] = {one: one.name.lower() for one in PacketInReason}
_PORT: Final[dict[int, str]] = {one: one.name.lower() for one in PortReason}

# --- FLOW_MOD, FLOW_REMOVED, PACKET_IN ---------------------------------------------------------

_COMMANDS: Final[dict[int, str]] = {
    FlowModCommand.ADD: "ADD",
    FlowModCommand.MODIFY: "MOD",
    FlowModCommand.MODIFY_STRICT: "MOD_STRICT",
    FlowModCommand.DELETE: "DEL",
    FlowModCommand.DELETE_STRICT: "DEL_STRICT",
}
_FLAGS: Final = {
    FlowModFlags.SEND_FLOW_REM: "send_flow_rem ",
    FlowModFlags.CHECK_OVERLAP: "check_overlap ",
    FlowModFlags.RESET_COUNTS: "reset_counts ",
    FlowModFlags.NO_PKT_COUNTS: "no_packet_counts ",
    FlowModFlags.NO_BYT_COUNTS: "no_byte_counts ",
}


def _flags(flags: int) -> str:
    return "".join(word for flag, word in _FLAGS.items() if flags & flag)


def _cookies(version: int, message: of.FlowMod) -> list[str]:
    """The cookie that rules get, if any do, and the one that they must have, if any."""
    adds = message.command == FlowModCommand.ADD
    if version == OFP10:
        asks = bool(message.nxm and message.cookie_mask)
        new = message.new_cookie if asks else message.cookie
    else:
        asks = bool(message.cookie_mask and not adds)
        new = message.cookie if adds else _NO_COOKIE
    parts = [f"cookie:{new:#x}"] if new not in (None, 0, _NO_COOKIE) else []
    if asks:
        parts.append(f"cookie:0x{message.cookie:x}/{message.cookie_mask:#x}")
    return parts


def _flow_mod(version: int, message: of.FlowMod) -> str:
    """In 1.0 the high byte of the command is taken for a table, for one cannot know."""
    command, table_id = message.command, message.table_id
    if version == OFP10:
        table_id, command = nxm.split_command(command)
    parts = [_COMMANDS.get(command, f"cmd:{command}")]
    if table_id:
        parts.append(f"table:{table_id}")
    match = format_match(message.match, message.priority)
    parts += [match] if match else []
    parts += _cookies(version, message)
    if message.idle_timeout:
        parts.append(f"idle:{message.idle_timeout}")
    if message.hard_timeout:
        parts.append(f"hard:{message.hard_timeout}")
    if message.buffer_id != NO_BUFFER:
        parts.append(f"buf:0x{message.buffer_id:x}")
    if message.out_port != ANY:
        parts.append(f"out_port:{format_port(message.out_port)}")
    actions = f"{_flags(message.flags)}actions={format_instructions(message.instructions)}"
    return f" {' '.join(parts)} {actions}"


def _flow_removed(version: int, message: of.FlowRemoved) -> str:
    parts = [format_match(message.match, message.priority)]
    parts.append(f"reason={_removed_reason(message.reason)}")
    if message.table_id != ALL_TABLES and (version != OFP10 or message.nxm):
        parts.append(f"table_id={message.table_id}")
    if message.cookie:
        parts.append(f"cookie:{message.cookie:#x}")
    parts.append(f"duration{_duration(message.duration_sec, message.duration_nsec)}")
    parts.append(f"idle{message.idle_timeout}")
    if message.hard_timeout:
        parts.append(f"hard{message.hard_timeout}")
    parts.append(f"pkts{message.packet_count}")
    parts.append(f"bytes{message.byte_count}")
    return f" {' '.join(parts)}"


def _packet_in(version: int, message: of.PacketIn) -> str:
    parts = []
    if version != OFP10 or message.nxm:
        parts += [f"table_id={message.table_id}"] if message.table_id else []
        parts += [f"cookie=0x{message.cookie:x}"] if message.cookie != _NO_COOKIE else []
    parts.append(f"total_len={message.total_len}")
    match = format_match(message.match)
    parts += [match] if match else []
    parts.append(f"(via {_PACKET_IN.get(message.reason, message.reason)})")
    parts.append(f"data_len={len(message.data)}")
    buffered = message.buffer_id != NO_BUFFER
    parts.append(f"buffer=0x{message.buffer_id:08x}" if buffered else "(unbuffered)")
    return f" {' '.join(parts)}"


# --- statistics -------------------------------------------------------------------------------


def _request(version: int, message: of.FlowStatsRequest | of.AggregateRequest) -> str:
    parts = []
    if message.table_id != ALL_TABLES:
        parts.append(f"table={message.table_id}")
    if message.out_port != ANY:
        parts.append(f"out_port={format_port(message.out_port)}")
    return f" {' '.join([*parts, format_match(message.match)])}"


def _flow_stats(flow: of.FlowStats, nicira: bool) -> str:
    parts = [
        f"cookie=0x{flow.cookie:x}",
        f"duration={_duration(flow.duration_sec, flow.duration_nsec)}",
        f"table={flow.table_id}",
        f"n_packets={flow.packet_count}",
        f"n_bytes={flow.byte_count}",
    ]
    if flow.idle_timeout:
        parts.append(f"idle_timeout={flow.idle_timeout}")
    if flow.hard_timeout:
        parts.append(f"hard_timeout={flow.hard_timeout}")
    ages = ""
    if nicira and flow.idle_age is not None:
        ages += f"idle_age={flow.idle_age}, "
    if nicira and flow.hard_age is not None and flow.hard_age != flow.duration_sec:
        ages += f"hard_age={flow.hard_age}, "
    match = format_match(flow.match, flow.priority)
    actions = f"actions={format_instructions(flow.instructions)}"
    head = f"\n {', '.join(parts)}, {_flags(flow.flags)}{ages}"
    return f"{head}{match} {actions}" if match else f"{head}{actions}"


def _flows(version: int, message: of.FlowStatsReply) -> str:
    lines = [_flow_stats(flow, version == OFP10 and message.nxm) for flow in message.flows]
    return _more(message) + "".join(lines) if lines or message.more else " "


def _aggregate(version: int, message: of.AggregateReply) -> str:
    counts = f"packet_count={message.packet_count} byte_count={message.byte_count}"
    return f" {counts} flow_count={message.flow_count}"


# --- flow monitors ----------------------------------------------------------------------------


def _monitor_request(version: int, message: nxm.FlowMonitorRequest) -> str:
    return "".join(map(_monitor, message.monitors))


_MONITOR_FLAGS: Final = {flag: str(flag.name).lower() for flag in nxm.FlowMonitorFlags}


def _monitor(monitor: nxm.FlowMonitor) -> str:
    flags = [word for flag, word in _MONITOR_FLAGS.items() if monitor.flags & flag]
    parts = [f"id={monitor.monitor_id}", f"flags={','.join(flags)}"]
    if monitor.out_port != ANY:
        parts.append(f"out_port={format_port(monitor.out_port)}")
    if monitor.table_id != ALL_TABLES:
        parts.append(f"table={monitor.table_id}")
    match = format_match(monitor.match)
    return "\n " + " ".join([*parts, match] if match else parts)


def _monitor_reply(version: int, message: nxm.FlowMonitorReply) -> str:
    return _more(message) + "".join(map(_update, message.updates))


def _update(update: nxm.AnyFlowUpdate) -> str:
    if isinstance(update, nxm.FlowUpdateAbbrev):
        return f"\n event=ABBREV xid=0x{update.request_xid:x}"
    parts = [f"event={nxm.FlowUpdateEvent(update.event).name}"]
    if update.event == nxm.FlowUpdateEvent.DELETED:
        parts.append(f"reason={_removed_reason(update.reason)}")
    parts.append(f"table={update.table_id}")
    if update.idle_timeout:
        parts.append(f"idle_timeout={update.idle_timeout}")
    if update.hard_timeout:
        parts.append(f"hard_timeout={update.hard_timeout}")
    # Zero is written by C as it is here, without a prefix.
    parts.append(f"cookie={update.cookie:#x}" if update.cookie else "cookie=0")
    match = format_match(update.match)
    actions = f"actions={format_instructions(update.instructions)}" if update.instructions else ""
    return "\n " + " ".join([*parts, *filter(None, (match, actions))])


# --- sessions ---------------------------------------------------------------------------------

_ROLES: Final[dict[int, str]] = {0: "nochange", 1: "equal", 2: "primary", 3: "secondary"}


def _role(version: int, message: of.RoleRequest | of.RoleReply) -> str:
    role, generation_id = _ROLES.get(message.role, message.role), message.generation_id
    if isinstance(message, of.RoleReply):
        without = generation_id == _NO_GENERATION
    else:
        without = message.role == 0
    if version == OFP10 or generation_id is None or without:
        return f" role={role}"
    return f" role={role} generation_id={generation_id}"


def _async(version: int, message: of.SetAsync | of.GetAsyncReply) -> str:
    config = message.config
    return "\n".join(
        line
        for index, role in enumerate(("primary", "secondary"))
        for line in (
            f"\n {role}:",
            _wanted("PACKET_IN", config.packet_in_mask[index], _PACKET_IN),
            _wanted("PORT_STATUS", config.port_status_mask[index], _PORT),
            _wanted("FLOW_REMOVED", config.flow_removed_mask[index], _REMOVED),
            *(f"{name:>16}: (off)" for name in ("ROLE_STATUS", "TABLE_STATUS", "REQUESTFORWARD")),
        )
    )


def _wanted(name: str, mask: int, reasons: dict[int, str]) -> str:
    words = [word for reason, word in reasons.items() if mask >> reason & 1]
    return f"{name:>16}: {' '.join(words) if mask else '(off)'}"


_FLOW_FORMATS: Final[dict[int, str]] = {one: one.name.lower() for one in nxm.FlowFormat}
_PACKET_IN_FORMATS: Final[dict[int, str]] = {
    nxm.PacketInFormat.STANDARD: "standard",
    nxm.PacketInFormat.NXM: "nxt_packet_in",
}

# --- bundles ----------------------------------------------------------------------------------


def _bundle(number: int) -> str:
    return f"\n bundle_id={hex(number) if number else 0}"


def _bundle_flags(flags: int) -> str:
    words = [flag.name.lower() for flag in BundleFlags if flags & flag and flag.name]
    if unknown := flags & ~sum(BundleFlags):
        words.append(f"{unknown:#x}")
    return " ".join(words) or "0"


def _bundle_control(version: int, message: BundleControl) -> str:
    name = BundleType(message.type).name if message.type <= max(BundleType) else ""
    return f"{_bundle(message.bundle_id)} type={name} flags={_bundle_flags(message.flags)}"


def _bundle_add(version: int, message: BundleAdd) -> str:
    head = f"{_bundle(message.bundle_id)} flags={_bundle_flags(message.flags)}\n"
    try:
        return head + format_message(version, decode(version, message.message))
    except OpenFlowError as error:
        return f"{head}***decode error: {error}***"


# --- all of them ------------------------------------------------------------------------------


def _twin(name: str, nicira: str) -> Callable[[int, Any], str]:
    """The name of a message whose twin is Nicira's in 1.0."""
    return lambda version, message: nicira if message.nxm and version == OFP10 else name


def _packet_in_name(version: int, message: of.PacketIn) -> str:
    return "NXT_PACKET_IN" if message.nxm else "OFPT_PACKET_IN"


def _role_name(name: str) -> Callable[[int, Any], str]:
    return lambda version, message: (
        f"NXT_{name}" if version == OFP10 or message.generation_id is None else f"OFPT_{name}"
    )


def _set_async_name(version: int, message: of.SetAsync) -> str:
    return "NXT_SET_ASYNC_CONFIG" if version == OFP10 else "OFPT_SET_ASYNC"


def _monitor_name(name: str) -> Callable[[int, Any], str]:
    """Nicira's in 1.0; ``NXST`` and ``NXT`` are ``ONFST`` and ``ONFT`` in 1.3."""
    return lambda version, _: name if version == OFP10 else name.replace("NX", "ONF")


_KINDS: Final[dict[type, tuple[str | Callable[[int, Any], str], Callable[[int, Any], str]]]] = {
    of.FlowMod: (_twin("OFPT_FLOW_MOD", "NXT_FLOW_MOD"), _flow_mod),
    of.FlowRemoved: (_twin("OFPT_FLOW_REMOVED", "NXT_FLOW_REMOVED"), _flow_removed),
    of.PacketIn: (_packet_in_name, _packet_in),
    of.FlowStatsRequest: (_twin("OFPST_FLOW request", "NXST_FLOW request"), _request),
    of.FlowStatsReply: (_twin("OFPST_FLOW reply", "NXST_FLOW reply"), _flows),
    of.AggregateRequest: (_twin("OFPST_AGGREGATE request", "NXST_AGGREGATE request"), _request),
    of.AggregateReply: (_twin("OFPST_AGGREGATE reply", "NXST_AGGREGATE reply"), _aggregate),
    of.RoleRequest: (_role_name("ROLE_REQUEST"), _role),
    of.RoleReply: (_role_name("ROLE_REPLY"), _role),
    of.SetAsync: (_set_async_name, _async),
    of.GetAsyncReply: ("OFPT_GET_ASYNC_REPLY", _async),
    of.GetAsyncRequest: ("OFPT_GET_ASYNC_REQUEST", _nothing),
    of.BarrierRequest: ("OFPT_BARRIER_REQUEST", _nothing),
    of.BarrierReply: ("OFPT_BARRIER_REPLY", _nothing),
    nxm.SetFlowFormat: (
        "NXT_SET_FLOW_FORMAT",
        lambda _, m: f" format={_FLOW_FORMATS.get(m.format, m.format)}",
    ),
    nxm.SetPacketInFormat: (
        "NXT_SET_PACKET_IN_FORMAT",
        lambda _, m: f" format={_PACKET_IN_FORMATS.get(m.format, m.format)}",
    ),
    nxm.FlowModTableId: (
        "NXT_FLOW_MOD_TABLE_ID",
        lambda _, m: " enable" if m.enabled else " disable",
    ),
    nxm.FlowAge: ("NXT_FLOW_AGE", _nothing),
    nxm.SetControllerId: ("NXT_SET_CONTROLLER_ID", lambda _, m: f" id={m.controller_id}"),
    nxm.FlowMonitorRequest: (_monitor_name("NXST_FLOW_MONITOR request"), _monitor_request),
    nxm.FlowMonitorReply: (_monitor_name("NXST_FLOW_MONITOR reply"), _monitor_reply),
    nxm.FlowMonitorCancel: (
        _monitor_name("NXT_FLOW_MONITOR_CANCEL"),
        lambda _, m: f" id={m.monitor_id}",
    ),
    nxm.FlowMonitorPaused: (_monitor_name("NXT_FLOW_MONITOR_PAUSED"), _nothing),
    nxm.FlowMonitorResumed: (_monitor_name("NXT_FLOW_MONITOR_RESUMED"), _nothing),
    BundleControl: ("ONFT_BUNDLE_CONTROL", _bundle_control),
    BundleAdd: ("ONFT_BUNDLE_ADD_MESSAGE", _bundle_add),
}
"""By class of message, its name and what follows the xid."""
