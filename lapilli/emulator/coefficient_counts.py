"""Counts of a coefficient buffer's bytes: what its tokens, weights and streams cost.

V7's streams are decoded, as runs hide in them. V8 codes every weight, so the instruction says how
many there are and the header how long they are.
"""

from __future__ import annotations

from lapilli.emulator.coefficients_v7 import decode
from lapilli.emulator.kernels import Counts, KernelShape, Streams
from lapilli.hw.chips import Chip
from lapilli.timing import coefficients
from lapilli.timing.coefficients import CoefficientStatistics


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
    """Counts of a V8 buffer."""
    first = streams.cores[0][0]
    return coefficients.statistics_v8(
        header_bytes=first,
        stream_bytes=len(streams.data) - first,
        kernel_weights=shape.weights,
        kernels=shape.output_channels,
        cores=len(streams.cores),
    )


STATISTICS = {7: statistics_v7, 8: statistics_v8}
"""By generation."""
