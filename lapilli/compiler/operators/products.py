"""Products of two computed tensors: no unit multiplies them, but a product is a difference of
squares, and squares are a look-up table.

With ``a`` and ``b`` counted from 128, ``s = (a + b) / 2`` and ``d = (a - b) / 2``,

    a * b = s * s - d * d

One NN job makes ``s`` and ``d``, a TP job looks up their squares, and another NN job puts them
together with what the zero points add to the product. Where a + b is odd s and d are not whole:
rounded up both they give the product with ``a + 1``, so the error is up to 128 products of two
steps; or both are rounded up and down, and the mean of the two squares is exact but for a quarter,
which s and d have in common. Squares are bytes, each stands for 64. All 65,536 pairs of bytes are
tried when an operator is judged, and it is taken if each of them comes out within 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import look_ups, tables
from lapilli.compiler.encode.tables import Table
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.broadcasting import repeated
from lapilli.compiler.operators.endings import Ending, cut_range, ending_of
from lapilli.hw.chips import Chip
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Graph, Operator, Quantization
from lapilli.model.options import Activation, Multiplication

BYTES = 256
MIDDLE = 128
SQUARE = 64
"""Product steps that a byte of the table stands for."""
QUARTERS = np.float32(0.25)
"""Sums are formed four times as large, so that none lies halfway between two bytes."""
MOST_OFF = 1.49
"""Steps from the product that is not rounded: what is stored is within 1 of it, rounded anyhow."""
UP, DOWN = 1, -1
ROUNDINGS = (((UP,), (UP,)), ((UP,), (DOWN,)), ((UP, DOWN), (UP, DOWN)))
"""How sums and differences are rounded that are not whole; the first that does is taken."""

Pairs = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Product:
    """The numbers of a product. ``sums`` and ``differences``: how each of them is rounded; the
    planes of squares come in that order. ``weights``: of the squares and of both bytes. ``worst``:
    how far off results are at most, of ``pair``, where ``found`` is stored for ``wanted``."""

    sums: tuple[int, ...]
    differences: tuple[int, ...]
    table: Table
    weights: tuple[int, ...]
    bias: int
    scale: np.float32
    ending: Ending
    worst: float = 0.0
    pair: tuple[int, int] = (0, 0)
    found: int = 0
    wanted: int = 0

    @property
    def usable(self) -> bool:
        """No pair of bytes is too far off."""
        return self.worst <= MOST_OFF


def squares() -> Table:
    """Squares of the distance from 128, a byte for 64."""
    distance = np.arange(BYTES, dtype=np.float64) - MIDDLE
    return tables.fit(distance**2 / SQUARE, MIDDLE, 0)


def product_of(graph: Graph, operator: Operator, chip: Chip) -> Product | None:
    """The numbers with which the product comes out best, as few jobs as do; None if the chip has no
    fields for its scale."""
    first, second, output = (
        _known(graph, tensor) for tensor in (*operator.inputs[:2], operator.outputs[0])
    )
    with np.errstate(over="ignore", under="ignore"):
        scale = np.float32(first.scale * second.scale / output.scale)
    generation = generation_of(chip)
    if not generation.fits(scale):
        return None
    used = generation.nearest_scale(scale)
    table, ending = squares(), ending_of(output, activation_of(operator))
    best: Product | None = None
    for sums, differences in ROUNDINGS:
        each = SQUARE // len(sums)
        beside = MIDDLE - second.zero_point, MIDDLE - first.zero_point
        weights = (*[each] * len(sums), *[-each] * len(differences), *beside)
        bias = beside[0] * beside[1] - MIDDLE * (beside[0] + beside[1])
        made = Product(sums, differences, table, weights, bias, used, ending)
        judged = _judged(made, first, second, output, activation_of(operator))
        if best is None or judged.worst < best.worst:
            best = judged
        if best.usable:
            break
    return best


def activation_of(operator: Operator) -> Activation:
    """What is fused into a MUL."""
    assert isinstance(operator.options, (Multiplication, type(None)))
    return operator.options.activation if operator.options else Activation.NONE


def _known(graph: Graph, tensor: int) -> Quantization:
    quantization = graph.tensors[tensor].quantization
    assert quantization is not None
    return quantization


# ------------------------------------------------------------------------------------ all the pairs


def stored(product: Product) -> Pairs:
    """[256, 256]: what becomes of each pair of bytes."""
    a, b = np.arange(BYTES)[:, None], np.arange(BYTES)[None, :]
    squared = tables.evaluate(product.table).astype(np.int64)
    planes = [
        squared[np.clip((2 * (a + b) + rounding + 2) // 4, 0, BYTES - 1)]
        for rounding in product.sums
    ]
    planes += [
        squared[np.clip((2 * (a - b) + rounding + 2) // 4 + MIDDLE, 0, BYTES - 1)]
        for rounding in product.differences
    ]
    planes += [a, b]
    total = sum(w * plane for w, plane in zip(product.weights, planes, strict=True)) + product.bias
    ending = product.ending
    made = np.floor(total * float(product.scale) + 0.5).astype(np.int64) + ending.zero_point
    made = np.clip(made, ending.zero_point if ending.relu else 0, BYTES - 1)
    cut: Pairs = np.maximum(made - ending.shift, ending.least)
    return cut


def _judged(
    product: Product,
    first: Quantization,
    second: Quantization,
    output: Quantization,
    activation: Activation,
) -> Product:
    a = (np.arange(BYTES) - first.zero_point) * first.scale
    b = (np.arange(BYTES) - second.zero_point) * second.scale
    low, high = cut_range(output, activation)
    exact = np.clip(np.multiply.outer(a, b) / output.scale + output.zero_point, low, high)
    found = stored(product)
    off = np.abs(found - exact)
    worst = np.unravel_index(int(off.argmax()), off.shape)
    return replace(
        product,
        worst=float(off[worst]),
        pair=(int(worst[0]), int(worst[1])),
        found=int(found[worst]),
        wanted=int(np.floor(exact[worst] + 0.5)),
    )


# ---------------------------------------------------------------------------------------- lowering


def lower(builder: Builder, operator: Operator, product: Product) -> None:
    """Sums and differences, their squares, the weighted sum of all: in the operands' layout, NHWC
    if both have no other, else planar."""
    first, second = operator.inputs[:2]
    result = builder.place(operator.outputs[0])
    size = result.size
    alike = all(builder.place(tensor).size == size for tensor in (first, second))
    direct = alike and all(builder.place(tensor).planar is None for tensor in (first, second))
    if direct:
        operands = [builder.nhwc(tensor, operator.index) for tensor in (first, second)]
    else:
        operands = [repeated(builder, operator, tensor, size) for tensor in (first, second)]
    made = _multiplied(builder, operator, operands, product)
    made = product.ending.applied(builder, operator.index, made)
    if direct:
        result.nhwc = made
    else:
        result.planar = made


def _multiplied(
    builder: Builder, operator: Operator, operands: Sequence[View], product: Product
) -> View:
    """The operands' bytes lie behind the squares, so that one job sees them all."""
    each = operands[0].size
    pixels = addition_image(1, each, 1)
    assert pixels is not None, "the rules check the size"
    planes = len(product.sums) + len(product.differences)
    whole = builder.store((planes + 2) * each)
    pair = builder.lay(operands, operator)
    builder.put(pair, whole, planes * each, operator)
    bytes_of = View(whole.storage, planes * each, 2 * each)
    halves = _halves(builder, operator, bytes_of, pixels, product)
    flat = ImageSize(*pixels, planes)
    pieces = look_ups.even_pieces(flat, builder.chip.tp_cores)
    memory = builder.store_table(product.table.data)
    looked_up = builder.move(
        operator.index,
        "square",
        halves,
        halves.size,
        look_ups.look_up(pieces, product.table),
        table=memory,
    )
    builder.put(looked_up, whole, 0, operator)
    return _sum(
        builder,
        operator,
        whole,
        ImageSize(*pixels, planes + 2),
        [product.weights],
        [product.bias],
        product.scale,
        product.ending,
    )


