"""What a coefficient buffer costs: bytes, and for each core how many weights and how many tokens.

V7's streams are decoded, as runs hide in them. V8 codes every weight, so the instruction says how
many there are and the header how long they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from lapilli.emulator import coefficients_v8
from lapilli.emulator.coefficients_v7 import decode, find_streams
from lapilli.emulator.kernels import Counts, KernelShape, Streams
from lapilli.emulator.memory import ListedMemory
from lapilli.hw.chips import Chip
from lapilli.hw.coefficients_v8 import GROUP


@dataclass(frozen=True)
class CoefficientStatistics:
    """Counts of one coefficient buffer.

    ``header_bytes`` and ``stream_bytes``: what is fetched; ``kernels``: of the core with most;
    ``weights``: weights that are applied, for each core; ``tokens``: tokens, for each core;
    ``zero_run_bits``: width of a run, 0 without; ``useful``: weights of kernels that are stored
    that differ from the zero point, all cores together (V8: all weights).
    """

    header_bytes: int
    stream_bytes: int
    kernels: int
    weights: tuple[int, ...]
    tokens: tuple[int, ...]
    zero_run_bits: int
    useful: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return 8 * (len(self.weights) + len(self.tokens))


def statistics_v7(
    streams: Streams, shape: KernelShape, plane_bytes: int, chip: Chip, counts: Counts | None
) -> CoefficientStatistics:
    """Counts of a V7 buffer whose kernels store planes of ``plane_bytes``, from ``counts`` if they
    are known, else by decoding it; Fault if damaged."""
    counts = counts or decode(streams, shape, chip).counts
    assert counts is not None, "V7's decoder counts"
    stored = counts.plane_offset < shape.output_channels * plane_bytes
    return CoefficientStatistics(
        header_bytes=streams.cores[0][0],
        stream_bytes=sum(end - start for start, end in streams.cores),
        kernels=counts.most_kernels,
        weights=counts.nonzero,
        tokens=counts.tokens,
        zero_run_bits=max(int(streams.data[start]) for start, _ in streams.cores),
        useful=int(counts.kernel_nonzero[stored].sum()),
    )


def statistics_v8(
    streams: Streams, shape: KernelShape, plane_bytes: int, chip: Chip, counts: Counts | None
) -> CoefficientStatistics:
    """Counts of a V8 buffer: every core codes its kernels in groups of nine values."""
    cores, channels = len(streams.cores), shape.output_channels
    kernels = [channels // cores + (core < channels % cores) for core in range(cores)]
    grouped = -(-shape.weights // GROUP) * GROUP
    applied = tuple(count * grouped for count in kernels)
    first = streams.cores[0][0]
    return CoefficientStatistics(
        header_bytes=first,
        stream_bytes=len(streams.data) - first,
        kernels=max(kernels),
        weights=applied,
        tokens=applied,
        zero_run_bits=0,
        useful=channels * shape.weights,
    )


def _find_v7(memory: ListedMemory, address: int, planes: int, chip: Chip) -> Streams:
    return find_streams(memory, address, chip)


def _find_v8(memory: ListedMemory, address: int, planes: int, chip: Chip) -> Streams:
    return coefficients_v8.find_streams(memory, address, KernelShape(1, 1, 1, 1, 0, planes), chip)


FIND = {7: _find_v7, 8: _find_v8}
"""The used bytes of the buffer at an address for a number of output planes, by generation."""
STATISTICS = {7: statistics_v7, 8: statistics_v8}
"""By generation."""
