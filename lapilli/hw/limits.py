"""Sizes that all generations of NN units share, and limits of single ones."""

from __future__ import annotations

ACCUMULATOR_LINE_PIXELS = 64
INPUT_LINE_EXTRA_PIXELS = 8
INPUT_LINE_PIXELS = ACCUMULATOR_LINE_PIXELS + INPUT_LINE_EXTRA_PIXELS
"""An input buffer line holds the pixels of an accumulator line and some more."""
MAXIMUM_KERNELS_PER_CORE = 127
"""Of a superblock."""
TILE_ROWS_V8 = 4
"""V8 is never given higher tiles."""
