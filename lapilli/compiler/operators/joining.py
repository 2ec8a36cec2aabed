"""CONCATENATION and PACK: operands in one storage, written there by whoever makes them."""

from __future__ import annotations

from collections.abc import Sequence

from lapilli.compiler.builder import Builder, Place
from lapilli.compiler.encode.copies import Piece
from lapilli.compiler.jobs import ImageSize, View
from lapilli.compiler.operators import flat
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.reshaping import reshape
from lapilli.compiler.operators.rules import (
    batch_of_one,
    eight_bit,
    moved_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.compiler.operators.windows import quantisation_stays
from lapilli.model.graph import Graph, Operator
from lapilli.model.options import Activation, Concatenation, Stack

ROWS, COLUMNS, CHANNELS = 1, 2, 3
"""Axes of an image."""


# ------------------------------------------------------------------------------------------- rules


def _axis(graph: Graph, operator: Operator) -> int:
    """Along which axis of an image the operands lie."""
    assert isinstance(operator.options, (Concatenation, Stack))
    rank = len(graph.tensors[operator.outputs[0]].shape)
    return operator.options.axis % rank + 4 - rank


def joined_axis(case: Case) -> str | None:
    """Operands must follow one another along rows, columns or channels, and nothing may be fused.

    Remedy: Join along another axis than the batch.
    """
    options = case.operator.options
    if not isinstance(options, (Concatenation, Stack)):
        return "no options"
    rank = len(case.output().shape)
    if not -rank <= options.axis < rank or _axis(case.graph, case.operator) == 0:
        return f"axis {options.axis} of {list(case.output().shape)}"
    if isinstance(options, Concatenation) and options.activation is not Activation.NONE:
        return f"a fused {options.activation.value}"
    return None


def joined_shapes_agree(case: Case) -> str | None:
    """The operands' extents must be the result's, along the axis they add up to it."""
    target, options = case.output().shape, case.operator.options
    assert isinstance(options, (Concatenation, Stack))
    axis, total = options.axis % len(target), 0
    for tensor in case.images_in:
        shape = list(tensor.shape)
        if isinstance(options, Stack):
            shape.insert(axis, 1)
        if len(shape) != len(target):
            return f"{list(tensor.shape)} -> {list(target)}"
        total += shape[axis]
        shape[axis] = target[axis]
        if tuple(shape) != target:
            return f"{list(tensor.shape)} -> {list(target)}"
    return None if total == target[axis] else f"{total} elements along an axis of {target[axis]}"


def operands_fit_scale(case: Case) -> str | None:
    """The ratio of an operand's scale to the result's, over a power of two up to 128, must have a
    multiplier and shift, and operands of another scale must fit into images of at most 8191 x
    8191.

    Remedy: Give all operands the result's quantisation.
    """
    output = case.output().quantization
    assert output is not None
    for tensor in case.images_in:
        quantization = tensor.quantization
        assert quantization is not None
        if (quantization.scale, quantization.zero_point) == (output.scale, output.zero_point):
            continue
        ratio = quantization.scale / output.scale
        if flat.split_factor(ratio, case.chip) is None or flat.no_image(tensor.size):
            return f"{tensor.name} of {tensor.size} elements, ratio {ratio:.4g}"
    return None


# ---------------------------------------------------------------------------------------- lowering


def lower(builder: Builder, operator: Operator) -> None:
    """No job where operands can be written to their places, else TP jobs that copy them there;
    operands of another scale are convolved first."""
    axis = _axis(builder.graph, operator)
    result = builder.place(operator.outputs[0])
    parts = []
    for tensor in operator.inputs:
        part = _of_result_scale(builder, operator, tensor)
        if isinstance(operator.options, Stack):
            part = _with_axis(builder, part, result.size, axis)
        parts.append(part)
    join(builder, operator, parts, result, axis)


def _of_result_scale(builder: Builder, operator: Operator, tensor: int) -> Place:
    """The operand with the bytes of the result's quantisation."""
    output = operator.outputs[0]
    first, second = builder.quantization(tensor), builder.quantization(output)
    place = builder.place(tensor)
    if (first.scale, first.zero_point) == (second.scale, second.zero_point):
        return place
    step = flat.rescaling(first, second, builder.chip)
    assert step is not None, "the rules check the scales"
    made = flat.append(builder, operator.index, flat.at_hand(builder, tensor), step)
    other = Place(place.size, second.zero_point)
    if place.planar is not None:
        other.planar = made
    elif place.nhwc is not None:
        other.nhwc = made
    else:
        assert place.reshaped is not None
        other.reshaped = made, place.reshaped[1]
    return other


def _with_axis(builder: Builder, part: Place, size: ImageSize, axis: int) -> Place:
    """The operand as an image with one element along the axis."""
    extents = [size.rows, size.columns, size.channels]
    extents[axis - 1] = 1
    found = Place(ImageSize(extents[1], extents[0], extents[2]), part.zero_point)
    reshape(builder, part, found)
    return found


def join(
    builder: Builder, operator: Operator, parts: Sequence[Place], result: Place, axis: int
) -> None:
    """Let ``result`` be the parts one behind the other along an axis of an image."""
    planes = all(part.planar is not None for part in parts)
    if axis == CHANNELS:
        views = [builder.planar_of(part, operator.index) for part in parts]
        result.planar = builder.lay(views, operator)
    elif planes and result.size.channels > 1:
        views = [builder.planar_of(part, operator.index) for part in parts]
        result.planar = builder.store_planes(result.size)
        pieces = _beside(parts, result.size, axis, planar=True)
        _copy(builder, operator, views, result.planar, pieces)
    else:
        views = [builder.nhwc_of(part, operator.index) for part in parts]
        if axis == ROWS or result.size.rows == 1:
            result.nhwc = builder.lay(views, operator)
        else:
            size = result.size
            result.nhwc = builder.store(size.plane * size.channels)
            pieces = _beside(parts, size, axis, planar=False)
            _copy(builder, operator, views, result.nhwc, pieces)


def _copy(
    builder: Builder,
    operator: Operator,
    views: Sequence[View],
    target: View,
    pieces: Sequence[Piece],
) -> None:
    for view, piece in zip(views, pieces, strict=True):
        builder.copy_pieces(operator, view, target, [piece])


def _beside(parts: Sequence[Place], size: ImageSize, axis: int, planar: bool) -> list[Piece]:
    """Where each part goes in the whole image, in one of the layouts."""
    found, done = [], 0
    for part in parts:
        columns, rows, channels = part.size.columns, part.size.rows, part.size.channels
        offset = done * (size.columns if axis == ROWS else 1)
        if planar:
            piece = Piece(
                columns, rows, channels, columns, part.size.plane, 1, size.columns, size.plane,
                target_offset=offset,
            )  # fmt: skip
        else:
            piece = Piece(
                channels, columns, rows, channels, columns * channels, 1, channels,
                size.columns * channels, target_offset=offset * channels,
            )  # fmt: skip
        found.append(piece)
        done += rows if axis == ROWS else columns
    return found


CONCATENATION = OperatorRecord(
    kinds=("CONCATENATION",),
    words=(
        "Nothing where the operands can be written to their places in the result, else copies on "
        "the TP cores; operands of another scale go through a 1x1 convolution first."
    ),
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        joined_axis,
        joined_shapes_agree,
        quantised_per_tensor,
        operands_fit_scale,
        moved_size,
    ),
    lower=lower,
    images=None,
)
PACK = OperatorRecord(
    kinds=("PACK",),
    words="As CONCATENATION, of operands with one element along the new axis.",
    rules=(
        operands_present,
        operands_computed,
        eight_bit,
        batch_of_one,
        joined_axis,
        joined_shapes_agree,
        quantised_per_tensor,
        quantisation_stays,
        moved_size,
    ),
    lower=lower,
    images=None,
)
