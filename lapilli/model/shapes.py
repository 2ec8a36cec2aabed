"""Shapes of what an operator makes, from the shapes and constants it is given, as TFLite's kernels
have them when they are prepared (``tensorflow/lite/kernels``).

What a file says of computed tensors does not matter to the runtime, and files exist that lack it
or have it for another size. Each function takes an operator and its inputs, None for an absent one,
and gives a shape for each output: ``DYNAMIC`` where the values of a tensor decide that is computed
too, and None where the operator could not be prepared with these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from lapilli.model.graph import Operator, Tensor
from lapilli.model.options import (
    Blocks,
    Concatenation,
    Convolution,
    FullyConnected,
    Gathering,
    Padding,
    Pooling,
    Reduction,
    Reshaping,
    Squeezing,
    Stack,
    StridedSlice,
    TransposedConvolution,
)

Shape: TypeAlias = tuple[int, ...]


class Dynamic:
    """The shape is known when the model runs."""


DYNAMIC: Final = Dynamic()
Shapes: TypeAlias = Sequence[Shape] | Dynamic | None
Given: TypeAlias = Sequence[Tensor | None]
Rule: TypeAlias = Callable[[Operator, Given], Shapes]


def shapes_of(operator: Operator, given: Given) -> Shapes:
    """Of the operator's outputs; raises KeyError for a kind that is not in ``RULES``."""
    if any(tensor is None for tensor in given[:1]):
        return None
    try:
        found = RULES[operator.kind](operator, given)
    except (IndexError, ValueError, TypeError, AttributeError, OverflowError, AssertionError):
        # Inputs that are missing, or constants of another rank or type than any kernel takes.
        return None
    if found is None or isinstance(found, Dynamic):
        return found
    fits = len(found) == len(operator.outputs)
    return found if fits and all(extent >= 0 for shape in found for extent in shape) else None


