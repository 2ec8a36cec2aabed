"""Whether a tile fits the unit's line buffers, by the rules the recorded driver fills them by."""

from __future__ import annotations

from collections.abc import Mapping

from lapilli.emulator.checks import demand
from lapilli.emulator.kernels import KernelShape
from lapilli.errors import Refused
from lapilli.hw.bits import Layout
from lapilli.hw.chips import Chip
from lapilli.hw.limits import ACCUMULATOR_LINE_PIXELS, INPUT_LINE_PIXELS, TILE_ROWS_V8
from lapilli.hw.nn import Pooling


def check_v7(layout: Layout, fields: Mapping[str, int], shape: KernelShape, chip: Chip) -> None:
    """Fault if a tile is too large (coefficients_v7, section 2)."""
    columns = _columns(layout, fields)
    lines = _interleaved_v7(columns + shape.columns - 1, columns)
    rows = demand(
        layout,
        fields,
        "out_image_tile_y_size",
        1,
        max(lines * chip.input_buffer_depth - shape.rows + 1, 1),
        f"as the input buffer has {chip.input_buffer_depth} lines of {lines} rows",
    )
    depth = chip.accumulation_buffer_depth
    most = lines * depth // rows
    why = f"as the accumulation buffer has {depth} lines of {lines} rows"
    if shape.rows == 1 and depth // 3 < most:
        most, why = depth // 3, f"as kernels of one row get a third of {depth} lines at most"
    demand(layout, fields, "kernels_per_core", 1, max(most, 1), why)


def check_v8(layout: Layout, fields: Mapping[str, int], shape: KernelShape, chip: Chip) -> None:
    """Fault if a tile is too large (coefficients_v8, section 2)."""
    columns = _columns(layout, fields)
    lines = _interleaved_v8(columns + shape.columns - 1, columns)
    most = lines * chip.input_buffer_depth - shape.rows + 1
    # The driver counts unsigned: with kernels higher than the buffer it has no limit of this kind.
    most = TILE_ROWS_V8 if most < 0 else min(max(most, 1), TILE_ROWS_V8)
    rows = demand(
        layout,
        fields,
        "out_image_tile_y_size",
        1,
        most,
        f"as the input buffer has {chip.input_buffer_depth} lines of {lines} rows and "
        f"tiles have at most {TILE_ROWS_V8}",
    )
    depth = chip.accumulation_buffer_depth
    used = -(-rows // lines) if shape.rows == 1 else -(-rows * columns // ACCUMULATOR_LINE_PIXELS)
    demand(
        layout,
        fields,
        "kernels_per_core",
        1,
        max(min(depth // used, depth * 6 // 9), 1),
        f"as the accumulation buffer has {depth} lines and a kernel takes {used}",
    )


def _columns(layout: Layout, fields: Mapping[str, int]) -> int:
    if fields["pooling"] == Pooling.FIRST_PIXEL:
        for name in ("out_image_tile_x_size", "out_image_tile_y_size"):
            if fields[name] % 2:
                where = layout.fields[name].where()
                raise Refused(
                    f"{name} = {fields[name]} ({where}) with first-pixel pooling; allowed are even "
                    "numbers, so that no tile begins with a pixel that is not stored"
                )
    return demand(layout, fields, "out_image_tile_x_size", 1, ACCUMULATOR_LINE_PIXELS)


def _interleaved_v7(touched: int, columns: int) -> int:
    """How many rows of a tile share a buffer line; ``touched`` pixels of each are read."""
    if touched > INPUT_LINE_PIXELS // 2:
        return 1
    base = next((n for n, least in ((1, 32), (2, 16), (4, 8)) if columns > least), 8)
    return min(base, 4 if touched > INPUT_LINE_PIXELS // 4 else 2)


def _interleaved_v8(touched: int, columns: int) -> int:
    """As for V7."""
    if touched > INPUT_LINE_PIXELS // 2 or columns > 32:
        return 1
    return 2 if touched > INPUT_LINE_PIXELS // 4 or columns > 16 else 4
