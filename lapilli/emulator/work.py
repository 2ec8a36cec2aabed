"""How long the instructions of a command stream take, from the stream alone.

An NN instruction moves bytes over one bus (coefficients, input, output) while its cores apply coded
weights, one row of a tile at a time; a TP instruction moves elements. Each of these has a time; the
longest bounds the instruction, and starting it costs something on top::

    cycles = start-up + max(memory, coefficients, elements)

A tile is worked on superblock by superblock: the input of the tile is fetched for each of them
unless it is cached on chip, and the coefficients for each tile unless they are. Nothing is
executed, so what images hold does not matter. The constants and where they come from:
``timing_constants``. What is left out, and how well it fits: docs/timing.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Protocol, TypeAlias

from lapilli.emulator.cache import BoundedCache
from lapilli.emulator.coefficient_counts import STATISTICS, CoefficientStatistics
from lapilli.emulator.front_end import Start, walk
from lapilli.emulator.generations import GENERATIONS, generation_of
from lapilli.emulator.kernels import Counts, KernelShape, Streams
from lapilli.emulator.memory import AddressSpace, ListedMemory
from lapilli.errors import Fault
from lapilli.hw import nn, tp
from lapilli.hw.chips import Chip
from lapilli.hw.coefficients_v7 import COLUMNS_PER_PATCH, ROWS_PER_PATCH
from lapilli.hw.nn import Caching, Pooling
from lapilli.program.program import Bytes, Words
from lapilli.timing.constants import TimingConstants, constants_of

LAYOUTS = {number: generation.nn for number, generation in GENERATIONS.items()}
"""The NN instruction by generation."""
CACHE_BYTES = 1 << 24
CHANNELS_A_CYCLE = 3
"""Weights that a core takes at a time with NN_ZDP3, of as many input channels."""


Decoded: TypeAlias = Callable[[Streams, KernelShape], "Counts | None"]


class Bound(Enum):
    """What an instruction waits for."""

    MEMORY = "memory"
    COEFFICIENTS = "coefficients"
    TP = "TP"
    START_UP = "start-up"


class SubmittedBuffer(Protocol):
    """A buffer of a recording, of a program's part or of a device."""

    @property
    def address(self) -> int:
        """GPU address of the first byte."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def data(self) -> Bytes | None:
        """Its content; zeros follow if it is shorter than ``size``."""


@dataclass(frozen=True)
class Traffic:
    """Bytes an instruction moves beyond the on-chip memory, by what they are."""

    instruction: int
    coefficients: int
    input: int
    output: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.instruction + self.coefficients + self.input + self.output


@dataclass(frozen=True)
class Work:
    """What an instruction has to do, before any of it has a time.

    ``word``: where the stream starts it. ``cached_input``: bytes read of an image cached on chip.
    ``rows``: rows of pixels every weight is applied to, a row of a tile at a time. ``weights``: for
    each core weights that are applied, at ``weight_cycles`` each and row if no cycle is lost;
    ``zero_tokens``: for each core tokens that code zero points only. ``zero_run_bits``: width of
    their runs. ``stored_bytes``: header and streams of the coefficients as they lie in memory;
    ``dense_weights``: how many weights they stand for. ``elements``: what a TP moves; ``cores``: TP
    cores that share its operation; ``first``: it is the operation's first instruction.
    ``macs_useful``: MACs that reach the output with weights unlike the zero point.
    ``kernel_sram``, ``image_sram``: bytes [start, end) of the on-chip memory in use, or None.
    """

    unit: str
    word: int
    address: int
    traffic: Traffic
    cached_input: int = 0
    rows: int = 0
    weights: tuple[int, ...] = ()
    weight_cycles: Fraction = Fraction(0)
    zero_tokens: tuple[int, ...] = ()
    zero_run_bits: int = 0
    stored_bytes: int = 0
    dense_weights: int = 0
    elements: int = 0
    cores: int = 1
    first: bool = True
    macs_dense: int = 0
    macs_useful: int = 0
    tiles: int = 0
    superblocks: int = 0
    kernel_sram: tuple[int, int] | None = None
    image_sram: tuple[int, int] | None = None


@dataclass(frozen=True)
class Cycles:
    """The time of each term."""

    memory: int
    coefficients: int
    tp: int
    start_up: int

    @property
    def total(self) -> int:
        """Terms overlap; the start-up does not."""
        return self.start_up + max(self.memory, self.coefficients, self.tp)

    @property
    def bound(self) -> Bound:
        """The longest term; the first one named in ``Bound`` of equal ones."""
        terms = {
            Bound.MEMORY: self.memory,
            Bound.COEFFICIENTS: self.coefficients,
            Bound.TP: self.tp,
            Bound.START_UP: self.start_up,
        }
        return max(terms, key=lambda bound: terms[bound])


@dataclass(frozen=True)
class InstructionTime:
    """One instruction: what it had to do, and how long that takes at ``clock_hz``."""

    work: Work
    cycles: Cycles
    clock_hz: float

    @property
    def bound(self) -> Bound:
        """What it waits for."""
        return self.cycles.bound

    @property
    def total_cycles(self) -> int:
        """All of it."""
        return self.cycles.total

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.cycles.total / self.clock_hz


def time_stream(
    commands: Words,
    buffers: Iterable[SubmittedBuffer],
    chip: Chip,
    constants: TimingConstants | None = None,
) -> tuple[InstructionTime, ...]:
    """The time of every instruction that ``commands`` start, in stream order.

    ``buffers``: those of a Recording, of a Part (at its default addresses) or of a device. Raises
    Fault for streams that can't be read, Unsupported for a chip without timing constants.
    """
    chosen = constants_of(chip) if constants is None else constants
    work = WorkReader(chip).read(commands, memory_of(buffers))
    return tuple(charge(item, chosen) for item in work)


def total_cycles(times: Iterable[InstructionTime]) -> int:
    """Operations run one after another."""
    return sum(time.total_cycles for time in times)


def memory_of(buffers: Iterable[SubmittedBuffer]) -> ListedMemory:
    """The buffers' contents in an address space of their own."""
    space, listed = AddressSpace(), []
    for buffer in buffers:
        copy = space.alloc(buffer.size, buffer.address)
        if buffer.data is not None:
            copy.data[: len(buffer.data)] = buffer.data
        listed.append(copy)
    return ListedMemory(space, listed)


