"""The arithmetic of a convolution on an emulated NN unit: exact, and without loops over pixels.

Accumulators are sums of integers, so floating point gives them exactly while every partial sum
stays below the largest integer its mantissa holds. Inputs are centred (128 subtracted, and 128
times the weights' sum added to the bias, unless the unit itself subtracts it) to halve that bound.
There are two ways to the sums: a matrix product over all weights (``Product``), and for kernels
that touch few input channels, as in depthwise convolutions and additions, a sum of scaled planes
(``Planes``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.emulator.kernels import Coefficients, Counts, Integers

CENTRE = 128
LARGEST_BYTE = 255
EXACT_FLOAT32 = 1 << 24
ACCUMULATOR_BITS = 32
EXACT_FLOAT64 = 1 << 53
ROUNDED_BYTE = 256
"""Above any output zero point and the half that rounds."""
LARGEST_SHIFT = 62
"""Larger shifts leave nothing of an accumulator times 24 bits."""
BLOCK_ELEMENTS = 1 << 15
"""Elements worked on at a time, so that intermediate results stay in the processor's cache."""
COLUMN_ELEMENTS = 1 << 22
PRODUCT_ADVANTAGE = 25
"""How much faster a matrix product does a multiplication than a scaled sum of planes."""

Floats = NDArray[np.floating[Any]]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Output:
    """How accumulators become bytes: ``acc * multiplier >> shift``, rounded to nearest."""

    multiplier: int
    shift: int
    zero_point: int
    relu: bool

    @property
    def lowest(self) -> int:
        """Smallest byte that is stored."""
        return self.zero_point if self.relu else 0


@dataclass(frozen=True)
class Geometry:
    """Output pixels computed and how the kernel lies in the padded image; ``step`` 2 skips every
    other row and column."""

    rows: int
    columns: int
    step: int
    kernel_rows: int
    kernel_columns: int

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of the image the kernels touch."""
        return (
            (self.rows - 1) * self.step + self.kernel_rows,
            (self.columns - 1) * self.step + self.kernel_columns,
        )

    def tap(self, image: Floats, row: int, column: int) -> Floats:
        """What one kernel position is multiplied with, [..., rows, columns]."""
        return image[
            ...,
            row : row + (self.rows - 1) * self.step + 1 : self.step,
            column : column + (self.columns - 1) * self.step + 1 : self.step,
        ]


@dataclass(frozen=True)
class Product:
    """Weights [kernel][weight] as one matrix."""

    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Planes:
    """Kernels that touch few channels: weights [kernel][slot][tap] and the slots' channels."""

    channels: Integers
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Kernels:
    """Coefficients made ready to compute with; no accumulator's magnitude is above ``reach``."""

    form: Product | Planes
    bias: Integers
    centred_bias: Integers
    plane_offset: Integers
    float_type: type[np.float32] | type[np.float64]
    reach: int
    tokens: int
    nonzero: int
    counts: Counts | None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        extra = self.form.channels.nbytes if isinstance(self.form, Planes) else 0
        extra += self.counts.nbytes if self.counts else 0
        return self.form.weights.nbytes + extra + 3 * self.bias.nbytes


def prepare(coefficients: Coefficients, middle: int) -> Kernels:
    """Choose the form and the float type that is exact for these weights.

    ``middle`` is what the unit subtracts from every input byte.
    """
    count = len(coefficients.bias)
    if coefficients.listed is not None:
        kernel, _, value = coefficients.listed
        total = np.bincount(kernel, value, count).astype(np.int64)
        absolute = np.bincount(kernel, np.abs(value), count).astype(np.int64)
    else:
        assert coefficients.dense is not None
        total = coefficients.dense.sum(axis=1, dtype=np.float64).astype(np.int64)
        absolute = np.abs(coefficients.dense).sum(axis=1, dtype=np.float64).astype(np.int64)
    exact = bool(np.all(absolute * CENTRE < EXACT_FLOAT32))
    reach = np.abs(coefficients.bias) + absolute * max(LARGEST_BYTE - middle, middle)
    return Kernels(
        form=_form(coefficients),
        bias=coefficients.bias,
        centred_bias=coefficients.bias + (CENTRE - middle) * total,
        plane_offset=coefficients.plane_offset,
        float_type=np.float32 if exact else np.float64,
        reach=int(reach.max(initial=0)),
        tokens=coefficients.tokens,
        nonzero=coefficients.nonzero,
        counts=coefficients.counts,
    )


