"""From accumulators to bytes: bias, factor, zero point, clamp, in pieces that stay in the cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapilli.model.graph import Activation, Tensor
from lapilli.reference.arithmetic import (
    Array,
    Floats,
    Integers,
    Multipliers,
    activation_range,
    zero_point_of,
)
from lapilli.reference.node import Rounding


@dataclass(frozen=True, eq=False)
class Rescale:
    """Sums of rows by channels become values of the output: one factor for all or one a channel.

    ``bias`` is added to the sums, in their unit. ``once``: TFLite's kernel rounds once, not twice.
    """

    factors: Floats
    multipliers: Multipliers
    bias: Integers
    zero_point: int
    low: int
    high: int
    dtype: str
    rounding: Rounding
    once: bool = False

    @staticmethod
    def to(
        output: Tensor,
        activation: Activation,
        factors: Floats,
        bias: Integers,
        rounding: Rounding,
        once: bool = False,
    ) -> Rescale:
        """To a tensor's quantisation and type, clamped as the fused activation says."""
        low, high = activation_range(activation, output)
        multipliers = Multipliers.of(factors)
        zero_point = zero_point_of(output)
        return Rescale(
            factors, multipliers, bias, zero_point, low, high, output.dtype, rounding, once
        )

    def rows(self, sums: Array, out: Array) -> None:
        """``sums``: [rows, channels], exact whole numbers of any type; ``out``: as large."""
        if self.rounding is Rounding.EXACT:
            real = (sums + self.bias.astype(np.float64)) * self.factors
            real += self.zero_point + 0.5
            np.floor(real, out=real)
            np.clip(real, self.low, self.high, out=real)
            out[...] = real
            return
        whole = sums.astype(np.int64)
        whole += self.bias
        apply = self.multipliers.apply_once if self.once else self.multipliers.apply
        whole = apply(whole)
        whole += self.zero_point
        np.clip(whole, self.low, self.high, out=whole)
        out[...] = whole

    def real(self, sums: Array) -> Floats:
        """What ``rows`` rounds, in the output's steps away from its zero point."""
        real: Floats = (sums + self.bias.astype(np.float64)) * self.factors
        return real