def window(extent: int, size: int, stride: int, dilation: int, padding: Padding) -> int:
    """Rows or columns that a window of ``size`` makes; 0 or less if it does not fit."""
    lost = (size - 1) * dilation if padding is Padding.VALID else 0
    return -(-(extent - lost) // stride)


def broadcast(first: Shape, second: Shape) -> Shape | None:
    """The shape of an operation on two tensors; None if they don't broadcast."""
    rank = max(len(first), len(second))
    found = []
    for one, other in zip(_padded(first, rank), _padded(second, rank), strict=True):
        if one != other and 1 not in (one, other):
            return None
        found.append(other if one == 1 else one)
    return tuple(found)


def _padded(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def _tensor(given: Given, index: int) -> Tensor:
    tensor = given[index]
    if tensor is None:
        raise IndexError(index)
    return tensor


def _values(tensor: Tensor) -> list[int] | None:
    """A constant's integers, None if it is computed."""
    if tensor.data is None:
        return None
    if tensor.data.dtype.kind not in "iu" or tensor.data.size > MOST_VALUES:
        raise ValueError(tensor.dtype)
    return [int(value) for value in tensor.data.reshape(-1).tolist()]


MOST_VALUES: Final = 1 << 10
"""Of a list of axes, extents or paddings."""


def _axis(axis: int, rank: int) -> int:
    """Counted from the front; IndexError if there is none."""
    if not -rank <= axis < rank:
        raise IndexError(axis)
    return axis % rank


# ---------------------------------------------------------------------------------------- the rules


def _same(operator: Operator, given: Given) -> Shapes:
    return [_tensor(given, 0).shape] * len(operator.outputs)


def _broadcast(operator: Operator, given: Given) -> Shapes:
    shape = broadcast(_tensor(given, 0).shape, _tensor(given, 1).shape)
    return None if shape is None else [shape]


def _convolution(operator: Operator, given: Given) -> Shapes:
    image, kernel = _tensor(given, 0).shape, _tensor(given, 1).shape
    options = operator.options
    assert isinstance(options, Convolution)
    batch, rows, columns, _ = image
    channels = kernel[3] if operator.kind == "DEPTHWISE_CONV_2D" else kernel[0]
    padding = options.padding
    return [
        (
            batch,
            window(rows, kernel[1], options.stride_rows, options.dilation_rows, padding),
            window(columns, kernel[2], options.stride_columns, options.dilation_columns, padding),
            channels,
        )
    ]


def _pooling(operator: Operator, given: Given) -> Shapes:
    options = operator.options
    assert isinstance(options, Pooling)
    batch, rows, columns, channels = _tensor(given, 0).shape
    padding = options.padding
    return [
        (
            batch,
            window(rows, options.rows, options.stride_rows, 1, padding),
            window(columns, options.columns, options.stride_columns, 1, padding),
            channels,
        )
    ]


def _fully_connected(operator: Operator, given: Given) -> Shapes:
    options = operator.options
    source, weights = _tensor(given, 0).shape, _tensor(given, 1).shape
    units, depth = weights
    if options is not None:
        assert isinstance(options, FullyConnected)
        if options.shuffled:
            return None
        if options.keep_dimensions:
            return [(*source[:-1], units)]
    total = math.prod(source)
    return [(total // depth, units)] if total % depth == 0 else None


def _transposed_convolution(operator: Operator, given: Given) -> Shapes:
    if operator.kind == "TRANSPOSE_CONV":
        shape = _values(_tensor(given, 0))
        return DYNAMIC if shape is None else [tuple(shape)]
    options = operator.options
    assert isinstance(options, TransposedConvolution)
    (batch, rows, columns, _), kernel = _tensor(given, 0).shape, _tensor(given, 1).shape
    sides = []
    for extent, size, stride in (
        (rows, kernel[1], options.stride_rows),
        (columns, kernel[2], options.stride_columns),
    ):
        more = max(size - stride, 0) if options.padding is Padding.VALID else 0
        sides.append(extent * stride + more)
    return [(batch, *sides, kernel[0])]


def _padding(operator: Operator, given: Given) -> Shapes:
    source, pads = _tensor(given, 0).shape, _values(_tensor(given, 1))
    if pads is None:
        return DYNAMIC
    pairs = np.array(pads).reshape(len(source), 2).tolist()
    return [tuple(extent + a + b for extent, (a, b) in zip(source, pairs, strict=True))]


def _reshape(operator: Operator, given: Given) -> Shapes:
    source = _tensor(given, 0)
    options = operator.options
    wanted: list[int] | None = None
    if len(given) > 1 and given[1] is not None and _tensor(given, 1).dtype == "int32":
        wanted = _values(_tensor(given, 1))
        if wanted is None:
            return DYNAMIC
    elif isinstance(options, Reshaping):
        # An option of one 0 is how old files say that the result is a scalar.
        wanted = [] if options.shape == (0,) else list(options.shape)
    if wanted is None:
        return None
    if wanted.count(-1) == 1:
        rest = math.prod(extent for extent in wanted if extent != -1)
        if rest <= 0 or source.size % rest:
            return None
        wanted[wanted.index(-1)] = source.size // rest
    return [tuple(wanted)] if math.prod(wanted) == source.size else None


def _squeeze(operator: Operator, given: Given) -> Shapes:
    shape = _tensor(given, 0).shape
    options = operator.options
    axes = options.axes if isinstance(options, Squeezing) else ()
    gone = {_axis(axis, len(shape)) for axis in axes}
    if not axes:
        gone = {axis for axis, extent in enumerate(shape) if extent == 1}
    if any(shape[axis] != 1 for axis in gone):
        return None
    return [tuple(extent for axis, extent in enumerate(shape) if axis not in gone)]


def _expand(operator: Operator, given: Given) -> Shapes:
    shape, axes = _tensor(given, 0).shape, _values(_tensor(given, 1))
    if axes is None:
        return DYNAMIC
    at = _axis(axes[0], len(shape) + 1)
    return [(*shape[:at], 1, *shape[at:])]


def _concatenation(operator: Operator, given: Given) -> Shapes:
    options = operator.options
    shapes = [_tensor(given, i).shape for i in range(len(given))]
    at = _axis(options.axis if isinstance(options, Concatenation) else 0, len(shapes[0]))
    others = {(*shape[:at], *shape[at + 1 :]) for shape in shapes}
    if len(others) > 1 or {len(shape) for shape in shapes} != {len(shapes[0])}:
        return None
    first = shapes[0]
    return [(*first[:at], sum(shape[at] for shape in shapes), *first[at + 1 :])]


def _pack(operator: Operator, given: Given) -> Shapes:
    options = operator.options
    shape = _tensor(given, 0).shape
    at = _axis(options.axis if isinstance(options, Stack) else 0, len(shape) + 1)
    return [(*shape[:at], len(given), *shape[at:])]


def _unpack(operator: Operator, given: Given) -> Shapes:
    options = operator.options
    shape = _tensor(given, 0).shape
    at = _axis(options.axis if isinstance(options, Stack) else 0, len(shape))
    return [(*shape[:at], *shape[at + 1 :])] * len(operator.outputs)


def _split(operator: Operator, given: Given) -> Shapes:
    axes, shape = _values(_tensor(given, 0)), _tensor(given, 1).shape
    if axes is None:
        return DYNAMIC
    at, count = _axis(axes[0], len(shape)), len(operator.outputs)
    if shape[at] % count:
        return None
    return [(*shape[:at], shape[at] // count, *shape[at + 1 :])] * count


def _split_by_sizes(operator: Operator, given: Given) -> Shapes:
    shape = _tensor(given, 0).shape
    sizes, axes = _values(_tensor(given, 1)), _values(_tensor(given, 2))
    if sizes is None or axes is None:
        return DYNAMIC
    at = _axis(axes[0], len(shape))
    if -1 in sizes:
        sizes[sizes.index(-1)] = shape[at] - sum(size for size in sizes if size != -1)
    return [(*shape[:at], size, *shape[at + 1 :]) for size in sizes]


def _reduction(operator: Operator, given: Given) -> Shapes:
    shape, axes = _tensor(given, 0).shape, _values(_tensor(given, 1))
    if axes is None:
        return DYNAMIC
    options = operator.options
    keep = isinstance(options, Reduction) and options.keep_dimensions
    gone = {_axis(axis, len(shape)) for axis in axes}
    if keep:
        return [tuple(1 if i in gone else extent for i, extent in enumerate(shape))]
    return [tuple(extent for i, extent in enumerate(shape) if i not in gone)]


def _transpose(operator: Operator, given: Given) -> Shapes:
    shape, order = _tensor(given, 0).shape, _values(_tensor(given, 1))
    if order is None:
        return DYNAMIC
    if sorted(_axis(axis, len(shape)) for axis in order) != list(range(len(shape))):
        return None
    return [tuple(shape[axis] for axis in order)]


def _resize(operator: Operator, given: Given) -> Shapes:
    batch, _, _, channels = _tensor(given, 0).shape
    size = _values(_tensor(given, 1))
    if size is None:
        return DYNAMIC
    rows, columns = size
    return [(batch, rows, columns, channels)] if min(rows, columns) > 0 else None


def _slice(operator: Operator, given: Given) -> Shapes:
    shape = _tensor(given, 0).shape
    begin, size = _values(_tensor(given, 1)), _values(_tensor(given, 2))
    if begin is None or size is None:
        return DYNAMIC
    found = []
    for extent, first, count in zip(shape, begin, size, strict=True):
        count = extent - first if count == -1 else count
        if first < 0 or count < 0 or first + count > extent:
            return None
        found.append(count)
    return [tuple(found)]


def _strided_slice(operator: Operator, given: Given) -> Shapes:
    options = operator.options or StridedSlice()
    assert isinstance(options, StridedSlice)
    shape = _tensor(given, 0).shape
    begin, end, strides = (_values(_tensor(given, i)) for i in (1, 2, 3))
    if begin is None or end is None or strides is None:
        return DYNAMIC
    if options.ellipsis_mask or options.new_axis_mask or 0 in strides:
        return None
    found = []
    for i, extent in enumerate(shape):
        if i >= len(begin):
            found.append(extent)
            continue
        if options.shrink_axis_mask >> i & 1:
            continue
        last = begin[i] + end[i] if options.offset else end[i]
        chosen = slice(
            None if options.begin_mask >> i & 1 else begin[i],
            None if options.end_mask >> i & 1 else last,
            strides[i],
        )
        found.append(len(range(*chosen.indices(extent))))
    return [tuple(found)]


def _gather(operator: Operator, given: Given) -> Shapes:
    options = operator.options or Gathering()
    assert isinstance(options, Gathering)
    shape, indices = _tensor(given, 0).shape, _tensor(given, 1).shape
    at = _axis(options.axis, len(shape))
    skipped = options.batch_dimensions
    skipped = skipped + len(indices) if skipped < 0 else skipped
    return [(*shape[:at], *indices[skipped:], *shape[at + 1 :])]


def _space_to_depth(operator: Operator, given: Given) -> Shapes:
    options = operator.options
    assert isinstance(options, Blocks)
    batch, rows, columns, channels = _tensor(given, 0).shape
    size = options.size
    if rows % size or columns % size:
        return None
    return [(batch, rows // size, columns // size, channels * size * size)]


def _depth_to_space(operator: Operator, given: Given) -> Shapes:
    options = operator.options
    assert isinstance(options, Blocks)
    batch, rows, columns, channels = _tensor(given, 0).shape
    size = options.size
    if channels % (size * size):
        return None
    return [(batch, rows * size, columns * size, channels // (size * size))]


def _space_to_batch(operator: Operator, given: Given) -> Shapes:
    shape = _tensor(given, 0).shape
    block, pads = _values(_tensor(given, 1)), _values(_tensor(given, 2))
    if block is None or pads is None:
        return DYNAMIC
    found = [shape[0] * math.prod(block)]
    pairs = np.array(pads).reshape(len(block), 2).tolist()
    for extent, size, (before, behind) in zip(shape[1 : 1 + len(block)], block, pairs, strict=True):
        if size < 1 or (extent + before + behind) % size:
            return None
        found.append((extent + before + behind) // size)
    return [(*found, *shape[1 + len(block) :])]


def _batch_to_space(operator: Operator, given: Given) -> Shapes:
    shape = _tensor(given, 0).shape
    block, crops = _values(_tensor(given, 1)), _values(_tensor(given, 2))
    if block is None or crops is None:
        return DYNAMIC
    if min(block) < 1 or shape[0] % math.prod(block):
        return None
    found = [shape[0] // math.prod(block)]
    pairs = np.array(crops).reshape(len(block), 2).tolist()
    for extent, size, (before, behind) in zip(shape[1 : 1 + len(block)], block, pairs, strict=True):
        found.append(extent * size - before - behind)
    return [(*found, *shape[1 + len(block) :])]


def _extremum(operator: Operator, given: Given) -> Shapes:
    shape, axes = _tensor(given, 0).shape, _values(_tensor(given, 1))
    if axes is None:
        return DYNAMIC
    at = _axis(axes[0], len(shape))
    return [(*shape[:at], *shape[at + 1 :])]


def _top(operator: Operator, given: Given) -> Shapes:
    shape, count = _tensor(given, 0).shape, _values(_tensor(given, 1))
    if count is None:
        return DYNAMIC
    return [(*shape[:-1], count[0])] * 2


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            *("ABS", "CEIL", "COS", "DEQUANTIZE", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH"),
            *("L2_NORMALIZATION", "LEAKY_RELU", "LOCAL_RESPONSE_NORMALIZATION", "LOG"),
            *("LOGICAL_NOT", "LOGISTIC", "LOG_SOFTMAX", "NEG", "QUANTIZE", "RELU", "RELU6"),
            *("RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SOFTMAX", "SQRT"),
            *("SQUARE", "TANH", "CAST", "ZEROS_LIKE"),
        ),
        _same,
    ),
    **dict.fromkeys(
        (
            *("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE"),
            *("FLOOR_DIV", "FLOOR_MOD", "PRELU", "EQUAL", "NOT_EQUAL", "GREATER", "LESS"),
            *("GREATER_EQUAL", "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR"),
        ),
        _broadcast,
    ),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), _pooling),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _padding),
    **dict.fromkeys(
        (
            *("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY"),
            "REDUCE_ALL",
        ),
        _reduction,
    ),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _extremum),
    **dict.fromkeys(
        ("TRANSPOSE_CONV", "CUSTOM:Convolution2DTransposeBias"), _transposed_convolution
    ),
    "FULLY_CONNECTED": _fully_connected,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand,
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_by_sizes,
    "TRANSPOSE": _transpose,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "SPACE_TO_DEPTH": _space_to_depth,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "TOPK_V2": _top,
}
"""By TFLite's name of the operator; others keep the shape that the file has."""
