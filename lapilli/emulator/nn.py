"""The NN unit: reads one instruction, checks that the chip could do it, and does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lapilli.emulator.cache import BoundedCache
from lapilli.emulator.checks import decode_fields, demand, demand_apart
from lapilli.emulator.convolve import (
    LARGEST_BYTE,
    Geometry,
    Kernels,
    Output,
    convolve,
    pad,
    prepare,
)
from lapilli.emulator.counters import InstructionCounters
from lapilli.emulator.generations import Generation
from lapilli.emulator.kernels import Counts, Integers, KernelShape, Streams
from lapilli.emulator.memory import ListedMemory
from lapilli.errors import Refused
from lapilli.hw.bits import Layout
from lapilli.hw.chips import Chip
from lapilli.hw.nn import WORDS, Caching, Pooling

FREE_FIELDS = frozenset(
    {
        "kernel_x_size",
        "kernel_y_size",
        "kernel_z_size",
        "kernels_per_core",
        "pooling",
        "pooling_xy_size",
        "in_image_x_size",
        "in_image_y_size",
        "in_image_x_offset",
        "in_image_y_offset",
        "relu",
        "post_multiplier",
        "post_shift",
        "out_image_x_size",
        "out_image_y_size",
        "out_image_z_size",
        "out_image_tile_x_size",
        "out_image_tile_y_size",
        "kernel_address",
        "in_image_address",
        "out_image_address",
        "image_caching_mode",
        "kernel_caching_mode",
        "kernel_pattern_msb",
        "kernel_pattern_low",
        "kernel_pattern_high",
        "kernel_cache_start_address",
        "kernel_cache_end_address",
        "image_cache_start_address",
        "image_cache_end_address",
        "in_image_border_const",
        "in_image_x_stride",
        "in_image_y_stride",
        "out_image_x_stride",
        "out_image_y_stride",
        "coef_zero_point",
        "out_zero_point",
        "depthwise",
        "no_flush",
        "nn_layer_flush",
    }
)
"""What may differ from the default; everything else asks for something that is not emulated."""
MAXIMUM_PADDED_ELEMENTS = 1 << 26
"""Pixels of the padded input of one job: a bound on the emulator's memory."""
MAXIMUM_MACS = 1 << 38


@dataclass(frozen=True)
class Plane:
    """Rows and columns of an image plane in memory; strides are those of the instruction."""

    rows: int
    columns: int
    row_stride: int
    row_count: int

    @property
    def stride(self) -> int:
        """Bytes from one plane to the next."""
        return self.row_stride * self.row_count

    def extent(self, planes: int) -> int:
        """Bytes from the first to the last pixel of so many planes."""
        return (planes - 1) * self.stride + (self.rows - 1) * self.row_stride + self.columns


@dataclass(frozen=True)
class Convolution:
    """A checked instruction; ``plane_unit``: the kernels' plane offsets count so many bytes, or 1
    if they count planes."""

    shape: KernelShape
    geometry: Geometry
    source: Plane
    target: Plane
    offset: tuple[int, int]
    border: int
    output: Output
    kernel_address: int
    source_address: int
    target_address: int
    target_planes: int
    plane_unit: int
    pixels: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return 0


