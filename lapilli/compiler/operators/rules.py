"""Rules that several operators share."""

from __future__ import annotations

from collections.abc import Collection

from lapilli.compiler.operators import cpu_range
from lapilli.compiler.operators.record import Case, Rule, relies_on
from lapilli.model.geometry import SIDE_MAXIMUM, image_extents
from lapilli.model.options import Convolution, Pooling

CHANNELS_MAXIMUM = (1 << 14) - 1
EXTENT_MAXIMUM = (1 << 16) - 1
"""Of what the TP cores move."""
BYTES_BELOW = 1 << 28
DIVISIBLE_BY = 8
"""Output channels that drivers before February 2024 could do."""


@relies_on()
def operands_present(case: Case) -> str | None:
    """The operator must have all its inputs and outputs."""
    needed, wanted = case.record.needed, case.record.outputs
    inputs, outputs = case.operator.inputs, case.operator.outputs
    present = [i for i in inputs[:needed] if i >= 0]
    if len(present) < needed or (wanted is not None and len(outputs) != wanted):
        return f"{len(present)} inputs, {len(outputs)} outputs"
    return None


@relies_on(operands_present)
def operands_computed(case: Case) -> str | None:
    """Images that go in must be computed, not constant.

    Remedy: Fold the constant into the bias of the convolution in front.
    """
    for tensor in case.images_in:
        if tensor.data is not None:
            return f"{tensor.name} is constant"
    return None


@relies_on(operands_present)
def eight_bit(case: Case) -> str | None:
    """Inputs and outputs must be bytes: uint8 or int8.

    Remedy: Convert with full-integer quantisation: optimizations = [Optimize.DEFAULT], a
    representative_dataset, and inference_input_type and inference_output_type uint8 or int8.
    """
    for tensor in case.images:
        if tensor.dtype != "uint8":
            return f"{tensor.name} is {tensor.dtype}"
    return None


@relies_on(operands_present)
def quantised_per_tensor(case: Case) -> str | None:
    """Every tensor must have one scale from 2^-126 to below 2^128 and one zero point from 0 to 255.

    Remedy: Leave weights with a scale for each channel to --per-channel fast or best; they need
    zero points of 0, as converters write them. Give every other tensor one scale.
    """
    for tensor in case.quantised:
        quantization = tensor.quantization
        if quantization is None or not quantization.scales:
            return f"{tensor.name} has no quantisation"
        if quantization.per_channel:
            return f"{tensor.name} has {len(quantization.scales)} scales"
        odd = cpu_range.odd_scale(quantization)
        if odd is not None:
            return f"{tensor.name} has {odd}"
        if not 0 <= quantization.zero_point <= 255:
            return f"{tensor.name} has zero point {quantization.zero_point}"
    return None


@relies_on(operands_present)
def batch_of_one(case: Case) -> str | None:
    """Images must have up to four dimensions, none of them 0, and a batch of 1.

    Remedy: Feed images one at a time.
    """
    for tensor in case.images:
        shape = tensor.shape
        if len(shape) > 4 or 0 in shape or (len(shape) == 4 and shape[0] != 1):
            return f"{tensor.name} has shape {list(shape)}"
    return None


@relies_on(operands_present)
def no_empty_dimension(case: Case) -> str | None:
    """No dimension of an image may be 0."""
    for tensor in case.images:
        if 0 in tensor.shape:
            return f"{tensor.name} has shape {list(tensor.shape)}"
    return None


@relies_on(operands_present)
def image_of_four_dimensions(case: Case) -> str | None:
    """Images that go in and come out must have four dimensions."""
    for tensor in case.images:
        if len(tensor.shape) != 4:
            return f"{tensor.name} has shape {list(tensor.shape)}"
    return None


@relies_on(operands_present, batch_of_one)
def image_size(case: Case) -> str | None:
    """Images may have at most 8191 rows and columns (4094 with stride 2) and 16383 channels (4095
    into a convolution with stride 2).

    Remedy: Cut the image into pieces.
    """
    options = case.operator.options
    strided = isinstance(options, (Convolution, Pooling)) and options.stride_rows > 1
    side = SIDE_MAXIMUM // 2 - 1 if strided else SIDE_MAXIMUM
    for tensor in case.images:
        rows, columns, channels = image_extents(tensor.shape)
        channels_allowed = CHANNELS_MAXIMUM // 4 if strided else CHANNELS_MAXIMUM
        if max(rows, columns) > side or channels > channels_allowed:
            return f"{tensor.name} is {rows}x{columns}x{channels}"
        if rows * columns * channels >= BYTES_BELOW:
            return f"{tensor.name} has {rows * columns * channels} bytes"
    return None


def byte_count(case: Case) -> str | None:
    """Tensors must have fewer than 2^28 bytes."""
    for tensor in case.images:
        if tensor.size >= BYTES_BELOW:
            return f"{tensor.name} has {tensor.size} bytes"
    return None


def moved_size(case: Case) -> str | None:
    """Tensors may have at most 65535 rows, columns and channels each, and fewer than 2^28 bytes.

    Remedy: Cut the tensor into pieces.
    """
    for tensor in case.images:
        extents = image_extents(tensor.shape)
        if max(extents) > EXTENT_MAXIMUM or tensor.size >= BYTES_BELOW:
            return f"{tensor.name} has shape {list(tensor.shape)}"
    return None


def divisible_channels(case: Case) -> str | None:
    """Convolutions must have a multiple of 8 output channels (if asked for; no NPU needs it)."""
    if not isinstance(case.operator.options, Convolution):
        return None
    channels = case.output().shape[3]
    return f"{channels} output channels" if channels % DIVISIBLE_BY else None


def of_kinds(kinds: Collection[str]) -> Rule:
    """The rule that an operator is of one of ``kinds``."""

    @relies_on()
    def kinds_asked_for(case: Case) -> str | None:
        """Operators must be of the kinds that are asked for (only if some are)."""
        return None if case.operator.kind in kinds else case.operator.kind

    return kinds_asked_for
