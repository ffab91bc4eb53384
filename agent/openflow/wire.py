"""The two building bricks of every layout: runs of fixed-width fields, and lists of TLVs.

:mod:`construct` declares what the bytes look like, but two of its habits do not suit a switch,
whose input comes from whoever can open a TCP connection and arrives a hundred thousand times a
second:

- A ``construct.Struct`` walks its fields one by one in Python, some 30 microseconds a message.
  :class:`Fixed` takes the same declaration, fuses it when the module is imported into one
  :class:`struct.Struct`, and is a construct like any other; hot paths use its fast face.
- ``construct.GreedyRange`` takes any failure for the end of the list, so that a malformed list is
  silently cut short, and an element of length zero is an endless loop.  :class:`TlvList` checks
  each length against what is left and against the least that an element can have, counts elements
  and levels of nesting, and reports the error that the owner of the list chose.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import construct

from agent.openflow.errors import ErrorCode, OpenFlowError

MAX_DEPTH: Final = 8
"""Levels of lists within lists; what controllers send has two or three."""


class Fixed(construct.Construct):  # type: ignore[misc]
    """A run of named fixed-width fields, fused into one :class:`struct.Struct`.

    ``Fixed("type" / Int16ub, "length" / Int16ub, Padding(4))`` parses to a ``Container`` and builds
    from a mapping.  Allowed are the big-endian integers of construct (``Int8ub`` ... ``Int64sb``),
    ``Bytes(n)`` and ``Padding(n)`` with constant ``n``, and another ``Fixed`` whose fields then are
    fields of this one.  Padding is ignored when parsed, and zero when built.

    :ivar size: bytes of the whole run.
    :ivar names: names of the fields, in order, without the padding.
    :ivar format: the format given to :mod:`struct`.
    :ivar unpack_from: ``unpack_from(data, offset=0) -> tuple`` of the values in the order of
        ``names``; the caller has checked that the bytes are there.
    :ivar pack: ``pack(*values) -> bytes``, values in the order of ``names``.
    """

    size: int
    names: tuple[str, ...]
    format: str
    unpack_from: Callable[..., tuple[Any, ...]]
    pack: Callable[..., bytes]

    def __init__(self, *subcons: construct.Construct) -> None:
        """:raises ValueError: for what is not fixed, not named, or named twice."""
        super().__init__()
        names: list[str] = []
        formats = [">"]
        for subcon in subcons:
            if isinstance(subcon, Fixed):
                names += subcon.names
                formats.append(subcon.format[1:])
            elif _is_padding(subcon):
                formats.append(f"{subcon.sizeof()}x")
            elif not subcon.name:
                raise ValueError(f"{subcon!r} has no name")
            else:
                names.append(subcon.name)
                formats.append(_format_of(subcon))
        if len(set(names)) != len(names):
            raise ValueError(f"a name occurs twice among {names}")
        self.format = "".join(formats)
        fused = struct.Struct(self.format)
        self.size = fused.size
        self.names = tuple(names)
        self.unpack_from = fused.unpack_from
        self.pack = fused.pack

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        data = construct.stream_read(stream, self.size, path)
        return construct.Container(zip(self.names, self.unpack_from(data), strict=True))

    def _build(self, obj: Mapping[str, Any], stream: Any, context: Any, path: str) -> Any:
        values = [obj[name] for name in self.names]
        try:
            data = self.pack(*values)
        except struct.error as error:
            raise construct.FormatFieldError(f"{values}: {error}", path=path) from error
        construct.stream_write(stream, data, self.size, path)
        return obj

    def _sizeof(self, context: Any, path: str) -> int:
        return self.size


def _is_padding(subcon: construct.Construct) -> bool:
    return isinstance(subcon, construct.Padded) and subcon.subcon is construct.Pass


def _format_of(renamed: construct.Construct) -> str:
    """The :mod:`struct` format of one named field."""
    subcon = renamed.subcon
    if isinstance(subcon, construct.FormatField) and subcon.fmtstr[0] == ">":
        return str(subcon.fmtstr[1:])
    if isinstance(subcon, construct.Bytes) and isinstance(subcon.length, int):
        return f"{subcon.length}s"
    raise ValueError(f"{renamed.name} is not a big-endian integer and not bytes of fixed number")


class TlvList(construct.Construct):  # type: ignore[misc]
    """A bounded list of elements which each carry their own length.

    The list ends where its owner's bytes end; every byte of it belongs to an element.  As a
    construct it takes all that is left of its stream (the owner bounds it, as with
    ``construct.Prefixed``), and gives each element the bytes of that element alone.

    :ivar bad_len: error for a length that does not fit.
    """

    def __init__(
        self,
        element: construct.Construct = construct.GreedyBytes,
        *,
        bad_len: ErrorCode,
        minimum: int = 8,
        multiple: int = 8,
        padded: bool = False,
        type_at: int | None = 0,
        length_at: int = 2,
        most: int = 0x10000,
        too_many: ErrorCode | None = None,
    ) -> None:
        """
        :param element: what each element looks like, header included.
        :param minimum: bytes of the shortest element, at least 4.
        :param multiple: what a length must be a multiple of, or padded to.
        :param padded: whether the length leaves out the padding which makes the element a multiple
            of ``multiple`` (as properties do), or counts it (as actions do).
        :param type_at: offset in an element of its 16-bit type; None where it has no type.
        :param length_at: offset in an element of its 16-bit length.
        :param most: elements in one list.
        :param too_many: error for more; ``bad_len`` unless given.
        """
        super().__init__()
        if minimum < max(4, length_at + 2):
            raise ValueError("the shortest element has less than a header")
        self.element = element
        self.bad_len = bad_len
        self._minimum = minimum
        self._multiple = multiple
        self._padded = padded
        self._type_at = type_at
        self._length_at = length_at
        self._most = most
        self._too_many = too_many or bad_len

    def split(
        self, data: bytes, offset: int, length: int, depth: int = 0
    ) -> list[tuple[int, int, int]]:
        """Cut the ``length`` bytes of ``data`` from ``offset`` into elements.

        :param depth: how many lists this one is nested in; its own elements are one deeper.
        :returns: ``(type, offset, length)`` of each element, header included and padding not; the
            type is 0 where elements have none.
        :raises OpenFlowError: ``bad_len`` for a length that is too short, too long, or not a
            multiple, for bytes left over, for bytes that ``data`` does not have, and for lists
            nested too deep; ``too_many``.
        """
        end = offset + length
        if offset < 0 or length < 0 or end > len(data):
            raise OpenFlowError(self.bad_len, f"list of {length} bytes at {offset} is cut short")
        if depth >= MAX_DEPTH:
            raise OpenFlowError(self.bad_len, f"lists nested more than {MAX_DEPTH} deep")
        minimum, multiple, most = self._minimum, self._multiple, self._most
        type_at, length_at = self._type_at, self._length_at
        found: list[tuple[int, int, int]] = []
        while offset < end:
            left = end - offset
            if left < minimum:
                raise OpenFlowError(self.bad_len, f"{left} bytes left over, {minimum} needed")
            at = offset + length_at
            size = data[at] << 8 | data[at + 1]
            step = size
            if multiple > 1 and size % multiple:
                if not self._padded:
                    raise OpenFlowError(self.bad_len, f"length {size} is no multiple of {multiple}")
                step += -size % multiple
            if size < minimum or step > left:
                raise OpenFlowError(
                    self.bad_len, f"length {size} is not between {minimum} and {left}"
                )
            if len(found) == most:
                raise OpenFlowError(self._too_many, f"more than {most} elements")
            kind = 0
            if type_at is not None:
                at = offset + type_at
                kind = data[at] << 8 | data[at + 1]
            found.append((kind, offset, size))
            offset += step
        return found

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        data = construct.stream_read_entire(stream, path)
        depth = _depth(context)
        inner = construct.Container(context)
        inner._tlv_depth = depth + 1
        found = construct.ListContainer()
        for _, offset, size in self.split(data, 0, len(data), depth):
            part = io.BytesIO(data[offset : offset + size])
            found.append(self.element._parsereport(part, inner, path))
        return found

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        for item in obj:
            part = io.BytesIO()
            self.element._build(item, part, context, path)
            data = part.getvalue()
            if self._padded:
                data += bytes(-len(data) % self._multiple)
            construct.stream_write(stream, data, len(data), path)
        return obj

    def _sizeof(self, context: Any, path: str) -> int:
        raise construct.SizeofError("a list of TLVs has no fixed size", path=path)


def _depth(context: Any) -> int:
    """How many lists the context is in: the nearest enclosing list has written it down."""
    while context is not None:
        depth = context.get("_tlv_depth")
        if depth is not None:
            return int(depth)
        context = context.get("_")
    return 0
