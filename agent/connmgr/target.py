"""Where a connection goes to or comes from, written as Open vSwitch writes it.

``tcp:IP[:PORT]``, ``ssl:IP[:PORT]`` and ``unix:PATH`` are dialled; ``ptcp:[PORT][:IP]``,
``pssl:[PORT][:IP]`` and ``punix:PATH`` are listened on.  An IPv6 address stands in brackets.

Only addresses, no host names: a name would have to be looked up again at every reconnection, and
in-band control needs rules for addresses.  This module opens nothing; it reads and writes names.

See ``ovs-vsctl(8)``, "Controller Commands", and RFC 7047 appendix A for the notation.
"""

from __future__ import annotations

import enum
import ipaddress
from typing import Final

import attrs

DEFAULT_PORT: Final = 6653
"""The port that IANA gave to OpenFlow."""

MAX_UNIX_PATH: Final = 107
"""Bytes of the longest path a UNIX socket can have on Linux (``sun_path`` less its final zero)."""

ANY_IPV4: Final = "0.0.0.0"
"""Where a listener without an address listens, as in Open vSwitch; ``[::]`` means both families."""


class Kind(enum.Enum):
    """What the word before the first colon says."""

    TCP = "tcp"
    SSL = "ssl"
    UNIX = "unix"
    PTCP = "ptcp"
    PSSL = "pssl"
    PUNIX = "punix"


_FORMS: Final = {
    Kind.TCP: "tcp:IP[:PORT]",
    Kind.SSL: "ssl:IP[:PORT]",
    Kind.UNIX: "unix:PATH",
    Kind.PTCP: "ptcp:[PORT][:IP]",
    Kind.PSSL: "pssl:[PORT][:IP]",
    Kind.PUNIX: "punix:PATH",
}
_PASSIVE: Final = frozenset({Kind.PTCP, Kind.PSSL, Kind.PUNIX})

ACTIVE_FORMS: Final = ", ".join(form for kind, form in _FORMS.items() if kind not in _PASSIVE)
"""What a controller's target may look like, for messages."""
PASSIVE_FORMS: Final = ", ".join(form for kind, form in _FORMS.items() if kind in _PASSIVE)
"""What a listener's target may look like, for messages."""


@attrs.frozen
class Target:
    """One end to dial or to listen on; equal targets have the same text.

    :ivar kind: how.
    :ivar host: an IPv4 or IPv6 address in its shortest form, without brackets; empty for UNIX.
    :ivar port: 1 to 65535, and 0 for a listener that takes any free port; 0 for UNIX.
    :ivar path: of a UNIX socket; else empty.
    """

    kind: Kind
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def passive(self) -> bool:
        """Whether it is listened on, rather than dialled."""
        return self.kind in _PASSIVE

    @property
    def secure(self) -> bool:
        """Whether it needs a certificate."""
        return self.kind in (Kind.SSL, Kind.PSSL)

    @property
    def local(self) -> bool:
        """Whether it is a UNIX socket."""
        return self.kind in (Kind.UNIX, Kind.PUNIX)

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target.

        :raises ValueError: whose text says what is wrong, and what is allowed there.
        """
        word, colon, rest = text.partition(":")
        try:
            kind = Kind(word)
        except ValueError:
            colon = ""
        if not colon:
            forms = ", ".join(_FORMS.values())
            raise ValueError(f"a target is one of {forms}")
        form = _FORMS[kind]
        if kind in (Kind.UNIX, Kind.PUNIX):
            if not rest or "\0" in rest:
                raise ValueError(f"{form} needs the path of a socket")
            return cls(kind, path=rest)
        host, port = _passive(rest, form) if kind in _PASSIVE else _active(rest, form)
        return cls(kind, host, port)

    def __str__(self) -> str:
        """Its canonical form, with the port even where it is the default."""
        word = self.kind.value
        if self.local:
            return f"{word}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{word}:{self.port}:{host}" if self.passive else f"{word}:{host}:{self.port}"


def parse_address(text: str) -> tuple[str, int]:
    """Read ``IP:PORT``, as a listener for HTTP has it; the port must be there.

    :returns: the address without brackets, and the port, 0 to 65535.
    :raises ValueError: whose text says what is wrong, and what is allowed there.
    """
    form = "IP:PORT"
    host, _, port = text.rpartition(":")
    if not host or not port:
        raise ValueError(f"{form} needs both; an IPv6 address stands in brackets")
    return _host(host, form), _port(port, form, lowest=0)


def _active(rest: str, form: str) -> tuple[str, int]:
    """The host and port of ``IP[:PORT]``."""
    head, bracket, tail = rest.partition("]")
    if bracket:
        host, colon, port = head + bracket, tail[:1], tail[1:]
        if colon not in ("", ":"):
            raise ValueError(f"{form} has only :PORT after the bracket")
    else:
        host, colon, port = rest.partition(":")
    return _host(host, form), _port(port, form, lowest=1) if colon else DEFAULT_PORT


def _passive(rest: str, form: str) -> tuple[str, int]:
    """The host and port of ``[PORT][:IP]``."""
    port, colon, host = rest.partition(":")
    return (
        _host(host, form) if colon else ANY_IPV4,
        _port(port, form, lowest=0) if port else DEFAULT_PORT,
    )


def _port(text: str, form: str, *, lowest: int) -> int:
    """A port number in decimal; no sign, no space, no other alphabet's digits."""
    if text.isascii() and text.isdecimal() and len(text) <= 5 and lowest <= int(text) <= 65535:
        return int(text)
    raise ValueError(f"the port in {form} is a number from {lowest} to 65535")


def _host(text: str, form: str) -> str:
    """An address in its shortest form, from a bare IPv4 or a bracketed IPv6 address."""
    try:
        if text.startswith("[") and text.endswith("]"):
            return str(ipaddress.IPv6Address(text[1:-1]))
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(
            f"IP in {form} is an IPv4 address or an IPv6 address in brackets, not a host name"
        ) from None
