"""Operators to NN and TP jobs; what depends on the generation comes from ``generations``.

Images inside a part are planar (one channel after another); tensors that cross its border are NHWC.
One function an operator; each appends jobs to a ``_Builder``, which knows where each tensor lies in
which layout and inserts transposes where a layout is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler.encode import moves, requantise
from lapilli.compiler.generations import Generation, generation_of
from lapilli.compiler.jobs import (
    Crossing,
    ImageSize,
    JobList,
    Kernels,
    Lowered,
    NnJob,
    Storage,
    Strategy,
    TpInstruction,
    TpJob,
    View,
)
from lapilli.hw.chips import Chip
from lapilli.model.geometry import padding_before
from lapilli.model.graph import (
    Activation,
    Addition,
    Convolution,
    Graph,
    Operator,
    Padding,
    Quantization,
)


@dataclass(frozen=True)
class LoweringOptions:
    """``as_recorded``: emit layout changes that move no byte (images of one pixel), fill up cores
    with kernels of zero bytes (what the recorded driver reads from fresh memory) and add with its
    weights. Otherwise: no idle moves, kernels of zero points, which cost next to nothing, and the
    closest weights. ``zero_runs``: code runs of zero weights."""

    as_recorded: bool = True
    zero_runs: bool = True


@dataclass
class _Place:
    """Where a tensor lies; a layout that has not been made is None."""

    size: ImageSize
    zero_point: int
    nhwc: View | None = None
    planar: View | None = None


@dataclass
class _Builder:
    """State of one lowering run."""

    graph: Graph
    chip: Chip
    options: LoweringOptions
    jobs: list[NnJob | TpJob] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)
    joined: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Storage -> (storage that holds it, byte offset there)."""
    paired: set[int] = field(default_factory=set)
    """Storages that already are an operand of an addition, so can't be placed beside another."""
    places: dict[int, _Place] = field(default_factory=dict)

    @property
    def generation(self) -> Generation:
        """What the chip's generation does in its own way."""
        return generation_of(self.chip)

    def store(self, size: int, role: str = "tensor", slack: int = 0) -> View:
        """A new storage of ``size`` bytes and ``slack`` more behind them."""
        self.storages.append(Storage(role, size + slack))
        return View(len(self.storages) - 1, 0, size)

    def store_planes(self, size: ImageSize) -> View:
        """A new storage for the planes of an NN job's output, with slack for those of the kernels
        that only fill up the last cores."""
        cores = min(size.channels, self.chip.nn_cores)
        filled = -(-size.channels // cores) * cores
        return self.store(size.plane * size.channels, slack=size.plane * (filled - size.channels))

    def place(self, tensor: int) -> _Place:
        """The place of a tensor, made on first mention."""
        if tensor not in self.places:
            found = self.graph.tensors[tensor]
            rows, columns, channels = ((1,) * (4 - len(found.shape)) + found.shape)[1:]
            quantization = found.quantization
            assert quantization is not None
            size = ImageSize(columns, rows, channels)
            self.places[tensor] = _Place(size, quantization.zero_point)
        return self.places[tensor]

    def same_bytes(self, size: ImageSize) -> bool:
        """NHWC and planar are the same bytes, and no move is wanted either."""
        return size.channels == 1 or (size.plane == 1 and not self.options.as_recorded)

    def move(
        self,
        operator: int,
        kind: str,
        source: View,
        size: int,
        instructions: tuple[TpInstruction, ...],
        role: str = "tensor",
    ) -> View:
        """Append a TP job that makes a new storage of ``size`` bytes."""
        target = self.store(size, role)
        self.jobs.append(TpJob(operator, kind, source, target, instructions))
        return target

    def planar(self, tensor: int, operator: int) -> View:
        """The tensor with one channel after another."""
        place = self.place(tensor)
        if place.planar is None:
            assert place.nhwc is not None
            if self.same_bytes(place.size):
                place.planar = place.nhwc
            else:
                place.planar = self.move(
                    operator,
                    "transpose",
                    place.nhwc,
                    place.nhwc.size,
                    moves.to_planar(place.size, place.zero_point),
                )
        return place.planar

    def nhwc(self, tensor: int, operator: int) -> View:
        """The tensor as the host wants it."""
        place = self.place(tensor)
        if place.nhwc is None:
            assert place.planar is not None
            if self.same_bytes(place.size):
                place.nhwc = place.planar
            else:
                place.nhwc = self.move(
                    operator,
                    "detranspose",
                    place.planar,
                    place.planar.size,
                    moves.from_planar(place.size, place.zero_point),
                    "output",
                )
        return place.nhwc

    def beside(self, first: View, second: View, operator: int) -> tuple[View, View]:
        """Views of both operands of which the second follows the first in one storage; operands
        that can't be placed so are copied."""
        if first.storage in self.paired or first.storage == second.storage:
            first = self.move(operator, "copy", first, first.size, moves.copy(first.size))
        if second.storage in self.paired:
            second = self.move(operator, "copy", second, second.size, moves.copy(second.size))
        self.paired |= {first.storage, second.storage}
        self.joined[second.storage] = (first.storage, first.size)
        return first, second


def lower(
    graph: Graph,
    operators: Iterable[int],
    chip: Chip,
    inputs: Iterable[int],
    outputs: Iterable[int],
    options: LoweringOptions,
) -> Lowered:
    """Jobs for ``operators`` (positions in ``graph.operators``, in order), which ``support`` takes.

    ``inputs`` and ``outputs`` are the tensors that cross the part's border.
    """
    builder = _Builder(graph, chip, options)
    inputs, outputs = tuple(inputs), tuple(outputs)
    for tensor in inputs:
        place = builder.place(tensor)
        place.nhwc = builder.store(place.size.plane * place.size.channels, "input")
    chosen = [graph.operators[i] for i in operators]
    for operator in chosen:
        _LOWERINGS[operator.kind](builder, operator)
        for tensor in operator.outputs:
            if tensor in outputs:
                builder.nhwc(tensor, operator.index)
    left = tuple(Crossing(t, builder.nhwc(t, -1)) for t in outputs)
    for crossing in left:
        storage = builder.storages[crossing.view.storage]
        if storage.role == "tensor":
            builder.storages[crossing.view.storage] = replace(storage, role="output")
    result = Lowered(
        operators=tuple(operator.index for operator in chosen),
        jobs=tuple(builder.jobs),
        storages=tuple(builder.storages),
        inputs=tuple(Crossing(t, builder.nhwc(t, -1)) for t in inputs),
        outputs=left,
    )
    return _join(result, builder.joined)


def _join(lowered: Lowered, joined: dict[int, tuple[int, int]]) -> Lowered:
    """Merge storages that must lie side by side; a merged storage keeps its first part's number."""
    storages = list(lowered.storages)
    for second, (first, offset) in joined.items():
        # What the host fills or reads stays marked as such.
        roles = {storages[first].role, storages[second].role}
        role = next(r for r in ("input", "output", "tensor") if r in roles)
        storages[first] = Storage(role, max(storages[first].size, offset + storages[second].size))
        storages[second] = Storage(role, 0)
    kept = [i for i, storage in enumerate(storages) if storage.size]
    number = {old: new for new, old in enumerate(kept)}

    def moved(view: View) -> View:
        storage, offset = joined.get(view.storage, (view.storage, 0))
        return View(number[storage], view.offset + offset, view.size)

    def moved_crossing(crossing: Crossing) -> Crossing:
        return Crossing(crossing.tensor, moved(crossing.view))

    jobs: JobList = tuple(
        replace(job, source=moved(job.source), target=moved(job.target)) for job in lowered.jobs
    )
    return replace(
        lowered,
        jobs=jobs,
        storages=tuple(storages[i] for i in kept),
        inputs=tuple(map(moved_crossing, lowered.inputs)),
        outputs=tuple(map(moved_crossing, lowered.outputs)),
    )


# ------------------------------------------------------------------------------------ convolutions


def _values(graph: Graph, operator: Operator) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Weights [output channels, planes, rows, columns], each kernel's first channel, and the depth
    of a kernel."""
    weights = graph.tensors[operator.inputs[1]].data
    assert weights is not None
    channels = graph.tensors[operator.inputs[0]].shape[3]
    if operator.kind == "DEPTHWISE_CONV_2D":
        values = weights.transpose(3, 0, 1, 2)
        first = np.arange(values.shape[0], dtype=np.int64) // (values.shape[0] // channels)
    else:
        values = weights.transpose(0, 3, 1, 2)
        first = np.zeros(values.shape[0], np.int64)
    return values.astype(np.uint8, copy=False), first, channels


def _bias(graph: Graph, operator: Operator, count: int) -> NDArray[np.int64]:
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        data = graph.tensors[operator.inputs[2]].data
        assert data is not None
        return data.reshape(-1).astype(np.int64)
    return np.zeros(count, np.int64)


def _spread(values: NDArray[np.uint8], zero_point: int) -> NDArray[np.uint8]:
    """A kernel of stride 2 as a kernel of stride 1 over space-to-depth planes: plane 4z + 2a + b
    holds rows 2y + a and columns 2x + b of plane z, zero points where there are none."""
    count, planes, rows, columns = values.shape
    half_rows, half_columns = -(-rows // 2), -(-columns // 2)
    padded = np.full((count, planes, 2 * half_rows, 2 * half_columns), zero_point, np.uint8)
    padded[:, :, :rows, :columns] = values
    split = padded.reshape(count, planes, half_rows, 2, half_columns, 2)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(count, 4 * planes, half_rows, half_columns)


def _reshuffle(
    builder: _Builder, operator: Operator, source: View, place: _Place
) -> tuple[View, ImageSize]:
    """Append the space-to-depth job of a convolution; its result and the result's size."""
    options, weights = operator.options, builder.graph.tensors[operator.inputs[1]].shape
    assert isinstance(options, Convolution)
    top, left = padding_before(builder.graph, operator)
    columns, rows = -(-place.size.columns // 2), -(-place.size.rows // 2)
    if options.padding is Padding.SAME:
        # A 2x2 kernel would not need the one more; the recordings have it.
        columns += max(-(-weights[2] // 2) - 1, 1)
        rows += max(-(-weights[1] // 2) - 1, 1)
    result = ImageSize(columns, rows, 4 * place.size.channels)
    geometry = moves.SpaceToDepth(place.size, result, top, left)
    instructions = moves.space_to_depth(geometry, builder.chip.tp_cores, place.zero_point)
    size = result.plane * result.channels
    return builder.move(operator.index, "reshuffle", source, size, instructions), result


def _kernels(builder: _Builder, operator: Operator, strategy: Strategy) -> Kernels:
    """The weights as the unit is to see them."""
    graph = builder.graph
    values, first, channels = _values(graph, operator)
    zero_point = _quantization(graph, operator.inputs[1]).zero_point
    bias = _bias(graph, operator, values.shape[0])
    if _native_depthwise(builder, operator):
        channels = 1
        first = np.zeros_like(first)
    if strategy.reshuffle:
        values, first, channels = _spread(values, zero_point), 4 * first, 4 * channels
    elif values.shape[2:] == (1, 1) and builder.place(operator.inputs[0]).size.channels == 1:
        # One tap of one channel is written as a 2x2 kernel whose other taps do nothing.
        values = np.pad(values, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=zero_point)
    return Kernels(values, first, channels, zero_point, bias)


def _native_depthwise(builder: _Builder, operator: Operator) -> bool:
    """The unit's own depthwise kernels take one output for each input channel."""
    source, target = (builder.graph.tensors[i] for i in (operator.inputs[0], operator.outputs[0]))
    depthwise = operator.kind == "DEPTHWISE_CONV_2D" and source.shape[3] == target.shape[3]
    return depthwise and builder.generation.native_depthwise


def _scale(builder: _Builder, operator: Operator) -> np.float32:
    """Accumulator steps to output steps of a convolution."""
    image, weights, output = (
        _quantization(builder.graph, i) for i in (*operator.inputs[:2], operator.outputs[0])
    )
    scale = requantise.convolution_scale(image.scale, weights.scale, output.scale)
    return scale if builder.options.as_recorded else builder.generation.nearest_scale(scale)


def _extents(
    size: ImageSize, output: ImageSize, single_tap: bool
) -> tuple[ImageSize, ImageSize, tuple[int, int]]:
    """Input, output and tile limits as the unit gets them. ``single_tap``: 1x1 kernel, stride 1."""
    if size.rows <= size.columns:
        return size, output, (output.rows, output.columns)
    if not single_tap:
        return size, output, (output.columns, output.rows)
    # A single tap doesn't see rows: the longer side is x, as in the recordings.
    return (
        ImageSize(size.rows, size.columns, size.channels),
        ImageSize(output.rows, output.columns, output.channels),
        (output.rows, output.columns),
    )


def _convolution(builder: _Builder, operator: Operator) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D."""
    graph, options = builder.graph, operator.options
    assert isinstance(options, Convolution)
    place, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    shape = graph.tensors[operator.inputs[1]].shape
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    strategy = builder.generation.strategy(options, depthwise, shape, place.size, builder.chip)
    kernels = _kernels(builder, operator, strategy)
    source, size = builder.planar(operator.inputs[0], operator.index), place.size
    row_offset, column_offset = (-n for n in padding_before(graph, operator))
    if strategy.reshuffle:
        source, size = _reshuffle(builder, operator, source, place)
        row_offset = column_offset = 0
    single_tap = shape[1] == shape[2] == 1 and options.stride_rows == 1
    size, output, tile_limits = _extents(size, result.size, single_tap)
    result.planar = builder.store_planes(output)
    builder.jobs.append(
        NnJob(
            operator=operator.index,
            kind="depthwise" if depthwise else "convolution",
            source=source,
            target=result.planar,
            input_size=size,
            output_size=output,
            kernels=kernels,
            native_depthwise=_native_depthwise(builder, operator),
            row_offset=row_offset,
            column_offset=column_offset,
            tile_limits=tile_limits,
            strided=options.stride_rows > 1,
            first_pixel=strategy.pool,
            scale=_scale(builder, operator),
            input_zero_point=place.zero_point,
            output_zero_point=result.zero_point,
            relu=options.activation is not Activation.NONE,
            filler=0 if builder.options.as_recorded else kernels.zero_point,
            zero_runs=builder.options.zero_runs,
        )
    )


# --------------------------------------------------------------------------------------- additions


def _addition(builder: _Builder, operator: Operator) -> None:
    """ADD: one kernel over the two operands seen as two planes of one image."""
    graph = builder.graph
    first, second = operator.inputs[:2]
    places = [builder.place(tensor) for tensor in (first, second)]
    result = builder.place(operator.outputs[0])
    direct = all(place.planar is None for place in places)
    layout = builder.nhwc if direct else builder.planar
    views = builder.beside(
        layout(first, operator.index), layout(second, operator.index), operator.index
    )
    size = result.size
    target = builder.store(size.plane * size.channels, "output" if direct else "tensor")
    if direct:
        result.nhwc = target
    else:
        result.planar = target
    scales = requantise.AdditionScales(
        *(_quantization(graph, i) for i in (first, second, operator.outputs[0]))
    )
    plan = builder.generation.addition(size, scales, builder.options.as_recorded)
    assert isinstance(operator.options, (Addition, type(None)))
    activation = operator.options.activation if operator.options else Activation.NONE
    builder.jobs.append(
        NnJob(
            operator=operator.index,
            kind="addition",
            source=View(views[0].storage, 0, 2 * views[0].size),
            target=target,
            input_size=plan.input_size,
            output_size=plan.output_size,
            kernels=plan.kernels,
            native_depthwise=False,
            row_offset=0,
            column_offset=0,
            tile_limits=plan.tile_limits,
            strided=False,
            first_pixel=False,
            scale=plan.numbers.scale,
            input_zero_point=places[0].zero_point,
            output_zero_point=result.zero_point,
            relu=activation is not Activation.NONE,
            filler=0,
            zero_runs=False,
        )
    )


def _quantization(graph: Graph, tensor: int) -> Quantization:
    quantization = graph.tensors[tensor].quantization
    assert quantization is not None
    return quantization


# ----------------------------------------------------------------------------------------- padding


def _pad(builder: _Builder, operator: Operator) -> None:
    """PAD: rows and columns of zero points."""
    data = builder.graph.tensors[operator.inputs[1]].data
    assert data is not None
    (top, bottom), (left, right) = data[1:3].tolist()
    place, result = builder.place(operator.inputs[0]), builder.place(operator.outputs[0])
    source = builder.planar(operator.inputs[0], operator.index)
    instructions = moves.pad(
        place.size,
        moves.PadAmounts(top, bottom, left, right),
        builder.chip.tp_cores,
        place.zero_point,
        result.zero_point,
    )
    size = result.size.plane * result.size.channels
    result.planar = builder.move(operator.index, "pad", source, size, instructions)


_LOWERINGS = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "ADD": _addition,
    "PAD": _pad,
}
