"""What a name asks for: a chip, the emulator of one, or a board."""

from __future__ import annotations

from difflib import get_close_matches

from lapilli.device.open import emulated_chip, is_emulator, open_device
from lapilli.errors import UsageError
from lapilli.hw.boards import BOARDS, find_chip
from lapilli.hw.chips import CHIPS, Chip


def chip_called(name: str) -> Chip:
    """The chip called so, or that of a board called so; raises UsageError."""
    found = find_chip(name)
    if found is None:
        names = [chip.name for chip in CHIPS]
        near = get_close_matches(name.lower(), [*names, *BOARDS], 1)
        guess = f"; did you mean {near[0]}?" if near else ";"
        raise UsageError(
            f"unknown chip {name!r}{guess} known: {', '.join(names)}; boards: {', '.join(BOARDS)}"
        )
    return found


def chip_of_device(name: str) -> Chip:
    """The chip of an emulator, without opening it, or of a board, which is opened for that."""
    if is_emulator(name):
        return chip_called(emulated_chip(name))
    opened = open_device(name)
    try:
        return opened.chip
    finally:
        opened.close()
