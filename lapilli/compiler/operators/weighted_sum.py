"""What operators that weigh two tensors of one shape against each other have in common."""

from __future__ import annotations

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode import requantise
from lapilli.compiler.encode.requantise import AdditionScales
from lapilli.compiler.generations import generation_of
from lapilli.compiler.intents import AdditionIntent
from lapilli.compiler.jobs import View
from lapilli.compiler.operators.record import Case, relies_on
from lapilli.compiler.operators.rules import batch_of_one, image_extents, operands_present
from lapilli.model.geometry import addition_image
from lapilli.model.graph import Activation, Addition, Operator


@relies_on(operands_present)
def no_broadcast(case: Case) -> str | None:
    """Both operands and the result have the same shape.

    Remedy: Repeat the smaller operand to the larger one's shape when the model is built.
    """
    shapes = [tensor.shape for tensor in case.images]
    if shapes[0] == shapes[1] == shapes[2]:
        return None
    return " and ".join(str(list(s)) for s in shapes[:2]) + f" -> {list(shapes[2])}"


@relies_on(operands_present, batch_of_one)
def addition_size(case: Case) -> str | None:
    """The elements of an operand can be seen as an image of at most 8191 x 8191."""
    rows, columns, channels = image_extents(case.input(0).shape)
    if addition_image(rows, columns, channels) is None:
        return f"{rows * columns * channels} elements"
    return None


def scale_misfit(case: Case, scales: AdditionScales) -> str | None:
    """The factor that has no multiplier and shift, if it has none."""
    generation = generation_of(case.chip)
    if generation.fits(generation.addition_numbers(scales, False).scale):
        return None
    return f"{max(scales.first.scale, scales.second.scale) / scales.output.scale:.4g}"


def inexact(case: Case, scales: AdditionScales) -> str | None:
    """How far the closest weights are off, if that is too far."""
    numbers = generation_of(case.chip).addition_numbers(scales, False)
    error = requantise.addition_error(numbers, scales, numbers.scale)
    return None if error <= requantise.LARGEST_ADDITION_ERROR else f"{error:.2f} steps"


def scales_of(case: Case, subtract: bool = False) -> AdditionScales:
    """What operands and result stand for."""
    first, second, output = (tensor.quantization for tensor in case.images)
    assert first is not None and second is not None and output is not None
    return AdditionScales(first, second, output, subtract)


def lower(builder: Builder, operator: Operator, subtract: bool = False) -> None:
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
    quantizations = [builder.quantization(i) for i in (first, second, operator.outputs[0])]
    scales = AdditionScales(quantizations[0], quantizations[1], quantizations[2], subtract)
    assert isinstance(operator.options, (Addition, type(None)))
    activation = operator.options.activation if operator.options else Activation.NONE
    builder.steps.append(
        AdditionIntent(
            operator=operator.index,
            source=View(views[0].storage, views[0].offset, 2 * views[0].size),
            target=target,
            size=size,
            scales=scales,
            relu=activation is not Activation.NONE,
        )
    )
