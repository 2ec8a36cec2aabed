"""Why operators stay on the CPU, and what it would bring if a reason went away."""

from __future__ import annotations

import numpy as np
from detectors import random_case
from models import ModelBuilder
from rule_checks import chip

from lapilli.compiler.explanation import explain
from lapilli.model import tflite

MACS = 4 * 9 * 4
"""Of a convolution with one pixel."""
STRIDE = 70
"""Makes more channels than an image has."""


def chain() -> bytes:
    """Convolutions: taken, far strides, taken, far strides and TANH, then two SOFTMAXs."""
    builder = ModelBuilder()
    x = builder.input((1, 6, 6, 4), 0.02, 128)
    weights = np.ones((4, 3, 3, 4), np.uint8)
    for stride, activation in ((1, "NONE"), (STRIDE, "NONE"), (1, "NONE"), (STRIDE, "TANH")):
        x = builder.conv(x, weights, None, 0.01, 0, 0.1, 100, stride=stride, activation=activation)
    for _ in range(2):
        y = builder.tensor((1, 1, 1, 4), 1 / 256, 0)
        builder.operator("SOFTMAX", [x], [y], ("SoftmaxOptions", {"Beta": 1.0}))
        x = y
    return builder.build([x])


def test_each_reason_says_who_breaks_it_and_what_it_would_bring_alone() -> None:
    report = explain(tflite.parse(chain(), "chain"), chip())
    assert report.npu_parts == 2
    far, activation, softmax = report.reasons
    # Operators 0 to 2 become one part.
    assert (far.rule, far.operators, far.alone) == ("planes_fit", (1, 3), (1,))
    assert (far.macs, far.parts) == (MACS, 1)
    assert (activation.rule, activation.operators, activation.alone) == (
        "activation_exact",
        (3,),
        (),
    )
    assert (activation.macs, activation.parts) == (0, 2)
    assert (softmax.rule, softmax.kind) == ("operator", "SOFTMAX")
    assert (softmax.operators, softmax.alone, softmax.parts) == ((4, 5), (4, 5), 3)


def test_what_the_host_does_is_no_reason() -> None:
    report = explain(tflite.parse(random_case(0).model, "detector"), chip())
    assert "postprocess" in {line.verdict.rule for line in report.operators}
    assert all(reason.rule != "postprocess" for reason in report.reasons)
