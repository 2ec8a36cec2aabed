"""Look-up tables of the TP (its PWL unit): 1024 words with an entry each, in a buffer of their own.

A table maps a number to a number, piecewise linearly. Argument and entries are 21-bit floats: sign,
exponent, mantissa, from the highest bit down. With exponent e > 0 and mantissa m a float is
``(1 + m / 2**15) * 2**(e - 15)``; with exponent 0 there is no hidden one, ``m / 2**15 * 2**-14``.

The upper ``INDEX_BITS`` of the argument choose entry i, so that half of the table is for negative
arguments and an octave has ``ENTRIES_PER_OCTAVE`` entries; the lower ``FRACTION_BITS`` are what
goes on towards entry i + 1::

    f = lower bits / 2**11
    v = entry[i] + (entry[i + 1] - entry[i]) * f
    stored = clamp(floor(v * (1 + post_multiplier / 2**15) / 2**post_shift + 1/2) + out_zp, 0, 255)

The argument is ``byte - in_zp``. Integers below 32 are entries themselves; of 32 to 63 every second
is, of 64 to 127 every fourth, above every eighth.

Known from recorded RELU, ABS and LOGISTIC operators: 131 instructions with 56 tables, whose words
were all predicted, and whose values by the arithmetic above are LiteRT's (LOGISTIC: up to 1 off,
which is the interpolation). It is inferred: nobody has read it off a chip. What no recording shows:
entries with the highest exponent, and how a negative half is rounded.
"""

from __future__ import annotations

ENTRIES = 1024
ENTRY_BYTES = 4
TABLE_BYTES = ENTRIES * ENTRY_BYTES
ALIGNMENT = 4096
"""Every recorded table starts a page."""

MANTISSA_BITS = 15
EXPONENT_BITS = 5
EXPONENT_BIAS = 15
FLOAT_BITS = 1 + EXPONENT_BITS + MANTISSA_BITS
"""Of an entry, and of the argument; the other bits of an entry's word are 0."""
LARGEST_EXPONENT = (1 << EXPONENT_BITS) - 2
"""Of recorded entries; it is the exponent of what is too large to be expressed."""
STEP_BITS = EXPONENT_BIAS - 1 + MANTISSA_BITS
"""Every float is a multiple of ``2**-STEP_BITS``, which is the smallest one above 0."""

INDEX_BITS = 10
FRACTION_BITS = FLOAT_BITS - INDEX_BITS
ENTRIES_PER_OCTAVE = 1 << (INDEX_BITS - 1 - EXPONENT_BITS)
NEGATIVE_HALF = ENTRIES // 2
"""First entry for negative arguments."""

MULTIPLIER_FRACTION_BITS = 15
"""``alu_output_post_multiplier`` is this many bits behind a hidden one."""