def charge(work: Work, constants: TimingConstants) -> InstructionTime:
    """The time of an instruction."""
    memory = max(
        work.traffic.total / constants.bus_bytes, work.cached_input / constants.on_chip_bytes
    )
    weight_cycles = float(work.weight_cycles) / constants.multiplier_use
    coefficients = max(
        (
            work.rows * (weights * weight_cycles + tokens * constants.zero_run_cycles)
            for weights, tokens in zip(work.weights, work.zero_tokens, strict=True)
        ),
        default=0.0,
    )
    elements = work.elements / (constants.tp_elements * work.cores)
    start = constants.nn_start_cycles if work.unit == "NN" else constants.tp_start_cycles
    cycles = Cycles(
        memory=math.ceil(memory),
        coefficients=math.ceil(coefficients),
        tp=math.ceil(elements),
        start_up=math.ceil(start) if work.first else 0,
    )
    return InstructionTime(work, cycles, constants.clock_hz)


class WorkReader:
    """Reads what a stream's instructions have to do; remembers coefficients it has counted.

    ``decoded`` gives the counts of coefficients that somebody has decoded before.
    """

    def __init__(self, chip: Chip, decoded: Decoded | None = None) -> None:
        self._chip = chip
        self._decoded = decoded or (lambda streams, shape: None)
        self._generation = generation_of(chip)
        self._counted: BoundedCache[CoefficientStatistics] = BoundedCache(CACHE_BYTES)

    def read(self, commands: Words, memory: ListedMemory) -> Iterator[Work]:
        """One for each instruction, in stream order; raises Fault as the emulator does."""
        for operation in _operations(walk(commands, self._chip.nn_cores)):
            for position, start in enumerate(operation):
                try:
                    if start.unit == "NN":
                        yield self._nn(start, memory)
                    else:
                        cores = min(len(operation), self._chip.tp_cores)
                        yield _tp_work(start, memory, cores, position == 0)
                except Fault as fault:
                    raise Fault(
                        f"command word {start.word}, {start.unit} instruction at "
                        f"{start.address:#x}: {fault}"
                    ) from None

    def _nn(self, start: Start, memory: ListedMemory) -> Work:
        raw = memory.bytes("NN instruction", start.address, 4 * nn.WORDS)
        fields = self._generation.nn.decode(raw.view("<u4").tolist())
        shape = KernelShape(
            channels=fields["kernel_z_size"],
            rows=fields["kernel_y_size"],
            columns=fields["kernel_x_size"],
            kernels_per_core=fields["kernels_per_core"],
            zero_point=fields["coef_zero_point"],
            output_channels=fields["out_image_z_size"],
            depthwise=self._generation.native_depthwise and bool(fields["depthwise"]),
        )
        if 0 in (shape.weights, shape.kernels_per_core, shape.output_channels):
            raise Fault(
                f"{shape.output_channels} kernels of {shape.channels}x{shape.rows}x{shape.columns} "
                f"weights, {shape.kernels_per_core} a core; allowed is 1 and more of each"
            )
        return nn_work(start, fields, shape, self._count(fields, shape, memory), self._chip)

    def _count(
        self, fields: Mapping[str, int], shape: KernelShape, memory: ListedMemory
    ) -> CoefficientStatistics:
        chip, address = self._chip, fields["kernel_address"]
        plane_bytes = fields["out_image_x_stride"] * fields["out_image_y_stride"]
        streams = self._generation.find_streams(memory, address, shape, chip)
        return self._counted.get(
            (streams.digest(), streams.cores, shape, plane_bytes),
            lambda: STATISTICS[chip.generation](
                streams, shape, plane_bytes, chip, self._decoded(streams, shape)
            ),
        )