def _form(coefficients: Coefficients) -> Product | Planes:
    shape, count = coefficients.shape, len(coefficients.bias)
    touched = shape.channels * shape.taps
    if coefficients.listed is None:
        assert coefficients.dense is not None
        return Product(coefficients.dense)
    kernel, weight, value = coefficients.listed
    pairs, pair = np.unique(kernel * shape.channels + weight // shape.taps, return_inverse=True)
    owner = pairs // shape.channels
    slots_of = np.bincount(owner, minlength=count)
    slots = max(int(slots_of.max()), 1)
    product_cost = (count / PRODUCT_ADVANTAGE + 1) * touched
    if count * slots * shape.taps > product_cost:
        dense = np.zeros((count, touched), np.float32)
        dense[kernel, weight] = value
        return Product(dense)
    slot_of_pair = np.arange(len(pairs)) - np.repeat(np.cumsum(slots_of) - slots_of, slots_of)
    channels = np.zeros((count, slots), np.int64)
    channels[owner, slot_of_pair] = pairs % shape.channels
    weights = np.zeros((count, slots, shape.taps), np.float32)
    weights[kernel, slot_of_pair[pair], weight % shape.taps] = value
    return Planes(channels, weights)


def pad(
    image: Image,
    geometry: Geometry,
    offset: tuple[int, int],
    border: int,
    float_type: type[np.float32] | type[np.float64],
) -> Floats:
    """The centred image [channels, *geometry.padded] as the kernels meet it.

    ``offset`` is (row, column) of the first pixel relative to the image; outside lies ``border``.
    """
    rows, columns = geometry.padded
    (top, left), (height, width) = offset, image.shape[1:]
    padded = np.full((len(image), rows, columns), border - CENTRE, float_type)
    first_row, first_column = max(-top, 0), max(-left, 0)
    last_row, last_column = min(height - top, rows), min(width - left, columns)
    if first_row < last_row and first_column < last_column:
        inside = image[:, first_row + top : last_row + top]
        source = inside[:, :, first_column + left : last_column + left]
        np.subtract(
            source,
            float_type(CENTRE),
            dtype=float_type,
            out=padded[:, first_row:last_row, first_column:last_column],
        )
    return padded


def convolve(
    kernels: Kernels,
    image: Floats,
    geometry: Geometry,
    output: Output,
    into: Image,
    planes: Integers,
) -> None:
    """Compute the first ``len(planes)`` kernels and store them in those planes of ``into``.

    ``image`` is what ``pad`` made; ``into`` is [plane, rows, columns].
    """
    if isinstance(kernels.form, Planes):
        _sum_planes(kernels, kernels.form, image, geometry, output, into, planes)
    else:
        _multiply(kernels, kernels.form, image, geometry, output, into, planes)


def _sum_planes(
    kernels: Kernels,
    form: Planes,
    image: Floats,
    geometry: Geometry,
    output: Output,
    into: Image,
    planes: Integers,
) -> None:
    size = geometry.padded[0] * geometry.padded[1]
    step = max(BLOCK_ELEMENTS // size, 1)
    for first in range(0, len(planes), step):
        part = slice(first, min(first + step, len(planes)))
        total: Floats | None = None
        for slot in range(form.channels.shape[1]):
            source = image[form.channels[part, slot]]
            for tap in range(geometry.kernel_rows * geometry.kernel_columns):
                weights = form.weights[part, slot, tap].astype(image.dtype, copy=False)
                if not weights.any():
                    continue
                row, column = divmod(tap, geometry.kernel_columns)
                term = geometry.tap(source, row, column) * weights[:, None, None]
                total = term if total is None else np.add(total, term, out=total)
        if total is None:
            total = np.zeros((part.stop - first, geometry.rows, geometry.columns), image.dtype)
        flat = total.reshape(part.stop - first, -1)
        result = requantise(flat, kernels, part, output)
        into[planes[part]] = result.reshape(total.shape)


def _multiply(
    kernels: Kernels,
    form: Product,
    image: Floats,
    geometry: Geometry,
    output: Output,
    into: Image,
    planes: Integers,
) -> None:
    weights = form.weights[: len(planes)].astype(image.dtype, copy=False)
    step = max(COLUMN_ELEMENTS // (max(weights.shape) * geometry.columns), 1)
    for first in range(0, geometry.rows, step):
        count = min(step, geometry.rows - first)
        sums = weights @ _columns(image, geometry, first, count)
        lines = max(BLOCK_ELEMENTS // sums.shape[1], 1)
        for kernel in range(0, len(planes), lines):
            part = slice(kernel, min(kernel + lines, len(planes)))
            result = requantise(sums[part], kernels, part, output)
            into[planes[part], first : first + count] = result.reshape(-1, count, geometry.columns)


def _columns(image: Floats, geometry: Geometry, first: int, count: int) -> Floats:
    """The inputs of ``count`` output rows as a matrix [channel and tap, pixel]."""
    channels, taps = len(image), geometry.kernel_rows * geometry.kernel_columns
    strip = Geometry(
        count, geometry.columns, geometry.step, geometry.kernel_rows, geometry.kernel_columns
    )
    rows = image[:, first * geometry.step : first * geometry.step + strip.padded[0]]
    if taps == 1:
        return np.ascontiguousarray(strip.tap(rows, 0, 0)).reshape(channels, -1)
    matrix = np.empty((channels, taps, count, geometry.columns), image.dtype)
    for tap in range(taps):
        matrix[:, tap] = strip.tap(rows, *divmod(tap, geometry.kernel_columns))
    return matrix.reshape(channels * taps, -1)


def requantise(sums: Floats, kernels: Kernels, part: slice, output: Output) -> NDArray[np.uint8]:
    """Bytes of the centred sums [kernel, pixel] of the kernels ``part``: bias added, wrapped to 32
    bits, multiplied, shifted right with rounding to nearest, zero point added, clamped."""
    bias = kernels.centred_bias[part, None]
    if not (
        output.shift
        and kernels.reach < 1 << (ACCUMULATOR_BITS - 1)
        and kernels.reach * output.multiplier + (ROUNDED_BYTE << output.shift) < EXACT_FLOAT64
    ):
        return _requantise_integers(sums, bias, output)
    # Everything is a multiple of 2^-shift and below 2^53 times that: exact in double precision.
    scale = output.multiplier * 2.0**-output.shift
    offset = bias * scale + (0.5 + output.zero_point)
    scaled = np.multiply(sums, scale, dtype=np.float64)
    scaled += offset
    # The cast cuts off the fraction; below ``lowest`` (not negative) the clamp did that.
    np.clip(scaled, output.lowest, LARGEST_BYTE, out=scaled)
    return scaled.astype(np.uint8)


def _requantise_integers(sums: Floats, bias: Integers, output: Output) -> NDArray[np.uint8]:
    half = 1 << (ACCUMULATOR_BITS - 1)
    accumulator = (sums.astype(np.int64) + bias + half) % (2 * half) - half
    if output.shift > LARGEST_SHIFT:
        scaled = np.zeros_like(accumulator)
    else:
        rounding = 1 << (output.shift - 1) if output.shift else 0
        scaled = (accumulator * output.multiplier + rounding) >> output.shift
    scaled += output.zero_point
    np.clip(scaled, output.lowest, LARGEST_BYTE, out=scaled)
    return scaled.astype(np.uint8)
