"""What ADD and SUB have in common."""

from __future__ import annotations

from dataclasses import replace

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import requantise
from lapilli.compiler.encode.requantise import AdditionScales
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import AdditionIntent
from lapilli.compiler.jobs import View
from lapilli.compiler.operators import by_constant, cpu_range, flat
from lapilli.compiler.operators.broadcasting import repeated
from lapilli.compiler.operators.endings import ending_of
from lapilli.compiler.operators.flat import Step
from lapilli.compiler.operators.record import Case, relies_on
from lapilli.compiler.operators.rules import (
    image_size,
    moved_size,
    no_empty_dimension,
    operands_present,
)
from lapilli.model.geometry import addition_image, image_extents
from lapilli.model.graph import Operator
from lapilli.model.options import Activation, Addition


@relies_on(operands_present)
def constant_operand(case: Case) -> str | None:
    """One operand at least must be computed, and have the result's shape if the other one is a
    constant number, or one for each channel.

    Remedy: Fold the constant into the bias of the convolution in front.
    """
    return by_constant.odd_constant(case)


@relies_on(operands_present, no_empty_dimension)
def operand_size(case: Case) -> str | None:
    """Tensors may have at most 65535 rows, columns and channels each, and fewer than 2^28 bytes;
    beside a constant for each channel 8191 rows and columns and 16383 channels.

    Remedy: Cut the tensor into pieces.
    """
    position = by_constant.constant_position(case.graph, case.operator)
    each_channel = position is not None and case.input(position).size > 1
    return image_size(case) if each_channel else moved_size(case)


@relies_on(operands_present, no_empty_dimension)
def addition_size(case: Case) -> str | None:
    """The elements of the result must fit into an image of at most 8191 x 8191."""
    rows, columns, channels = image_extents(case.output().shape)
    if addition_image(rows, columns, channels) is None:
        return f"{rows * columns * channels} elements"
    return None


def scale_misfit(case: Case, subtract: bool = False) -> str | None:
    """The factor that has no multiplier and shift, if it has none."""
    scales = _scales(case, subtract)
    if cpu_range.beyond_sum(case.graph, case.operator) is not None:
        return _ratio(scales)
    if by_constant.constant_position(case.graph, case.operator) is not None:
        found = by_constant.sum_with(case.graph, case.operator, case.chip, subtract)
        return None if found is not None else _ratio(scales)
    generation = generation_of(case.chip)
    if generation.fits(generation.addition_numbers(scales, False).scale):
        return None
    return _ratio(scales)


def _ratio(scales: AdditionScales) -> str:
    return f"{max(scales.first.scale, scales.second.scale) / scales.output.scale:.4g}"


def inexact(case: Case, subtract: bool = False) -> str | None:
    """How far the closest weights are off, if that is too far."""
    if by_constant.constant_position(case.graph, case.operator) is not None:
        found = by_constant.sum_with(case.graph, case.operator, case.chip, subtract)
        return by_constant.inexact(found)
    scales = _scales(case, subtract)
    numbers = generation_of(case.chip).addition_numbers(scales, False)
    error = requantise.addition_error(numbers, scales, numbers.scale)
    return None if error <= requantise.LARGEST_ADDITION_ERROR else f"{error:.2f} steps"


def _scales(case: Case, subtract: bool) -> AdditionScales:
    """What operands and result stand for."""
    first, second, output = (tensor.quantization for tensor in case.images)
    assert first is not None and second is not None and output is not None
    return AdditionScales(first, second, output, subtract)


def lower(builder: Builder, operator: Operator, subtract: bool = False) -> None:
    """One weighted sum, or what a constant operand, or the same one twice, makes of it."""
    assert isinstance(operator.options, (Addition, type(None)))
    activation = operator.options.activation if operator.options else Activation.NONE
    if by_constant.constant_position(builder.graph, operator) is not None:
        linear = by_constant.sum_with(builder.graph, operator, builder.chip, subtract)
        assert linear is not None, "the rules check it"
        by_constant.lower(builder, operator, linear, activation)
    elif subtract or not _doubled(builder, operator, activation):
        _sum_of_two(builder, operator, activation, subtract)


def _doubled(builder: Builder, operator: Operator, activation: Activation) -> bool:
    """a + a is a tensor of another scale; False if it is no such sum."""
    tensor, other = operator.inputs[:2]
    source, output = builder.quantization(tensor), builder.quantization(operator.outputs[0])
    found = flat.split_factor(2 * source.scale / output.scale, builder.chip)
    if tensor != other or found is None:
        return False
    ending = ending_of(output, activation)
    step = Step(source.zero_point, ending.zero_point, *found, relu=ending.relu)
    made = flat.append(builder, operator.index, flat.at_hand(builder, tensor), step)
    made = ending.applied(builder, operator.index, made)
    flat.lay_like(builder, tensor, operator.outputs[0], made)
    return True


def _sum_of_two(
    builder: Builder, operator: Operator, activation: Activation, subtract: bool
) -> None:
    """In the operands' layout: NHWC if both have no other, else planar."""
    first, second = operator.inputs[:2]
    result = builder.place(operator.outputs[0])
    size = result.size
    alike = all(builder.place(tensor).size == size for tensor in (first, second))
    direct = alike and all(builder.place(tensor).planar is None for tensor in (first, second))
    if direct:
        operands = [builder.nhwc(tensor, operator.index) for tensor in (first, second)]
    else:
        operands = [repeated(builder, operator, tensor, size) for tensor in (first, second)]
    views = builder.beside(operands[0], operands[1], operator)
    target = builder.store(size.plane * size.channels, "output" if direct else "tensor")
    quantizations = [builder.quantization(i) for i in (first, second, operator.outputs[0])]
    ending = ending_of(quantizations[2], activation)
    output = replace(quantizations[2], zero_points=(ending.zero_point,))
    builder.steps.append(
        AdditionIntent(
            operator=operator.index,
            source=View(views[0].storage, views[0].offset, 2 * views[0].size),
            target=target,
            size=size,
            scales=AdditionScales(quantizations[0], quantizations[1], output, subtract),
            relu=ending.relu,
        )
    )
    made = ending.applied(builder, operator.index, target)
    if direct:
        result.nhwc = made
    else:
        result.planar = made
