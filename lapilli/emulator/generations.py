"""What differs between generations, chosen in this one place from the chip record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lapilli.emulator import coefficients_v7, coefficients_v8, tiles
from lapilli.emulator.kernels import Coefficients, KernelShape, Streams
from lapilli.emulator.memory import ListedMemory
from lapilli.errors import Unsupported
from lapilli.hw.bits import Layout
from lapilli.hw.chips import Chip
from lapilli.hw.coefficients_v8 import INPUT_MIDDLE
from lapilli.hw.nn import COUNTED_FRACTION_BITS, NN_V7, NN_V8


@dataclass(frozen=True)
class Generation:
    """How one generation of NN units reads its instruction and its coefficients.

    ``fixed_fields`` have to keep their default here, though not in every generation.
    ``multiplier_bits`` is the width of the post multiplier's fraction, of which ``counted_bits``
    are part of the instruction's right shift. ``input_middle`` is subtracted from every input byte.
    ``native_depthwise``: the field ``depthwise`` means something.
    """

    nn: Layout
    fixed_fields: frozenset[str]
    multiplier_bits: int
    counted_bits: int
    input_middle: int
    native_depthwise: bool
    check_tile: Callable[[Layout, Mapping[str, int], KernelShape, Chip], None]
    find_streams: Callable[[ListedMemory, int, KernelShape, Chip], Streams]
    decode: Callable[[Streams, KernelShape, Chip], Coefficients]


def _find_streams_v7(memory: ListedMemory, address: int, _: KernelShape, chip: Chip) -> Streams:
    return coefficients_v7.find_streams(memory, address, chip)


GENERATIONS = {
    7: Generation(
        nn=NN_V7,
        fixed_fields=frozenset(),
        multiplier_bits=15,
        counted_bits=COUNTED_FRACTION_BITS[7],
        input_middle=0,
        native_depthwise=False,
        check_tile=tiles.check_v7,
        find_streams=_find_streams_v7,
        decode=coefficients_v7.decode,
    ),
    8: Generation(
        nn=NN_V8,
        fixed_fields=frozenset({"image_caching_mode", "kernel_caching_mode"}),
        multiplier_bits=23,
        counted_bits=COUNTED_FRACTION_BITS[8],
        input_middle=INPUT_MIDDLE,
        native_depthwise=True,
        check_tile=tiles.check_v8,
        find_streams=coefficients_v8.find_streams,
        decode=coefficients_v8.decode,
    ),
}


def generation_of(chip: Chip) -> Generation:
    """The generation of ``chip``; raises Unsupported if the emulator doesn't know it."""
    if chip.generation not in GENERATIONS:
        known = ", ".join(f"V{number}" for number in GENERATIONS)
        raise Unsupported(
            f"{chip.name} is of generation V{chip.generation}; the emulator runs {known} so far"
        )
    return GENERATIONS[chip.generation]
