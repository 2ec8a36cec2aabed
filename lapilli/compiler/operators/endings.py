"""How results end that a fused activation cuts: ReLU, ReLU6, ReLU-1..1.

The NN unit cuts below the output's zero point if told so, and always at 0 and 255. A range that
ends elsewhere is moved so far up that its end is 255; one more job moves it back, which cuts below
if that is wanted. All of it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.jobs import View
from lapilli.compiler.operators import cpu_range, flat
from lapilli.compiler.operators.flat import Step
from lapilli.compiler.operators.record import Case, relies_on
from lapilli.compiler.operators.rules import operands_present
from lapilli.model.graph import Quantization
from lapilli.model.options import Activation

LARGEST = 255
_ENDS = {
    Activation.NONE: (None, None),
    Activation.RELU: (0.0, None),
    Activation.RELU6: (0.0, 6.0),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
}


@dataclass(frozen=True)
class Ending:
    """``zero_point``, ``relu``: what the job is told. ``shift``: how far its results are moved up,
    and ``least``: the byte below which they are cut when moved back."""

    zero_point: int
    relu: bool = False
    shift: int = 0
    least: int = 0

    @property
    def direct(self) -> bool:
        """The job's results are those wanted."""
        return self.shift == 0 and self.least == 0

    def applied(self, builder: Builder, operator: int, made: View) -> View:
        """The results, moved back where they were moved."""
        if self.direct:
            return made
        # Below ``least`` it is cut as below a zero point, which the bias then takes off again.
        step = Step(self.shift, self.least, bias=-self.least, relu=self.least > 0)
        return flat.append(builder, operator, made, step)


def cut_range(quantization: Quantization, activation: Activation) -> tuple[int, int]:
    """Least and greatest byte that an activation leaves, rounded as LiteRT does when it prepares
    the kernel."""
    low, high = _ENDS[activation]
    return (
        0 if low is None else max(_byte(quantization, low), 0),
        LARGEST if high is None else min(_byte(quantization, high), LARGEST),
    )


def _byte(quantization: Quantization, value: float) -> int:
    with np.errstate(over="ignore", divide="ignore"):
        steps = np.float32(abs(value)) / np.float32(quantization.scale)
    if not steps < 2 * LARGEST:
        steps = np.float32(2 * LARGEST)
    rounded = int(np.floor(steps + np.float32(0.5)))
    return quantization.zero_point + (rounded if value >= 0 else -rounded)


def ending_of(quantization: Quantization, activation: Activation) -> Ending:
    """How a result of this quantisation ends."""
    least, greatest = cut_range(quantization, activation)
    point, shift = quantization.zero_point, LARGEST - greatest
    if activation is Activation.RELU_N1_TO_1:
        return Ending(point + shift, shift=shift, least=least)
    return Ending(point + shift, relu=activation is not Activation.NONE, shift=shift)


def byte_ending(quantization: Quantization, activation: Activation) -> Ending:
    """How a result of bytes ends that stay as they are: the job's zero point is 0 but for the cut,
    and its bias takes ``zero_point - shift`` off again."""
    least, greatest = cut_range(quantization, activation)
    shift = LARGEST - greatest
    return Ending(least + shift, relu=least > 0, shift=shift)


@relies_on(operands_present)
def activation_exact(case: Case) -> str | None:
    """A fused activation must be ReLU, ReLU6 or ReLU-1..1, whose ends are fewer than 2^31 steps of
    the output; where such a range ends inside the output's, the output must be one that can be seen
    as an image of at most 8191 x 8191.

    Remedy: Use ReLU, or quantise so that the output range ends at 6 (scale 6/255, zero point 0).
    """
    activation = getattr(case.operator.options, "activation", Activation.NONE)
    if activation not in _ENDS:
        return f"{activation.value}"
    quantization = case.output().quantization
    if quantization is None or not quantization.scales or not 0 < quantization.scale < np.inf:
        return None  # another rule's concern
    beyond = cpu_range.beyond_end(case.graph, case.operator)
    if beyond is not None:
        return beyond
    direct = ending_of(quantization, activation).direct
    return None if direct else flat.flat_size(case)
