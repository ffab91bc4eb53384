"""What each report looks like as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agent.ctl.show import bar, duration, pairs, table

Data = Any


def bridges(found: Data, header: bool) -> str:
    """Every bridge, a line each."""
    heads = ("BRIDGE", "DATAPATH", "DRIVER", "PORTS", "CONNECTIONS", "RULES", "DEGRADED",
             "IN FLIGHT", "STATE")  # fmt: skip
    return table(
        heads,
        [
            (
                one["name"],
                one["datapath_id"],
                one["driver"],
                one["ports"],
                one["connections"],
                sum(each["rules"] for each in one["tables"]),
                sum(each["degraded"] + each["ghosts"] for each in one["tables"]),
                one["operations_in_flight"],
                "flushing" if one["flushing"] else "clogged" if one["clogged"] else "working",
            )
            for one in found
        ],
        header,
    )


def tables(one: Data, header: bool) -> str:
    """The flow tables of a bridge."""
    heads = ("TABLE", "NAME", "RULES", "SIZE", "", "PENDING", "DEGRADED", "GHOSTS")
    return table(
        heads,
        [
            (
                each["id"],
                each["name"],
                each["rules"],
                each["size"],
                bar(each["rules"], max(1, each["size"]), 20),
                each["pending"],
                each["degraded"],
                each["ghosts"],
            )
            for each in one["tables"]
        ],
        header,
    )


def connections(found: Data, header: bool) -> str:
    """Connections, and what each waits for."""
    heads = ("CONNECTION", "STATE", "FOR", "VERSION", "ROLE", "RECEIVED", "SENT", "ERRORS",
             "MONITORS", "WAITS FOR")  # fmt: skip
    rows = []
    for one in found:
        waits = ""
        if one["waiting_for"] is not None:
            waits = f"xid {one['waiting_xid']:#x}: {one['waiting_for']}"
        elif one["last_error"]:
            waits = f"({one['last_error']})"
        rows.append(
            (
                one["name"],
                one["state"],
                duration(one["since"]),
                one["version"],
                one["role"],
                one["received"],
                one["sent"],
                one["errors_sent"],
                _monitors(one),
                waits,
            )
        )
    return table(heads, rows, header)


def _monitors(connection: Data) -> str:
    """How many flow monitors it has, and the first of their ids."""
    ids = connection["monitors"]
    if not ids:
        return ""
    shown = ", ".join(map(str, ids[:5])) + ", ..." * (len(ids) > 5)
    paused = " (paused)" if connection["monitors_paused"] else ""
    return f"{len(ids)}: {shown}{paused}"


def pending(found: Data, header: bool) -> str:
    """What is in flight, and what waits for it."""
    groups = table(
        ("CONNECTION", "XID", "AGE", "WHAT", "TABLE", "LEFT", "OF", "FIRST OPERATION"),
        [
            (
                one["connection"],
                f"{one['xid']:#x}",
                duration(one["age"]),
                ("undoing " if one["undoing"] else "") + one["kind"],
                one["table"],
                one["left"],
                one["count"],
                _first(one["listed"]),
            )
            for one in found["groups"]
        ],
        header,
    )
    unseen = found["in_flight"] - len(found["groups"])
    more = f"and {unseen} more groups\n" if unseen > 0 else ""
    waiting = table(
        ("POSTPONED ON", "XID", "WAITS FOR"),
        [
            (one["connection"], f"{one['xid']:#x}", one["waits_for"])
            for one in found["postponed"]
        ],
        header,
    )  # fmt: skip
    flushing = f"flushing: {found['flushing']}\n" if found["flushing"] else ""
    return f"{flushing}{groups}{more}\n{waiting}"


def _first(operations: Data) -> str:
    return f"{operations[0]['entry']} ({operations[0]['state']})" if operations else ""


def flows(found: Data, header: bool) -> str:
    """Rules, and whether they are in the hardware."""
    heads = ("TABLE", "PRIORITY", "MATCH", "ACTIONS", "PACKETS", "BYTES", "AGE", "HARDWARE")
    rows = [
        (
            one["table"],
            one["priority"],
            one["match"] or "*",
            one["actions"],
            one["packets"],
            one["bytes"],
            duration(one["duration"]),
            f"{one['state']}: {one['reason']}" if one["reason"] else one["state"],
        )
        for one in found["flows"]
    ]
    more = "there are more: see --limit and --offset\n" if found["more"] else ""
    return table(heads, rows, header) + more


def ports(found: Data, header: bool) -> str:
    """Ports and their counters."""
    heads = ("PORT", "NAME", "ADDRESS", "STATE", "RX PACKETS", "RX BYTES", "TX PACKETS",
             "TX BYTES", "DROPPED")  # fmt: skip
    rows = []
    for one in found:
        count = one["counters"]
        state = [
            text
            for bit, text in ((1, "down"), (4, "no-recv"), (0x20, "no-fwd"), (0x40, "no-packet-in"))
            if one["config"] & bit
        ]
        if one["state"] & 1:
            state.append("no link")
        rows.append(
            (
                one["number"],
                one["name"],
                one["hw_addr"],
                ",".join(state) or "up",
                *(count.get(name, 0) for name in ("rx_packets", "rx_bytes", "tx_packets",
                                                  "tx_bytes")),
                count.get("rx_dropped", 0) + count.get("tx_dropped", 0),
            )
        )  # fmt: skip
    return table(heads, rows, header)


def groups(found: Data, header: bool) -> str:
    """The group table."""
    heads = ("GROUP", "TYPE", "BUCKETS", "PACKETS", "BYTES", "HARDWARE")
    return table(
        heads,
        [
            (
                one["group_id"],
                one["type"],
                "; ".join(bucket["actions"] for bucket in one["buckets"]),
                one["packets"],
                one["bytes"],
                f"{one['state']}: {one['reason']}" if one["reason"] else one["state"],
            )
            for one in found
        ],
        header,
    )


def meters(found: Data, header: bool) -> str:
    """The meter table."""
    heads = ("METER", "BANDS", "PACKETS", "BYTES", "HARDWARE")
    return table(
        heads,
        [
            (
                one["meter_id"],
                "; ".join(
                    " ".join(f"{key}={value}" for key, value in band.items())
                    for band in one["bands"]
                ),
                one["packets"],
                one["bytes"],
                f"{one['state']}: {one['reason']}" if one["reason"] else one["state"],
            )
            for one in found
        ],
        header,
    )


SHADES: Final = " .:-=+*#@"
"""From an empty cell to a full one."""


def hardware(found: Data, header: bool) -> str:
    """How the hardware's tables are filled, and what the driver says of itself."""
    text = ""
    for one in found["memory"]:
        spilled = f", {one['spilled']} in software" if one["spilled"] else ""
        text += (
            f"table {one['id']} {one['name']}: {one['used']} of {one['size']} places, "
            f"{one['chunks']} runs of one priority{spilled}\n"
        )
        shades = "".join(
            SHADES[min(len(SHADES) - 1, -(-taken * (len(SHADES) - 1) // _room(one)))]
            for taken in one["cells"]
        )
        text += "".join(f"  |{shades[at : at + 64]}|\n" for at in range(0, len(shades), 64))
        if _room(one) > 1:
            text += (
                f"  a character is {_room(one)} places: {SHADES[1]} a few taken, {SHADES[-1]} all\n"
            )
        heads = ("  PRIORITY", "FIRST PLACE", "ENTRIES")
        runs = [(run["priority"], run["first"], run["entries"]) for run in one["largest"]]
        text += table(heads, runs, header) if runs else ""
    return text + pairs([(name, value) for name, value in found["facts"].items()])


def _room(one: Data) -> int:
    """How many places a cell has."""
    return max(1, round(float(one["places_per_cell"])))


def status(found: Data, header: bool) -> str:
    """The agent and its bridges."""
    agent, found_bridges = found["agent"], found["bridges"]
    memory = agent["memory"].get("rss-kB", agent["memory"].get("peak-rss-kB", 0))
    facts = pairs([("version", agent["version"]), ("memory", f"{memory / 1024:.1f} MiB")])
    return facts + "\n" + bridges(found_bridges, header)


VIEWS: Final[dict[str, Callable[[Data, bool], str]]] = {
    "status": status,
    "bridges": bridges,
    "tables": tables,
    "connections": connections,
    "pending": pending,
    "flows": flows,
    "ports": ports,
    "groups": groups,
    "meters": meters,
    "asic": hardware,
    "driver": hardware,
}
"""By the command that shows them."""