def _halves(
    builder: Builder,
    operator: Operator,
    pair: View,
    pixels: tuple[int, int],
    product: Product,
) -> View:
    """Half the sums and half the differences (and 128), each rounded as the product says."""
    weights = [(2, 2)] * len(product.sums) + [(2, -2)] * len(product.differences)
    biases = [*product.sums, *(4 * MIDDLE + rounding for rounding in product.differences)]
    size = ImageSize(*pixels, 2)
    return _sum(builder, operator, pair, size, weights, biases, QUARTERS, Ending(0))


def _sum(
    builder: Builder,
    operator: Operator,
    source: View,
    size: ImageSize,
    weights: Sequence[tuple[int, ...]],
    biases: Sequence[int],
    scale: np.float32,
    ending: Ending,
) -> View:
    """Weighted sums of the planes of ``source``, one for each row of ``weights``."""
    values = np.array(weights, np.int64)
    zero_point = max(0, -int(values.min()))
    made = ImageSize(size.columns, size.rows, len(weights))
    target = builder.store_planes(made)
    builder.steps.append(
        ConvolutionIntent(
            operator=operator.index,
            depthwise=False,
            source=source,
            target=target,
            input_size=size,
            output_size=made,
            kernels=Kernels(
                (values + zero_point).astype(np.uint8)[:, :, None, None],
                np.zeros(len(weights), np.int64),
                size.channels,
                zero_point,
                np.array(biases, np.int64),
            ),
            stride=(1, 1),
            padding_before=(0, 0),
            padding_after=(0, 0),
            padding_same=False,
            scale=scale,
            input_zero_point=0,
            output_zero_point=ending.zero_point,
            relu=ending.relu,
        )
    )
    return target
