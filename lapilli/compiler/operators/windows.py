"""What pooling operators have in common: windows, strides and shapes."""

from __future__ import annotations

from lapilli.compiler.operators.record import Case
from lapilli.model.geometry import same_padding
from lapilli.model.graph import Graph, Operator, Padding, Pooling


def pooling_of(operator: Operator) -> Pooling:
    """The options; the rules see to it that there are any."""
    assert isinstance(operator.options, Pooling)
    return operator.options


def windows_fit(case: Case) -> str | None:
    """Window, stride, padding and the shapes of input and output must belong together."""
    options = case.operator.options
    if not isinstance(options, Pooling):
        return "no options"
    source, target = case.input(0).shape, case.output().shape
    found = f"{list(source)} -> {list(target)} with window {options.rows}x{options.columns}"
    if min(options.rows, options.columns, options.stride_rows, options.stride_columns) < 1:
        return found
    if source[3] != target[3]:
        return found
    for axis, window, stride in _axes(options):
        lost = window - 1 if options.padding is Padding.VALID else 0
        if target[axis] != -(-(source[axis] - lost) // stride):
            return found
    return None


def window_strides(case: Case) -> str | None:
    """Windows must move by 1 or 2, the same for rows and columns, or there is only one, over all
    rows or columns.

    Remedy: Use stride 2, twice if need be.
    """
    moving = _moving(case.graph, case.operator)
    if len(moving) <= 1 and moving <= {1, 2}:
        return None
    options = pooling_of(case.operator)
    return f"stride {options.stride_rows}x{options.stride_columns}"


def quantisation_stays(case: Case) -> str | None:
    """Input and output must have the same scale and zero point.

    Remedy: Give both tensors the same quantisation.
    """
    found = [tensor.quantization for tensor in (*case.images_in, *case.outputs)]
    pairs = [(q.scale, q.zero_point) for q in found if q is not None]
    other = next((pair for pair in pairs if pair != pairs[0]), None)
    return None if other is None else f"{pairs[0]} and {other}"


def strides_of(graph: Graph, operator: Operator) -> tuple[int, int]:
    """(rows, columns) that windows move by; where there is only one it moves like the others."""
    stride = max(_moving(graph, operator), default=1)
    return stride, stride


def _moving(graph: Graph, operator: Operator) -> set[int]:
    """The strides that count: not that of a single window over all rows, or columns."""
    source = graph.tensors[operator.inputs[0]].shape
    target = graph.tensors[operator.outputs[0]].shape
    return {
        stride
        for axis, window, stride in _axes(pooling_of(operator))
        if target[axis] > 1 or window < source[axis]
    }


def before_of(graph: Graph, operator: Operator) -> tuple[int, int]:
    """(rows, columns) of the first window that lie before the image."""
    options, source = pooling_of(operator), graph.tensors[operator.inputs[0]].shape
    if options.padding is Padding.VALID:
        return 0, 0
    return (
        same_padding(source[1], options.rows, options.stride_rows),
        same_padding(source[2], options.columns, options.stride_columns),
    )


def window_padding(case: Case) -> str | None:
    """Padding before the image must fit the chip's offset field (A311D: up to 8)."""
    before = max(before_of(case.graph, case.operator))
    return f"{before} rows or columns" if before > -case.chip.smallest_image_offset else None


def spans(graph: Graph, operator: Operator, axis: int) -> list[tuple[int, int]]:
    """For each row (``axis`` 1) or column (2) of the output the first row or column of its window
    and the one behind its last, both inside the image."""
    options = pooling_of(operator)
    _, window, stride = _axes(options)[axis - 1]
    size = graph.tensors[operator.inputs[0]].shape[axis]
    count = graph.tensors[operator.outputs[0]].shape[axis]
    before = before_of(graph, operator)[axis - 1]
    starts = [stride * i - before for i in range(count)]
    return [(max(start, 0), min(start + window, size)) for start in starts]


def _axes(options: Pooling) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(axis, window, stride) of rows and columns."""
    return (1, options.rows, options.stride_rows), (2, options.columns, options.stride_columns)
