"""What differs between generations, chosen in this one place from the chip record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lapilli.emulator.coefficients import Coefficients, KernelShape, Streams, decode, find_streams
from lapilli.emulator.memory import ListedMemory
from lapilli.errors import Unsupported
from lapilli.hw.bits import Layout
from lapilli.hw.chips import Chip
from lapilli.hw.nn import NN_V7


@dataclass(frozen=True)
class Generation:
    """How one generation of NN units reads its instruction and its coefficients.

    ``multiplier_bits`` is the width of the post multiplier's fraction; the right shift counts them.
    """

    nn: Layout
    multiplier_bits: int
    find_streams: Callable[[ListedMemory, int, Chip], Streams]
    decode: Callable[[Streams, KernelShape, Chip], Coefficients]


GENERATIONS = {7: Generation(NN_V7, 15, find_streams, decode)}


def generation_of(chip: Chip) -> Generation:
    """The generation of ``chip``; raises Unsupported if the emulator doesn't know it."""
    if chip.generation not in GENERATIONS:
        known = ", ".join(f"V{number}" for number in GENERATIONS)
        raise Unsupported(f"{chip.name} is of generation V{chip.generation}; the emulator runs "
                          f"{known} so far")
    return GENERATIONS[chip.generation]
