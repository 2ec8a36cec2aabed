"""GPU addresses of buffers: with softpin it is the program that chooses them."""

from __future__ import annotations

from bisect import bisect_right, insort

from lapilli.errors import DeviceError
from lapilli.hw.drm import ADDRESS_END, PAGE, SOFTPIN_START


class AddressRanges:
    """The ranges in use, each [start, end), sorted. The first gap from the top that is large enough
    is taken, so that what was freed is used again."""

    def __init__(self, start: int = SOFTPIN_START, end: int = ADDRESS_END) -> None:
        self._start = start
        self._end = end
        self._used: list[tuple[int, int]] = []

    def take(self, size: int, address: int | None = None) -> int:
        """The first address of ``size`` bytes, rounded up to pages; at ``address`` if one is given.
        Raises DeviceError if there is no room (there)."""
        if not 0 < size <= self._end - self._start:
            raise DeviceError(
                f"a buffer of {size} bytes was asked for; allowed is 1 to {self._end - self._start}"
            )
        pages = -(-size // PAGE) * PAGE
        place = self._highest_gap(pages) if address is None else self._fixed(address, pages)
        insort(self._used, (place, place + pages))
        return place

    def give_back(self, address: int) -> None:
        """End the use of the range that starts at ``address``."""
        at = bisect_right(self._used, (address, ADDRESS_END)) - 1
        assert at >= 0 and self._used[at][0] == address, "only what was taken is given back"
        del self._used[at]

    def _highest_gap(self, pages: int) -> int:
        end = self._end
        for first, last in reversed(self._used):
            if end - last >= pages:
                return end - pages
            end = first
        if end - self._start < pages:
            raise DeviceError(f"no gap of {pages} bytes is left in the address space")
        return end - pages

    def _fixed(self, address: int, pages: int) -> int:
        if address % PAGE:
            raise DeviceError(
                f"a buffer at {address:#x} was asked for; addresses are multiples of {PAGE}"
            )
        if not self._start <= address <= self._end - pages:
            raise DeviceError(
                f"{pages} bytes at {address:#x} were asked for; allowed is {self._start:#x} to "
                f"{self._end - 1:#x}"
            )
        for first, last in self._used:
            if address < last and first < address + pages:
                raise DeviceError(
                    f"{pages} bytes at {address:#x} overlap the buffer of {last - first} bytes at "
                    f"{first:#x}"
                )
        return address