def _operations(starts: Iterable[Start]) -> Iterator[list[Start]]:
    """Instructions that run at the same time: an operation's, on as many TP cores."""
    operation: list[Start] = []
    for start in starts:
        if operation and start.unit != operation[0].unit:
            yield operation
            operation = []
        operation.append(start)
        if start.number == 0:
            yield operation
            operation = []
    if operation:
        yield operation


# --------------------------------------------------------------------------------------------- NN


@dataclass(frozen=True)
class _Tiles:
    """Along one axis: number of tiles, and input pixels fetched for all of them, halo included."""

    count: int
    fetched: int


def tiles_along(size: int, tile: int, offset: int, kernel: int, image: int) -> _Tiles:
    """``size`` output pixels in tiles of ``tile``; the kernel starts ``offset`` before a pixel, and
    nothing is fetched outside the ``image`` pixels there are."""
    fetched = 0
    for first in range(0, size, tile):
        behind = min(first + tile, size) - 1 + offset + kernel
        fetched += max(min(behind, image) - max(first + offset, 0), 0)
    return _Tiles(-(-size // tile), fetched)


def weight_cycles(shape: KernelShape, chip: Chip) -> Fraction:
    """Cycles a weight takes a row at a core's peak rate.

    NN_XYDP6 takes patches of two rows by three columns of larger kernels at a time; NN_ZDP3 three
    input channels of 1x1 kernels; without them it is one weight a cycle. V8 (NN_XYDP0) takes three
    values a cycle of any kernel.
    """
    if shape.taps > 1 and chip.has("NN_XYDP6"):
        patches = -(-shape.rows // ROWS_PER_PATCH) * -(-shape.columns // COLUMNS_PER_PATCH)
        return Fraction(patches, shape.taps)
    return Fraction(1, CHANNELS_A_CYCLE) if chip.has("NN_ZDP3") else Fraction(1)


def nn_work(
    start: Start,
    fields: Mapping[str, int],
    shape: KernelShape,
    counted: CoefficientStatistics,
    chip: Chip,
) -> Work:
    """What an NN instruction has to do; raises Fault for tiles without pixels."""
    across, down = _nn_tiles(fields)
    tiles = across.count * down.count
    superblocks = -(-counted.kernels // shape.kernels_per_core)
    image = across.fetched * down.fetched * shape.channels
    image_sram, kernel_sram = _sram(fields, "image"), _sram(fields, "kernel")
    # V8's depthwise kernels read their own channel only: every plane for one superblock.
    passes = 1 if shape.depthwise else superblocks
    step = 2 if fields["pooling"] == Pooling.FIRST_PIXEL else 1
    stored = -(-fields["out_image_x_size"] // step) * -(-fields["out_image_y_size"] // step)
    pixels = fields["out_image_x_size"] * fields["out_image_y_size"]
    runs = counted.zero_run_bits > 0
    return Work(
        unit="NN",
        word=start.word,
        address=start.address,
        traffic=Traffic(
            instruction=4 * nn.WORDS,
            coefficients=_coefficient_bytes(counted, kernel_sram, tiles),
            input=image if image_sram else image * passes,
            output=stored * shape.output_channels,
        ),
        cached_input=image * passes if image_sram else 0,
        rows=fields["out_image_y_size"] * across.count,
        weights=counted.weights,
        weight_cycles=weight_cycles(shape, chip),
        zero_tokens=tuple(
            tokens - weights if runs else 0
            for tokens, weights in zip(counted.tokens, counted.weights, strict=True)
        ),
        zero_run_bits=counted.zero_run_bits,
        stored_bytes=counted.header_bytes + counted.stream_bytes,
        dense_weights=shape.output_channels * shape.weights,
        macs_dense=shape.output_channels * shape.weights * pixels,
        macs_useful=counted.useful * stored,
        tiles=tiles,
        superblocks=superblocks,
        kernel_sram=kernel_sram,
        image_sram=image_sram,
    )


def _nn_tiles(fields: Mapping[str, int]) -> tuple[_Tiles, _Tiles]:
    """Across and down."""
    found = []
    for axis in "xy":
        tile = fields[f"out_image_tile_{axis}_size"]
        if tile < 1:
            raise Fault(f"out_image_tile_{axis}_size = 0; allowed is 1 and more")
        found.append(
            tiles_along(
                fields[f"out_image_{axis}_size"],
                tile,
                fields[f"in_image_{axis}_offset"],
                fields[f"kernel_{axis}_size"],
                fields[f"in_image_{axis}_size"],
            )
        )
    return found[0], found[1]


def _sram(fields: Mapping[str, int], what: str) -> tuple[int, int] | None:
    """The range of the on-chip memory for ``kernel`` or ``image``."""
    if fields[f"{what}_caching_mode"] == Caching.NONE:
        return None
    start, end = (fields[f"{what}_cache_{side}_address"] for side in ("start", "end"))
    return (start, max(start, end))


def _coefficient_bytes(
    counted: CoefficientStatistics, sram: tuple[int, int] | None, tiles: int
) -> int:
    """The first tile fetches everything, the others what did not find room on chip."""
    kept = 0 if sram is None else sram[1] - sram[0]
    again = max(counted.stream_bytes - kept, 0)
    return counted.header_bytes + counted.stream_bytes + (tiles - 1) * again


# --------------------------------------------------------------------------------------------- TP


def _tp_work(start: Start, memory: ListedMemory, cores: int, first: bool) -> Work:
    raw = memory.bytes("TP instruction", start.address, 4 * tp.WORDS)
    return tp_work(start, tp.TP.decode(raw.view("<u4").tolist()), cores, first)


def tp_work(start: Start, fields: Mapping[str, int], cores: int, first: bool) -> Work:
    """What a TP instruction has to do: elements outside the image are moved, but not fetched."""
    elements, fetched = 1, 1
    for axis in "xy":
        moved, inside = _window(fields, axis)
        elements, fetched = elements * moved, fetched * inside
    planes = fields["in_image_z_size"]
    more = fields["in_window_z_start_overfetch"] + fields["in_window_z_end_overfetch"]
    return Work(
        unit="TP",
        word=start.word,
        address=start.address,
        traffic=Traffic(4 * tp.WORDS, 0, fetched * planes, elements * (planes + more)),
        elements=elements * (planes + more),
        cores=cores,
        first=first,
    )


def _window(fields: Mapping[str, int], axis: str) -> tuple[int, int]:
    """Elements of the window's tiles along an axis, and how many of them the image has."""
    start, end = (fields[f"in_window_{axis}_{side}"] for side in ("start", "end"))
    tile, step = fields[f"in_tile_{axis}_size"], fields[f"in_tile_{axis}_inc"]
    if step < 1:
        raise Fault(f"in_tile_{axis}_inc = {step}; allowed is 1 and more")
    moved = inside = 0
    for first in range(start, end + 1, step):
        behind = min(first + tile, end + 1)
        moved += behind - first
        inside += max(min(behind, fields[f"in_image_{axis}_size"]) - max(first, 0), 0)
    return moved, inside


# ------------------------------------------------------------------------------------------- host


@dataclass(frozen=True)
class HostWork:
    """What the CPU does for one inference beside what every inference takes: MACs of convolutions
    left to it, and scores (anchors times classes) that a detector's post-processing looks at."""

    macs: int = 0
    scores: int = 0


@dataclass(frozen=True)
class HostConstants:
    """Seconds, for four Cortex-A73 as on an A311D.

    ``inference_seconds``: interpreter, copying in and out, submitting, waiting and small operators
    (0.5 ms in a published log: 7.5 in all, 7 on the NPU). ``macs_a_second``: the CPU's
    convolutions, when they still were on it (read off figures: 6 to 8 GMAC/s).
    ``score_seconds``: logistic function, box decoding and suppression for each score (fitted).
    """

    inference_seconds: float = 0.5e-3
    macs_a_second: float = 7e9
    score_seconds: float = 35e-9


def host_seconds(work: HostWork, constants: HostConstants) -> float:
    """Time outside the NPU for one inference; never part of an instruction's."""
    return (
        constants.inference_seconds
        + work.macs / constants.macs_a_second
        + work.scores * constants.score_seconds
    )
