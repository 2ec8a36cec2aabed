"""Layout constants of the coefficient buffers.

V7: a header with one 32-bit stream size for each core, then the cores' streams. A stream is a bit
sequence, least significant bit first: run length width, kernel count, then tokens (``zero_run``,
``value``) with 32-bit items between them: a kernel's bias behind its first weight, and the byte
offset of its output plane behind its last. Checked on 796 recorded buffers.
"""

from __future__ import annotations

STREAM_ALIGNMENT = 64
"""Bytes; header and core streams start at multiples of this."""
WEIGHT_BITS = 8
ITEM_BITS = 32
"""Biases and plane offsets."""
ZERO_RUN_WIDTH_BITS = 8
"""First field of a V7 stream: bits of a run length."""
KERNEL_COUNT_BITS = 16
"""Second field: kernels of this core."""
CHANNELS_PER_BLOCK = 6
"""V7 reads 1x1 kernels in groups of this many input channels, kernel by kernel inside a group."""
ROWS_PER_PATCH = 2
"""V7 reads larger kernels in pairs of rows ..."""
COLUMNS_PER_PATCH = 3
"""... and inside a pair the first three columns of both rows, then the other columns."""
SRAM_KERNEL_START = 0x800
"""First byte of the VIP SRAM that holds kernels."""
SRAM_KERNEL_END_MINIMUM = 0xA00
SRAM_ALIGNMENT = 128
ACCUMULATOR_LINE_PIXELS = 64
INPUT_LINE_EXTRA_PIXELS = 8
"""An input buffer line holds the pixels of an accumulator line and these."""
MAXIMUM_KERNELS_PER_CORE = 127
