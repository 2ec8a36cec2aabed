"""What the calibration samples say about each channel: exact whole numbers, then plain quotients.

All values are in steps of the original model away from the zero point: v = q - z.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from lapilli.compiler.units.fixed_order import Floats, Integers, by_group, power_of_two
from lapilli.compiler.units.layers import Layer
from lapilli.model.options import TransposedConvolution
from lapilli.reference.arithmetic import Array
from lapilli.reference.convolution import exact_type
from lapilli.reference.node import Node
from lapilli.reference.patches import chosen_places, patches_of
from lapilli.reference.transpose_convolution import transpose_sums

LATE_UNITS: Final = 25
LARGEST_LATE_UNIT_LOG2: Final = 4.0
_PARTS: Final = 16
"""Pre-activations are kept in sixteenths of a step."""
_LARGEST_EXCESS: Final = 1 << 15


def late_units() -> Floats:
    """The units for which the cost of clamping late is tabulated: 1 to 16, geometric."""
    return power_of_two(
        np.arange(LATE_UNITS, dtype=np.float64) * (LARGEST_LATE_UNIT_LOG2 / (LATE_UNITS - 1))
    )


@dataclass(frozen=True, eq=False)
class Channels:
    """Of each channel of one tensor: range, mean, mean square, share of values strictly between
    the clamps; for outputs of layers the cost of clamping late, [channels, LATE_UNITS]."""

    least: Integers
    most: Integers
    mean: Floats
    square: Floats
    active: Floats
    late: Floats | None = None


@dataclass
class _Sums:
    """Of one tensor, as samples come in."""

    count: int
    least: Integers
    most: Integers
    total: Integers
    squares: Integers
    active: Integers
    late: Floats | None = None
    seen: int = 0


class Statistics:
    """Collects while the reference executor runs: ``watch`` is called behind each operator."""

    def __init__(
        self,
        layers: Sequence[Layer],
        tensors: Sequence[int],
        positions: int,
        enlarged: float = 1.0,
    ) -> None:
        """``positions``: output pixels at which pre-activations are looked at, and a quarter of
        the pixels of which means are taken (least and largest are of all); ``enlarged``: by which
        pre-activations are taken larger than seen."""
        self._layers = {layer.operator.index: layer for layer in layers}
        self._tensors = frozenset(tensors)
        self._positions = positions
        self._rows = 4 * positions
        self._enlarged = enlarged
        self._sums: dict[int, _Sums] = {}

    def watch(self, node: Node, results: tuple[Array, ...]) -> None:
        """One operator with its inputs and results."""
        layer = self._layers.get(node.operator.index)
        for tensor, result in zip(node.outputs, results, strict=True):
            if tensor.index in self._tensors and tensor.quantization is not None:
                clamps = None if layer is None else (layer.low, layer.high)
                self.add(tensor.index, result, tensor.quantization.zero_point, clamps)
        if layer is not None and layer.target in self._sums:
            self._add_late(layer, node)

    def add(
        self, tensor: int, values: Array, zero_point: int, clamps: tuple[int, int] | None
    ) -> None:
        """More values of a tensor: [samples, ..., channels]."""
        rows = values.reshape(-1, values.shape[-1])
        low, high = clamps or (int(np.iinfo(rows.dtype).min), int(np.iinfo(rows.dtype).max))
        least = rows.min(axis=0).astype(np.int64) - zero_point
        most = rows.max(axis=0).astype(np.int64) - zero_point
        some = rows[chosen_places(len(rows), self._rows)]
        inside = ((some > low) & (some < high)).sum(axis=0, dtype=np.int64)
        # Whole numbers below 2**53: exact in any order.
        steps = some.astype(np.float64) - zero_point
        total = steps.sum(axis=0).astype(np.int64)
        squares = np.einsum("rc,rc->c", steps, steps).astype(np.int64)
        count = len(some)
        found = self._sums.get(tensor)
        if found is None:
            self._sums[tensor] = _Sums(count, least, most, total, squares, inside)
            return
        found.count += count
        found.least = np.minimum(found.least, least)
        found.most = np.maximum(found.most, most)
        found.total = found.total + total
        found.squares = found.squares + squares
        found.active = found.active + inside

    def _add_late(self, layer: Layer, node: Node) -> None:
        """D(u) = E[min(max(v_pre - R, 0), (u - 1) R)^2], v_pre the pre-activation in steps; and
        the same for what lies below the range."""
        sums = _sampled_sums(layer, node, self._positions)
        scaled = (sums * layer.factors + layer.bias) * (self._enlarged * _PARTS)
        steps = np.clip(np.floor(scaled), -_LARGEST_EXCESS, _LARGEST_EXCESS)
        table = _late_table(steps, layer.above) + _late_table(-steps, layer.below)
        found = self._sums[layer.target]
        found.late = table if found.late is None else found.late + table
        found.seen += len(steps)

    def result(self) -> Mapping[int, Channels]:
        """Tensor -> its channels."""
        return MappingProxyType({t: _channels(sums) for t, sums in self._sums.items()})


def _sampled_sums(layer: Layer, node: Node, count: int) -> Floats:
    """[pixels, outputs]: a layer's sums, without bias, at some output pixels."""
    options = node.operator.options
    if not isinstance(options, TransposedConvolution):
        return layer_sums(layer, patches_of(node, count))
    strides = options.stride_rows, options.stride_columns
    pixels = transpose_sums(node, strides, options.padding).reshape(-1, layer.outputs)
    some: Floats = pixels[chosen_places(len(pixels), count)].astype(np.float64)
    return some


