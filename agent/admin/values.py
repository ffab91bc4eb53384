"""Strings of the configuration that stand for something else: paths, sockets, identifiers.

Each function turns a string into what it stands for, given its place in the file, or raises a
:exc:`ValueError` whose text says what is allowed (see :class:`agent.admin.kinds.Text`); the
constant beside it says the same for the documentation.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import attrs

from agent.admin.schema import Place
from agent.connmgr.target import ACTIVE_FORMS, MAX_UNIX_PATH, PASSIVE_FORMS, Target, parse_address

PATH: Final = "a path, relative to this file's directory unless absolute"
CONTROL: Final = 'the path of a UNIX socket, in run_dir unless absolute; "" for none'
HTTP: Final = 'IP:PORT; "" for none'
REMOTE: Final = "IP:PORT with an IPv4 address"
MAC: Final = "the Ethernet address of a station, like 02:00:00:00:00:01"
DATAPATH_ID: Final = "a string of 16 hexadecimal digits, not all of them 0"


def directory(text: str, place: Place) -> Path:
    """The absolute path of a directory, which need not be there."""
    if not text or "\0" in text:
        raise ValueError(f"must be the path of a directory: {PATH}")
    return Path(os.path.normpath(place.directory / text))


def file(text: str, place: Place) -> Path:
    """The absolute path of a file that can be read."""
    path = place.directory / text
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); must be {PATH}") from None
    return path


def control(text: str, place: Place) -> Path | None:
    """The absolute path of the control socket; None for the empty string."""
    return _socket_path(text, place) if text else None


def in_run_dir(text: str, place: Place) -> Path:
    """The absolute path of a file in the run directory, which need not be there."""
    if not text or "\0" in text:
        raise ValueError(f"must be the path of a file: {PATH}")
    return Path(os.path.normpath(place.run_dir / text))


def http(text: str, place: Place) -> tuple[str, int] | None:
    """Address and port; None for the empty string."""
    return parse_address(text) if text else None


def show_http(value: tuple[str, int]) -> str:
    """Address and port as the file has them."""
    host, port = value
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def active_target(text: str, place: Place) -> Target:
    """A target that is dialled; a UNIX socket's path has become absolute."""
    target = Target.parse(text)
    if target.passive:
        raise ValueError(f"a controller is dialled; must be {ACTIVE_FORMS}")
    return _resolved(target, place)


def passive_target(text: str, place: Place) -> Target:
    """A target that is listened on; a UNIX socket's path has become absolute."""
    target = Target.parse(text)
    if not target.passive:
        raise ValueError(f"a listener is not dialled; must be {PASSIVE_FORMS}")
    return _resolved(target, place)


def remote(text: str, place: Place) -> tuple[str, int]:
    """An IPv4 address and a port, both of which must be those of somebody."""
    host, port = parse_address(text)
    if ":" in host or not port:
        raise ValueError(f"must be {REMOTE}, and not port 0")
    return host, port


def mac(text: str, place: Place) -> int:
    """An Ethernet address as a number."""
    if re.fullmatch("[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", text):
        number = int(text.replace(":", ""), 16)
        if number and not number >> 40 & 1:
            return number
    raise ValueError(f"must be {MAC}")


def show_mac(value: int) -> str:
    """An Ethernet address as the file has it."""
    return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))


def datapath_id(text: str, place: Place) -> int:
    """A datapath id as a number."""
    if not re.fullmatch("[0-9A-Fa-f]{16}", text) or int(text, 16) == 0:
        raise ValueError(f"must be {DATAPATH_ID}")
    return int(text, 16)


def show_datapath_id(value: int) -> str:
    """A datapath id as the file has it."""
    return f"{value:016x}"


def _resolved(target: Target, place: Place) -> Target:
    if target.local:
        return attrs.evolve(target, path=str(_socket_path(target.path, place)))
    return target


def _socket_path(text: str, place: Place) -> Path:
    path = Path(os.path.normpath(place.run_dir / text))
    if "\0" in text or len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise ValueError(f"{path} is no path for a socket; must be at most {MAX_UNIX_PATH} bytes")
    return path