class NNUnit:
    """Runs NN instructions; keeps decoded kernels for the next time."""

    def __init__(self, chip: Chip, generation: Generation, cache_bytes: int) -> None:
        self._chip = chip
        self._generation = generation
        self._instructions: BoundedCache[Convolution] = BoundedCache(cache_bytes // 32)
        self._kernels: BoundedCache[Kernels] = BoundedCache(cache_bytes)

    def run(self, memory: ListedMemory, address: int) -> InstructionCounters:
        """Do the instruction at ``address``; raises Fault naming the field that is impossible."""
        raw = memory.bytes("NN instruction", address, 4 * WORDS)
        words = tuple(raw.view("<u4").tolist())
        job = self._instructions.get(words, lambda: self._check(words))
        streams = self._generation.find_streams(memory, job.kernel_address, job.shape, self._chip)
        # The bytes are looked up before any kernel is decoded: bad addresses need no work.
        source = memory.bytes(
            "input image (in_image_address)",
            job.source_address,
            job.source.extent(job.shape.channels),
        )
        target = memory.bytes(
            "output image (out_image_address)",
            job.target_address,
            job.target.extent(job.target_planes),
        )
        self._demand_no_overlap(job, len(source), len(target), len(streams.data))
        kernels = self._decoded(streams, job.shape)
        planes = _stored_planes(kernels, job)
        macs = len(kernels.bias) * job.shape.weights * job.pixels
        if macs > MAXIMUM_MACS and kernels.nonzero * job.pixels > MAXIMUM_MACS >> 4:
            raise Refused(
                f"takes {macs} multiplications (out_image_x_size, out_image_y_size and "
                f"the kernels); at most {MAXIMUM_MACS} are emulated"
            )
        image = pad(
            _image(source, job.source, job.shape.channels),
            job.geometry,
            job.offset,
            job.border,
            kernels.float_type,
        )
        convolve(
            kernels,
            image,
            job.geometry,
            job.output,
            _image(target, job.target, job.target_planes),
            planes,
        )
        return InstructionCounters(
            unit="NN",
            address=address,
            instruction_bytes=4 * WORDS,
            coefficient_bytes=len(streams.data),
            input_bytes=job.shape.channels * job.source.rows * job.source.columns,
            output_bytes=len(planes) * job.target.rows * job.target.columns,
            macs_dense=macs,
            macs_nonzero=kernels.nonzero * job.pixels,
            tokens=kernels.tokens,
        )

    def counts(self, streams: Streams, shape: KernelShape) -> Counts | None:
        """What decoding the coefficients counted, of V7's; decodes what was not run yet."""
        return self._decoded(streams, shape).counts

    def _decoded(self, streams: Streams, shape: KernelShape) -> Kernels:
        key = (streams.digest(), shape, len(streams.cores))
        return self._kernels.get(key, lambda: self._decode(streams, shape))

    def _decode(self, streams: Streams, shape: KernelShape) -> Kernels:
        coefficients = self._generation.decode(streams, shape, self._chip)
        return prepare(coefficients, self._generation.input_middle)

    def _demand_no_overlap(self, job: Convolution, source: int, target: int, kernels: int) -> None:
        written = (job.target_address, job.target_address + target)
        output = "output image (out_image_address)"
        demand_apart(
            output,
            written,
            "input image (in_image_address)",
            (job.source_address, job.source_address + source),
        )
        demand_apart(
            output,
            written,
            "coefficients (kernel_address)",
            (job.kernel_address, job.kernel_address + kernels),
        )

    def _check(self, words: Sequence[int]) -> Convolution:
        layout = self._generation.nn
        fields = decode_fields(layout, words, FREE_FIELDS - self._generation.fixed_fields)
        _check_sram(layout, fields, self._chip)
        pooled = _check_pooling(layout, fields)
        step = 2 if pooled else 1
        shape = self._kernel_shape(fields)
        source = _plane(layout, fields, "in", 1)
        target = _plane(layout, fields, "out", step)
        self._generation.check_tile(layout, fields, shape, self._chip)
        geometry = Geometry(target.rows, target.columns, step, shape.rows, shape.columns)
        padded = shape.channels * geometry.padded[0] * geometry.padded[1]
        if padded > MAXIMUM_PADDED_ELEMENTS:
            raise Refused(
                f"the kernels touch {padded} pixels of the padded image (in_image_x_size, "
                "in_image_y_size, kernel_z_size and the kernel); at most "
                f"{MAXIMUM_PADDED_ELEMENTS} are emulated"
            )
        row = shape.weights * geometry.columns
        if row > MAXIMUM_PADDED_ELEMENTS:
            raise Refused(
                f"one row of output takes {row} products of a kernel (out_image_x_size, "
                f"kernel_z_size); at most {MAXIMUM_PADDED_ELEMENTS} are emulated"
            )
        return Convolution(
            shape,
            geometry,
            source,
            target,
            offset=(fields["in_image_y_offset"], fields["in_image_x_offset"]),
            border=demand(layout, fields, "in_image_border_const", 0, LARGEST_BYTE),
            output=self._output(fields),
            kernel_address=fields["kernel_address"],
            source_address=fields["in_image_address"],
            target_address=fields["out_image_address"],
            target_planes=shape.output_channels,
            plane_unit=1 if fields["no_z_offset"] else target.stride,
            pixels=fields["out_image_x_size"] * fields["out_image_y_size"],
        )

    def _kernel_shape(self, fields: dict[str, int]) -> KernelShape:
        layout, chip = self._generation.nn, self._chip
        channels = demand(layout, fields, "kernel_z_size", 1, chip.maximum_kernel_channels)
        output_channels = demand(layout, fields, "out_image_z_size", 1, 1 << 14)
        depthwise = self._generation.native_depthwise and bool(fields["depthwise"])
        if depthwise:
            demand(
                layout,
                fields,
                "out_image_z_size",
                channels,
                channels,
                "as a depthwise job has an output channel for each of kernel_z_size",
            )
        return KernelShape(
            channels=channels,
            rows=demand(layout, fields, "kernel_y_size", 1, chip.maximum_kernel_rows),
            columns=demand(layout, fields, "kernel_x_size", 1, chip.maximum_kernel_columns),
            kernels_per_core=demand(layout, fields, "kernels_per_core", 1, 127),
            zero_point=fields["coef_zero_point"],
            output_channels=output_channels,
            depthwise=depthwise,
        )

    def _output(self, fields: dict[str, int]) -> Output:
        uncounted = self._generation.multiplier_bits - self._generation.counted_bits
        multiplier = (1 << self._generation.multiplier_bits) + fields["post_multiplier"]
        return Output(
            multiplier,
            fields["post_shift"] + uncounted,
            fields["out_zero_point"],
            bool(fields["relu"]),
        )


def _check_pooling(layout: Layout, fields: dict[str, int]) -> bool:
    """Whether only even rows and columns are stored."""
    pooling, window = fields["pooling"], fields["pooling_xy_size"]
    if pooling not in (Pooling.NONE, Pooling.FIRST_PIXEL):
        raise Refused(
            f"pooling = {pooling} ({layout.fields['pooling'].where()}); emulated are "
            f"{Pooling.NONE:d} (none) and {Pooling.FIRST_PIXEL:d} (first pixel)"
        )
    if pooling == Pooling.FIRST_PIXEL and window != 0:
        raise Refused(f"pooling_xy_size = {window} with first-pixel pooling; allowed is 0 (2x2)")
    return pooling == Pooling.FIRST_PIXEL


def _plane(layout: Layout, fields: dict[str, int], side: str, step: int) -> Plane:
    """The plane of the ``in`` or ``out`` image; every ``step``th row and column is stored."""
    size_limit = layout.fields["in_image_x_size"].limits[1]
    columns = -(-demand(layout, fields, f"{side}_image_x_size", 1, size_limit) // step)
    rows = -(-demand(layout, fields, f"{side}_image_y_size", 1, size_limit) // step)
    stride_limit = layout.fields["in_image_x_stride"].limits[1]
    return Plane(
        rows,
        columns,
        demand(
            layout,
            fields,
            f"{side}_image_x_stride",
            columns,
            stride_limit,
            f"as a row has {columns} pixels",
        ),
        demand(
            layout,
            fields,
            f"{side}_image_y_stride",
            rows,
            stride_limit,
            f"as a plane has {rows} rows",
        ),
    )


def _check_sram(layout: Layout, fields: dict[str, int], chip: Chip) -> None:
    """Fault if the ranges of the on-chip memory in use are impossible."""
    ranges = {}
    for name in ("kernel", "image"):
        mode = demand(layout, fields, f"{name}_caching_mode", Caching.NONE, Caching.PARTIAL)
        start = fields[f"{name}_cache_start_address"]
        end = fields[f"{name}_cache_end_address"]
        # The recorded driver leaves the end 0 where kernels are cached in part and the image does
        # not fit; what the chip makes of that is unknown.
        if mode == Caching.NONE or (mode == Caching.PARTIAL and end == 0):
            continue
        if not start <= end <= chip.vip_sram_bytes:
            raise Refused(
                f"{name}_cache_start_address = {start:#x}, {name}_cache_end_address = "
                f"{end:#x}; allowed is start <= end <= {chip.vip_sram_bytes:#x}"
            )
        ranges[name] = (start, end)
    if len(ranges) == 2:
        demand_apart(
            "kernel cache (kernel_cache_start_address)",
            ranges["kernel"],
            "image cache (image_cache_start_address)",
            ranges["image"],
        )


def _stored_planes(kernels: Kernels, job: Convolution) -> Integers:
    """Output plane of each kernel that is stored; kernels are sorted by it."""
    planes, rest = np.divmod(kernels.plane_offset, job.plane_unit)
    stored = int(np.searchsorted(planes, job.target_planes))
    if rest[:stored].any():
        bad = int(kernels.plane_offset[:stored][rest[:stored] != 0][0])
        raise Refused(
            f"coefficient streams: a kernel's output offset is {bad:#x}; allowed are "
            f"multiples of the plane, {job.plane_unit} bytes"
        )
    twice = np.flatnonzero(np.diff(planes[:stored]) == 0)
    if len(twice):
        raise Refused(
            f"coefficient streams: two kernels are stored in output plane {planes[twice[0]]}"
        )
    return planes[:stored]


def _image(data: np.ndarray, plane: Plane, planes: int) -> np.ndarray:
    """The pixels [plane, row, column] in ``data``, which holds exactly their extent."""
    return as_strided(
        data, (planes, plane.rows, plane.columns), (plane.stride, plane.row_stride, 1)
    )
