"""What a command stream's instructions have to do and how long that takes, from bytes alone.

The numbers are read here, out of instructions and coefficients; what follows from them is worked
out in ``lapilli/timing``. Nothing is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from lapilli.emulator.cache import BoundedCache
from lapilli.emulator.coefficient_counts import STATISTICS
from lapilli.emulator.front_end import Start, walk
from lapilli.emulator.generations import generation_of
from lapilli.emulator.kernels import Counts, KernelShape, Streams
from lapilli.emulator.memory import AddressSpace, ListedMemory
from lapilli.errors import Fault
from lapilli.hw import nn, tp
from lapilli.hw.chips import Chip
from lapilli.hw.nn import Caching, Pooling
from lapilli.hw.tables import TABLE_BYTES
from lapilli.program.program import Bytes, Words
from lapilli.timing.coefficients import CoefficientStatistics
from lapilli.timing.constants import TimingConstants, constants_of
from lapilli.timing.cycles import InstructionTime, charge
from lapilli.timing.nn import Axis, NnTask, nn_work
from lapilli.timing.tp import TpTask, Window, tp_work
from lapilli.timing.work import Work

CACHE_BYTES = 1 << 24

Decoded: TypeAlias = Callable[[Streams, KernelShape], "Counts | None"]


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
class ReadInstruction:
    """An instruction as the stream has it: what starts it, its fields, and what it has to do."""

    start: Start
    fields: Mapping[str, int]
    work: Work


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
    instructions = WorkReader(chip).read(commands, memory_of(buffers))
    return tuple(charge(instruction.work, chosen) for instruction in instructions)


def memory_of(buffers: Iterable[SubmittedBuffer]) -> ListedMemory:
    """The buffers' contents in an address space of their own."""
    space, listed = AddressSpace(), []
    for buffer in buffers:
        copy = space.alloc(buffer.size, buffer.address)
        if buffer.data is not None:
            copy.data[: len(buffer.data)] = buffer.data
        listed.append(copy)
    return ListedMemory(space, listed)


class WorkReader:
    """Reads what a stream's instructions have to do; remembers coefficients it has counted.

    ``decoded`` gives the counts of coefficients that somebody has decoded before.
    """

    def __init__(self, chip: Chip, decoded: Decoded | None = None) -> None:
        self._chip = chip
        self._decoded = decoded or (lambda streams, shape: None)
        self._generation = generation_of(chip)
        self._counted: BoundedCache[CoefficientStatistics] = BoundedCache(CACHE_BYTES)

    def read(self, commands: Words, memory: ListedMemory) -> Iterator[ReadInstruction]:
        """One for each instruction, in stream order; raises Fault as the emulator does."""
        for operation in _operations(walk(commands, self._chip.nn_cores)):
            if operation[0].unit == "NN":
                for start in operation:
                    with _placed(start):
                        yield self._nn(start, memory)
            else:
                yield from _tp(operation, memory, self._chip.tp_cores)

    def _nn(self, start: Start, memory: ListedMemory) -> ReadInstruction:
        raw = memory.bytes("NN instruction", start.address, 4 * nn.WORDS)
        fields = self._generation.nn.decode(raw.view("<u4").tolist())
        native = self._generation.native_depthwise and bool(fields["depthwise"])
        shape = _kernel_shape(fields, native)
        task = nn_task(fields, native)
        return ReadInstruction(
            start, fields, nn_work(task, self._count(fields, shape, memory), self._chip)
        )

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


@contextmanager
def _placed(start: Start) -> Iterator[None]:
    """Says of a Fault which instruction it is about."""
    try:
        yield
    except Fault as fault:
        raise type(fault)(
            f"command word {start.word}, {start.unit} instruction at {start.address:#x}: {fault}"
        ) from None


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


def _kernel_shape(fields: Mapping[str, int], native_depthwise: bool) -> KernelShape:
    shape = KernelShape(
        channels=fields["kernel_z_size"],
        rows=fields["kernel_y_size"],
        columns=fields["kernel_x_size"],
        kernels_per_core=fields["kernels_per_core"],
        zero_point=fields["coef_zero_point"],
        output_channels=fields["out_image_z_size"],
        depthwise=native_depthwise,
    )
    if 0 in (shape.weights, shape.kernels_per_core, shape.output_channels):
        raise Fault(
            f"{shape.output_channels} kernels of {shape.channels}x{shape.rows}x{shape.columns} "
            f"weights, {shape.kernels_per_core} a core; allowed is 1 and more of each"
        )
    return shape


def nn_task(fields: Mapping[str, int], native_depthwise: bool) -> NnTask:
    """What an NN instruction's fields ask for; raises Fault for tiles without pixels."""
    return NnTask(
        columns=_axis(fields, "x"),
        rows=_axis(fields, "y"),
        input_channels=fields["kernel_z_size"],
        output_channels=fields["out_image_z_size"],
        kernels_at_once=fields["kernels_per_core"],
        native_depthwise=native_depthwise,
        first_pixel=fields["pooling"] == Pooling.FIRST_PIXEL,
        kernel_sram=_sram(fields, "kernel"),
        image_sram=_sram(fields, "image"),
    )


def _axis(fields: Mapping[str, int], axis: str) -> Axis:
    tile = fields[f"out_image_tile_{axis}_size"]
    if tile < 1:
        raise Fault(f"out_image_tile_{axis}_size = 0; allowed is 1 and more")
    return Axis(
        size=fields[f"out_image_{axis}_size"],
        tile=tile,
        offset=fields[f"in_image_{axis}_offset"],
        kernel=fields[f"kernel_{axis}_size"],
        image=fields[f"in_image_{axis}_size"],
    )


def _sram(fields: Mapping[str, int], what: str) -> tuple[int, int] | None:
    """The range of the on-chip memory for ``kernel`` or ``image``."""
    if fields[f"{what}_caching_mode"] == Caching.NONE:
        return None
    start, end = (fields[f"{what}_cache_{side}_address"] for side in ("start", "end"))
    return (start, max(start, end))


# --------------------------------------------------------------------------------------------- TP


def _tp(
    operation: Sequence[Start], memory: ListedMemory, tp_cores: int
) -> Iterator[ReadInstruction]:
    """An operation's instructions; none before all can be read, as they share its time."""
    read, tasks = [], []
    for start in operation:
        with _placed(start):
            raw = memory.bytes("TP instruction", start.address, 4 * tp.WORDS)
            read.append(tp.TP.decode(raw.view("<u4").tolist()))
            tasks.append(tp_task(read[-1]))
    yield from map(ReadInstruction, operation, read, tp_work(tasks, tp_cores))


def tp_task(fields: Mapping[str, int]) -> TpTask:
    """What a TP instruction's fields ask for; raises Fault for tiles that lead nowhere."""
    return TpTask(
        columns=_window(fields, "x"),
        rows=_window(fields, "y"),
        planes=fields["in_image_z_size"],
        border_planes=fields["in_window_z_start_overfetch"] + fields["in_window_z_end_overfetch"],
        table_bytes=TABLE_BYTES if fields["alu_load_pwl_lut"] else 0,
    )


def _window(fields: Mapping[str, int], axis: str) -> Window:
    step = fields[f"in_tile_{axis}_inc"]
    if step < 1:
        raise Fault(f"in_tile_{axis}_inc = {step}; allowed is 1 and more")
    return Window(
        start=fields[f"in_window_{axis}_start"],
        end=fields[f"in_window_{axis}_end"],
        tile=fields[f"in_tile_{axis}_size"],
        step=step,
        image=fields[f"in_image_{axis}_size"],
    )
