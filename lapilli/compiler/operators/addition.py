"""ADD of two computed tensors."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import requantise
from lapilli.compiler.encode.requantise import AdditionScales
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import AdditionIntent
from lapilli.compiler.jobs import View
from lapilli.compiler.operators.record import Case, OperatorRecord
from lapilli.compiler.operators.rules import (
    activation_exact,
    batch_of_one,
    bytes_unsigned,
    image_extents,
    image_size,
    operands_computed,
    operands_present,
    quantised_per_tensor,
)
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Activation, Addition, Operator

# ------------------------------------------------------------------------------------------- rules


def no_broadcast(case: Case) -> str | None:
    """Both operands of an addition and the result have the same shape.

    Remedy: Repeat the smaller operand to the larger one's shape when the model is built.
    """
    shapes = [tensor.shape for tensor in case.images]
    if shapes[0] == shapes[1] == shapes[2]:
        return None
    return " + ".join(str(list(s)) for s in shapes[:2]) + f" -> {list(shapes[2])}"


def addition_size(case: Case) -> str | None:
    """The number of elements added can be seen as an image of at most 8191 x 8191."""
    rows, columns, channels = image_extents(case.input(0).shape)
    if addition_image(rows, columns, channels) is None:
        return f"{rows * columns * channels} elements"
    return None


def scale_fits(case: Case) -> str | None:
    """The factor from accumulator to output has a multiplier and shift (A311D: 2^-112 to 2^16)."""
    scales, generation = _scales(case), generation_of(case.chip)
    if generation.fits(generation.addition_numbers(scales, False).scale):
        return None
    return f"{max(scales.first.scale, scales.second.scale) / scales.output.scale:.4g}"


def addition_exact(case: Case) -> str | None:
    """One-byte weights express an addition's two factors to within 0.9 output steps.

    Remedy: Give operands and result ranges that are less unlike.
    """
    scales = _scales(case)
    numbers = generation_of(case.chip).addition_numbers(scales, False)
    error = requantise.addition_error(numbers, scales, numbers.scale)
    return None if error <= requantise.LARGEST_ADDITION_ERROR else f"{error:.2f} steps"


def _scales(case: Case) -> AdditionScales:
    first, second, output = (tensor.quantization for tensor in case.images)
    assert first is not None and second is not None and output is not None
    return AdditionScales(first, second, output)


# ---------------------------------------------------------------------------------------- lowering


def lower(builder: Builder, operator: Operator) -> None:
    """One weighted sum in the operands' layout: NHWC if both have no other, else planar."""
    first, second = operator.inputs[:2]
    result = builder.place(operator.outputs[0])
    direct = all(builder.place(tensor).planar is None for tensor in (first, second))
    layout = builder.nhwc if direct else builder.planar
    views = builder.beside(layout(first, operator.index), layout(second, operator.index), operator)
    size = result.size
    target = builder.store(size.plane * size.channels, "output" if direct else "tensor")
    if direct:
        result.nhwc = target
    else:
        result.planar = target
    assert isinstance(operator.options, (Addition, type(None)))
    activation = operator.options.activation if operator.options else Activation.NONE
    builder.steps.append(
        AdditionIntent(
            operator=operator.index,
            source=View(views[0].storage, views[0].offset, 2 * views[0].size),
            target=target,
            size=size,
            scales=AdditionScales(
                *(builder.quantization(i) for i in (first, second, operator.outputs[0]))
            ),
            relu=activation is not Activation.NONE,
        )
    )


RECORD = OperatorRecord(
    kinds=("ADD",),
    words=(
        "A convolution on the NN cores over both operands, which lie one behind the other: a "
        "kernel takes an element of each."
    ),
    rules=(
        operands_present,
        operands_computed,
        bytes_unsigned,
        batch_of_one,
        no_broadcast,
        quantised_per_tensor,
        image_size,
        addition_size,
        activation_exact,
        scale_fits,
        addition_exact,
    ),
    lower=lower,
    images=(0, 1),
    needed=2,
)
