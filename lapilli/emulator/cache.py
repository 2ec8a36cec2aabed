"""A store of derived data, bounded in bytes: what was not used for the longest time goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that knows about how much memory it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


Value = TypeVar("Value", bound=Sized)
ENTRY_BYTES = 1024
"""Counted for every entry on top of its arrays, so that many small ones are bounded as well."""


class BoundedCache(Generic[Value]):
    """At most ``maximum_bytes`` of values; a value larger than that is made but not kept."""

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum = maximum_bytes
        self._used = 0
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of ``key``, made and kept if it is new."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        value = make()
        self._entries[key] = value
        self._used += value.nbytes + ENTRY_BYTES
        while self._used > self._maximum and self._entries:
            _, oldest = self._entries.popitem(last=False)
            self._used -= oldest.nbytes + ENTRY_BYTES
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._used = 0
