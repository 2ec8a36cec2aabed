"""What a coefficient buffer costs: bytes, and for each core how many weights and tokens."""

from __future__ import annotations

from dataclasses import dataclass

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


def statistics_v8(
    header_bytes: int, stream_bytes: int, kernel_weights: int, kernels: int, cores: int
) -> CoefficientStatistics:
    """Counts of a V8 buffer of ``kernels`` of ``kernel_weights`` each: every one of ``cores`` codes
    all weights of its kernels, in groups of nine. ``stream_bytes``: of streams and biases."""
    each = [kernels // cores + (core < kernels % cores) for core in range(cores)]
    grouped = -(-kernel_weights // GROUP) * GROUP
    applied = tuple(count * grouped for count in each)
    return CoefficientStatistics(
        header_bytes=header_bytes,
        stream_bytes=stream_bytes,
        kernels=max(each),
        weights=applied,
        tokens=applied,
        zero_run_bits=0,
        useful=kernels * kernel_weights,
    )
