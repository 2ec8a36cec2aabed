"""What a TP's look-up table makes of each byte, in whole numbers; see ``hw/tables.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import Refused
from lapilli.hw.tables import (
    EXPONENT_BIAS,
    EXPONENT_BITS,
    FLOAT_BITS,
    FRACTION_BITS,
    LARGEST_EXPONENT,
    MANTISSA_BITS,
    MULTIPLIER_FRACTION_BITS,
    STEP_BITS,
)

LARGEST_BYTE = 255
TABLE = "table (alu_load_pwl_lut_address)"


def bytes_through(words: Sequence[int], fields: Mapping[str, int]) -> NDArray[np.uint8]:
    """What is stored for each of the 256 input bytes; ``words`` are the table, ``fields`` those of
    the instruction. Raises Refused for an entry that is used and that no recording has the like of.
    """
    return np.array(
        [_stored(words, byte - fields["in_zp"], fields) for byte in range(LARGEST_BYTE + 1)],
        np.uint8,
    )


def _stored(words: Sequence[int], argument: int, fields: Mapping[str, int]) -> int:
    """The byte for one difference to the input's zero point."""
    index, fraction = divmod(_float_bits(argument), 1 << FRACTION_BITS)
    here = _value(words, index)
    step = _value(words, index + 1) - here if fraction else 0
    # Numerators over 2**STEP_BITS, then over what the fraction and the multiplier add to it.
    value = (here << FRACTION_BITS) + step * fraction
    value *= (1 << MULTIPLIER_FRACTION_BITS) + fields["alu_output_post_multiplier"]
    bits = STEP_BITS + FRACTION_BITS + MULTIPLIER_FRACTION_BITS + fields["alu_output_postshift"]
    rounded = (2 * value + (1 << bits)) >> (bits + 1) if bits >= 0 else value << -bits
    return min(max(rounded + fields["out_zp"], 0), LARGEST_BYTE)


def _float_bits(integer: int) -> int:
    """A difference of two bytes as 21-bit float, which has room for all its digits."""
    if integer == 0:
        return 0
    magnitude = abs(integer)
    length = magnitude.bit_length() - 1
    mantissa = (magnitude << (MANTISSA_BITS - length)) & ((1 << MANTISSA_BITS) - 1)
    return (integer < 0) << (FLOAT_BITS - 1) | (length + EXPONENT_BIAS) << MANTISSA_BITS | mantissa


def _value(words: Sequence[int], index: int) -> int:
    """An entry in steps of ``2**-STEP_BITS``."""
    word = words[index]
    exponent = word >> MANTISSA_BITS & ((1 << EXPONENT_BITS) - 1)
    if word >> FLOAT_BITS or exponent > LARGEST_EXPONENT:
        raise Refused(
            f"{TABLE}: word {index} = {word:#010x}; an entry is a float of {FLOAT_BITS} bits with "
            f"an exponent of up to {LARGEST_EXPONENT}: no recording has another"
        )
    mantissa = word & ((1 << MANTISSA_BITS) - 1)
    magnitude = (mantissa | 1 << MANTISSA_BITS) << (exponent - 1) if exponent else mantissa
    return -magnitude if word >> (FLOAT_BITS - 1) else magnitude
