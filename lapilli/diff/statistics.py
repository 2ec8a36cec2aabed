"""How far two versions of one tensor are apart: counts and measures, each with its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lapilli.answers.results import dequantise
from lapilli.model.graph import Quantization, Values

HISTOGRAM_BOUNDS = (0, 1, 2, 4, 8)
"""Largest |d| of each class of the histogram but the last, which has no bound."""
HISTOGRAM_NAMES = ("0", "1", "2", "3-4", "5-8", ">8")

DEFINITIONS = {
    "max, mean": "of |d|, where d = NPU - CPU in output steps, that is of the stored integers",
    "unequal": "share of the tensor's values in which NPU and CPU differ",
    "SNR": "10 log10(sum of r^2 / sum of (n - r)^2) in dB over the tensor, with r the CPU's and n "
    "the NPU's dequantised value; inf where all are equal",
}
"""What the columns of a report mean."""


@dataclass(frozen=True)
class Difference:
    """Two versions of a tensor compared, ``DEFINITIONS`` says how.

    ``maximum``, ``mean`` and ``histogram`` (number of values by |d|, classes as in
    ``HISTOGRAM_NAMES``) are None for floats, which have no steps. ``values`` and ``unequal`` are
    counts. ``snr_db`` is inf if all values are equal, -inf for noise without signal, and None for a
    total over tensors.
    """

    values: int
    unequal: int
    maximum: int | None
    mean: float | None
    histogram: tuple[int, ...] | None
    snr_db: float | None

    @property
    def share(self) -> float:
        """Part of the values that differ, 0 to 1."""
        return self.unequal / self.values if self.values else 0.0

    def exceeds(self, tolerance: int) -> bool:
        """Some value is further off than ``tolerance`` steps."""
        return self.maximum is not None and self.maximum > tolerance


def difference(npu: Values, cpu: Values, quantization: Quantization | None = None) -> Difference:
    """Compare ``npu`` with ``cpu``, tensors of one type and shape; ``quantization`` is both's."""
    if npu.dtype != cpu.dtype or npu.shape != cpu.shape:
        raise ValueError(f"{npu.dtype} {npu.shape} can't be compared with {cpu.dtype} {cpu.shape}")
    equal = npu == cpu
    if npu.dtype.kind in "fc":
        equal |= np.isnan(npu) & np.isnan(cpu)
    unequal = int(equal.size - np.count_nonzero(equal))
    snr = signal_to_noise(npu, cpu, quantization) if unequal else math.inf
    if npu.dtype.kind not in "iub":
        return Difference(equal.size, unequal, None, None, None, snr)
    steps = np.abs(npu.astype(np.int64) - cpu.astype(np.int64)).reshape(-1)
    classes = np.searchsorted(np.array(HISTOGRAM_BOUNDS), steps)
    counts = np.bincount(classes, minlength=len(HISTOGRAM_NAMES))
    return Difference(
        values=steps.size,
        unequal=unequal,
        maximum=int(steps.max(initial=0)),
        mean=float(steps.mean()) if steps.size else 0.0,
        histogram=tuple(int(count) for count in counts),
        snr_db=snr,
    )


def signal_to_noise(npu: Values, cpu: Values, quantization: Quantization | None = None) -> float:
    """In dB: 10 log10(sum r^2 / sum (n - r)^2) of dequantised values; inf without noise, -inf
    without signal or where a value that differs is no finite number."""
    reference, found = dequantise(cpu, quantization), dequantise(npu, quantization)
    with np.errstate(all="ignore"):
        noise = float(np.sum((found - reference)[found != reference] ** 2))
        signal = float(np.sum(reference[np.isfinite(reference)] ** 2))
    if noise == 0:
        return math.inf
    if signal == 0 or not math.isfinite(noise):
        return -math.inf
    return 10 * (math.log10(signal) - math.log10(noise))


def total(differences: Sequence[Difference]) -> Difference:
    """Several tensors' values as if they were one's; without a signal-to-noise ratio, because
    tensors have different scales. Floats are left out of what is in steps."""
    stepped = [d for d in differences if d.histogram is not None]
    values = sum(d.values for d in stepped)
    weighted = sum((d.mean or 0.0) * d.values for d in stepped)
    columns = zip(*(d.histogram for d in stepped if d.histogram is not None), strict=True)
    return Difference(
        values=sum(d.values for d in differences),
        unequal=sum(d.unequal for d in differences),
        maximum=max((d.maximum or 0 for d in stepped), default=0),
        mean=weighted / values if values else 0.0,
        histogram=tuple(map(sum, columns)) or (0,) * len(HISTOGRAM_NAMES),
        snr_db=None,
    )
