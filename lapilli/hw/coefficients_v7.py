"""Layout of a V7 coefficient buffer: header, core streams with biases and plane offsets in them.

The header has one 32-bit stream size for each core; the cores' streams follow. A stream is a bit
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
"""First field of a stream: bits of a run length."""
KERNEL_COUNT_BITS = 16
"""Second field: kernels of this core."""
CHANNELS_PER_BLOCK = 6
"""The unit reads 1x1 kernels in groups of so many channels, kernel by kernel inside a group."""
ROWS_PER_PATCH = 2
"""The unit reads larger kernels in pairs of rows ..."""
COLUMNS_PER_PATCH = 3
"""... and inside a pair the first three columns of both rows, then the other columns."""
