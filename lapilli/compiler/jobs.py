"""What the ways make and scheduling places: NN and TP jobs on storages without an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lapilli.timing.coefficients import CoefficientStatistics


@dataclass(frozen=True)
class View:
    """``size`` bytes of storage ``storage``, from byte ``offset``."""

    storage: int
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class Kernels:
    """Weights as the NN unit wants them.

    ``values``: uint8 [output channels, planes, rows, columns]: kernel k covers the input channels
    ``first_channel[k]`` to ``first_channel[k] + planes - 1``; all its other weights equal
    ``zero_point`` and are not stored (a depthwise kernel has one plane). ``bias``: int64 [output
    channels], as in the model. ``input_channels``: depth of the whole kernel. ``signed``: the model
    has the weights as int8, which changes no value, only what the recorded driver counts.
    """

    values: NDArray[np.uint8] = field(repr=False)
    first_channel: NDArray[np.int64] = field(repr=False)
    input_channels: int
    zero_point: int
    bias: NDArray[np.int64] = field(repr=False)
    signed: bool = False

    @property
    def output_channels(self) -> int:
        """Number of kernels."""
        return int(self.values.shape[0])

    @property
    def rows(self) -> int:
        """Kernel rows."""
        return int(self.values.shape[2])

    @property
    def columns(self) -> int:
        """Kernel columns."""
        return int(self.values.shape[3])

    @property
    def dense(self) -> bool:
        """Every kernel covers every input channel."""
        return int(self.values.shape[1]) == self.input_channels


@dataclass(frozen=True)
class ImageSize:
    """Extents in elements; ``columns`` is the unit's x."""

    columns: int
    rows: int
    channels: int

    @property
    def plane(self) -> int:
        """Elements of a channel."""
        return self.columns * self.rows


@dataclass(frozen=True, eq=False)
class NnJob:
    """One convolution on the NN cores (additions are convolutions over two planes).

    ``input_size`` and ``output_size`` are as the unit sees them; output extents are what is stored.
    ``native_depthwise``: kernel k reads input channel k only, by the unit's own means.
    ``tile_limits``: (columns, rows) that tile sizes are chosen from, before pooling doubles them.
    ``strided``: the operator has stride 2. ``first_pixel``: computed at stride 1, even rows and
    columns stored. ``scale``: accumulator to output, float32. ``filler``: weight of the kernels
    beyond the last output channel that fill up the last cores; they are computed, never stored.
    """

    operator: int
    kind: str
    source: View
    target: View
    input_size: ImageSize
    output_size: ImageSize
    kernels: Kernels
    native_depthwise: bool
    row_offset: int
    column_offset: int
    tile_limits: tuple[int, int]
    strided: bool
    first_pixel: bool
    scale: np.float32
    input_zero_point: int
    output_zero_point: int
    relu: bool
    filler: int
    zero_runs: bool = True


@dataclass(frozen=True)
class TpInstruction:
    """Field values of one TP instruction; bases are bytes from the start of source and target."""

    source_offset: int
    target_offset: int
    fields: Mapping[str, int] = field(repr=False)


@dataclass(frozen=True)
class TpJob:
    """One operation on the TP cores: an instruction for each core used. ``table``: what it looks
    values up in, if it does. ``size``: of the image, where only its layout changes (``transpose``:
    NHWC to planes, ``detranspose``: back)."""

    operator: int
    kind: str
    source: View
    target: View
    instructions: tuple[TpInstruction, ...]
    table: View | None = None
    size: ImageSize | None = None


@dataclass(frozen=True)
class CoefficientSize:
    """What is known of a coefficient buffer before it is written. ``cached``: bytes the kernels
    take in the on-chip memory. ``cores``: cores that get a stream. ``statistics``: what they
    cost."""

    cached: int
    cores: int
    statistics: CoefficientStatistics


@dataclass(frozen=True)
class Coefficients:
    """``data``: header, core streams and what follows them, uint8; ``size``: what was known of it
    before."""

    data: NDArray[np.uint8] = field(repr=False)
    size: CoefficientSize


JobList: TypeAlias = "tuple[NnJob | TpJob, ...]"


@dataclass(frozen=True, eq=False)
class Storage:
    """Memory of a lowered part: ``role`` as in program.BufferSpec; ``size`` includes slack behind
    the last channel, where kernels that only fill up a core would write. ``data``: its content
    before the first run, if that matters."""

    role: str
    size: int
    data: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Crossing:
    """A tensor that enters or leaves the part, NHWC, at ``view``."""

    tensor: int
    view: View


@dataclass(frozen=True)
class PartJobs:
    """A part before scheduling: jobs in order, and the memory they work on."""

    operators: tuple[int, ...]
    jobs: JobList
    storages: tuple[Storage, ...]
    inputs: tuple[Crossing, ...]
    outputs: tuple[Crossing, ...]
