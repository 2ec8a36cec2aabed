"""What the decoders of all generations are asked and what they give: kernels with their biases."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import Refused
from lapilli.program.program import Bytes

SPARSE_SHARE = 8
"""A core's weights are kept as a list if at most one in this many differs from the zero point."""
MOST_WEIGHTS = 1 << 26
"""Of an instruction, all cores together: some 12 bytes of memory each. Zero runs let a few bytes
stand for any number of them."""
SMALL_WEIGHTS = 4096
"""Up to so many weights the list is made in any case."""
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class KernelShape:
    """What the instruction says about the kernels; ``depthwise``: each has the weights of one of
    the ``channels`` only, by the hardware's own mode. V7 streams know their number themselves."""

    channels: int
    rows: int
    columns: int
    kernels_per_core: int
    zero_point: int
    output_channels: int = 0
    depthwise: bool = False

    @property
    def taps(self) -> int:
        """Weights of one input channel."""
        return self.rows * self.columns

    @property
    def weights(self) -> int:
        """Weights of one kernel."""
        return self.taps if self.depthwise else self.channels * self.taps


def demand_few(kernels: int, shape: KernelShape) -> None:
    """Refused for more weights than the emulator has room for."""
    if kernels * shape.weights > MOST_WEIGHTS:
        raise Refused(
            f"{kernels} kernels of {shape.weights} weights (kernel_z_size, kernel_x_size, "
            f"kernel_y_size); at most {MOST_WEIGHTS} weights are emulated"
        )


@dataclass(frozen=True)
class Streams:
    """The used bytes of a coefficient buffer: (start, end) of each core's stream, and a digest."""

    data: Bytes
    cores: tuple[tuple[int, int], ...]

    def digest(self) -> bytes:
        """Names the content."""
        return hashlib.sha256(self.data.data).digest()


@dataclass(frozen=True, eq=False)
class Counts:
    """What decoding a V7 buffer counted, for the timing model: ``tokens`` and weights unlike the
    zero point (``nonzero``) of each core, kernels of the core with ``most_kernels``, and the
    ``nonzero`` weights of each kernel in the order of ``plane_offset``."""

    tokens: tuple[int, ...]
    nonzero: tuple[int, ...]
    most_kernels: int
    kernel_nonzero: Integers
    plane_offset: Integers

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the kernels' own offsets."""
        return self.kernel_nonzero.nbytes


@dataclass(frozen=True)
class Coefficients:
    """All kernels of an instruction, sorted by the offset of their output plane.

    ``listed`` holds the weights that differ from the zero point as (kernel, weight index, value
    less zero point), sorted, if they are few; ``dense`` all of them as [kernel][weight] if not.
    A weight index is ``channel * taps + row * columns + column``.
    """

    shape: KernelShape
    bias: Integers
    plane_offset: Integers
    listed: tuple[Integers, Integers, Integers] | None
    dense: NDArray[np.float32] | None
    tokens: int
    nonzero: int
    counts: Counts | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        arrays = (self.bias, self.plane_offset, *(self.listed or ()))
        listed: int = sum(array.nbytes for array in arrays)
        return listed + (0 if self.dense is None else self.dense.nbytes)