def _late_table(steps: Floats, reach: int) -> Floats:
    """Sums of squares for each channel and unit, of [pixels, channels] in sixteenths of a step."""
    table = np.zeros((steps.shape[1], LATE_UNITS))
    if reach <= 0:
        return table
    rows, channels = np.nonzero(steps > reach * _PARTS)
    excess = steps[rows, channels] - reach * _PARTS
    for i, unit in enumerate(late_units()):
        limit = np.floor((unit - 1.0) * (reach * _PARTS))
        # Squares of whole numbers below 2**16: sums are exact.
        table[:, i] = by_group(channels, np.minimum(excess, limit) ** 2, steps.shape[1])
    return table


def layer_sums(layer: Layer, patches: Integers) -> Floats:
    """The layer's sums, without bias, of input patches [patches, taps, inputs]; exact."""
    kind = exact_type(layer.weights, (1, 2))
    if not layer.depthwise:
        matrix = layer.weights.reshape(layer.outputs, -1).T.astype(kind)
        product: Floats = (patches.reshape(len(patches), -1).astype(kind) @ matrix).astype(
            np.float64
        )
        return product
    wide = np.repeat(patches.astype(kind), layer.multiplier, axis=2)
    sums = np.zeros((len(wide), layer.outputs), kind)
    for tap in range(layer.taps):
        sums += wide[:, tap] * layer.weights[:, tap, 0].astype(kind)
    return sums.astype(np.float64)


def _channels(sums: _Sums) -> Channels:
    late = None
    if sums.late is not None:
        late = sums.late / float(max(sums.seen, 1) * _PARTS**2)
    return Channels(
        sums.least,
        sums.most,
        sums.total / sums.count,
        sums.squares / sums.count,
        sums.active / sums.count,
        late,
    )


def mixed(channels: Channels) -> Channels:
    """Precautions, as channels that sleep on the samples may not on others: the active share and
    the variance are mixed half and half with the tensor's mean ones."""
    variance = channels.square - channels.mean**2
    return replace(
        channels,
        square=half_and_half(variance) + channels.mean**2,
        active=half_and_half(channels.active),
    )


def half_and_half(values: Floats) -> Floats:
    """With their mean, which is taken in a fixed order."""
    if not len(values):
        return values
    mean: Floats = np.add.accumulate(values)[-1:] / len(values)
    return (values + mean) * 0.5
