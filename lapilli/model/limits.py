"""How much of a model is read, so that a crafted file costs no more than a large honest one."""

from __future__ import annotations

from typing import Final

LARGEST_FILE: Final = 2**31 - 1
"""Bytes; flatbuffers' own limit."""
MOST_TABLES: Final = 1 << 14
"""Tensors, operators and operator codes a model may have, each."""
MOST_DIMENSIONS: Final = 16
LARGEST_EXTENT: Final = 2**31 - 1
"""Of a dimension, and of a tensor's number of elements."""
READ_LIMIT: Final = 32 << 20
"""Bytes of names, shapes, scales and index lists (not of weights) that are read from one model.
Honest models have less than 1 MiB; crafted ones let every table point to the same long list."""
MOST_NAMED_BYTES: Final = 1 << 28
"""Of constants, each counted once for each operator that reads it. Honest models share few; a
crafted one lets thousands of layers read the same large array, each of which is looked at."""
NAMED_SHARE: Final = 16
"""The same as a multiple of the file's size: what a file has itself may be read so often."""
MOST_OPTION_VALUES: Final = 8
"""Values of one list among an operator's options; TFLite's own limit."""
