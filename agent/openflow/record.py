"""Records: runs of fixed-width fields which are the attributes of a value, name by name.

Most of the protocol is of this sort (configuration, ports, counters).  One declaration then is
layout, decoder and encoder, and a field that the value lacks is found when the module is imported.
What is decoded a hundred thousand times a second (flows, packets) is written out by hand instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs
import construct

from agent.openflow.frame import MIN_LENGTH, Decoder, Kind, bad_length
from agent.openflow.messages import Message
from agent.openflow.wire import Fixed

T = TypeVar("T")

Adapter: TypeAlias = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""From a number or bytes on the wire to an attribute, and back."""

MAC: Final[Adapter] = (
    lambda data: int.from_bytes(data, "big"),
    lambda address: address.to_bytes(6, "big"),
)
"""Six bytes, a number of 48 bits."""


def text(size: int) -> Adapter:
    """A string in ``size`` bytes, padded with NULs and ended by at least one.

    What is too long is cut between two characters, not within one; what is not UTF-8 is replaced.
    """

    def decode(data: bytes) -> str:
        return data.partition(b"\0")[0].decode("utf-8", "replace")

    def encode(value: str) -> bytes:
        data = value.encode("utf-8", "replace")
        if len(data) >= size:
            data = data[: size - 1].decode("utf-8", "ignore").encode()
        return data

    return decode, encode


class Record(Generic[T]):
    """A layout and the class of the values that it carries.

    :ivar layout: the bytes; each of its names is an attribute of the class.
    :ivar size: bytes of one record.
    :ivar value: the class.
    """

    def __init__(
        self,
        value: type[T],
        *subcons: construct.Construct,
        adapters: Mapping[str, Adapter] | None = None,
    ) -> None:
        """
        :param value: an attrs class; attributes which are not in the layout have their defaults.
        :param adapters: by name, how the field looks in the value.
        :raises ValueError: for a name that is no attribute of the class.
        """
        self.layout = Fixed(*subcons)
        self.size = self.layout.size
        self.value = value
        self._names = self.layout.names
        self._adapters = dict(adapters or {})
        known = {attribute.name for attribute in attrs.fields(value)}  # type: ignore[arg-type]
        unknown = (set(self._names) - known) | (set(self._adapters) - set(self._names))
        if unknown:
            raise ValueError(f"{value.__name__} has no {sorted(unknown)}")

    def decode(self, data: bytes, offset: int, **more: Any) -> T:
        """The record at ``offset``, whose bytes are there; ``more``: attributes from elsewhere."""
        values = dict(zip(self._names, self.layout.unpack_from(data, offset), strict=True))
        for name, (decode, _) in self._adapters.items():
            values[name] = decode(values[name])
        return self.value(**values, **more)

    def encode(self, value: T) -> bytes:
        """The bytes of one record."""
        values = {name: getattr(value, name) for name in self._names}
        for name, (_, encode) in self._adapters.items():
            values[name] = encode(values[name])
        return self.layout.pack(*values.values())

    def decode_list(self, data: bytes, offset: int) -> list[T]:
        """The records from ``offset`` to the end.

        :raises OpenFlowError: REQUEST_BAD_LEN when the last one is not whole.
        """
        if (len(data) - offset) % self.size:
            raise bad_length(data, f"{offset} and a multiple of {self.size}")
        return [self.decode(data, at) for at in range(offset, len(data), self.size)]

    def encode_list(self, values: list[T] | tuple[T, ...]) -> Iterator[bytes]:
        """The bytes of each record."""
        return map(self.encode, values)

    def after(self, offset: int) -> Decoder:
        """The decoder of a message which is ``offset`` bytes of header and this record."""
        size = offset + self.size

        def decode(data: bytes, xid: int) -> Message:
            if len(data) != size:
                raise bad_length(data, f"{size}")
            message: Message = self.decode(data, offset, xid=xid)  # type: ignore[assignment]
            return message

        return decode

    def kind(self, number: int) -> Kind:
        """The kind of a message which is a header and this record."""
        return Kind(number, self.value, self.after(MIN_LENGTH), self.encode)
