"""Dilated convolutions: zeros between the taps, or taps as planes, or small images in a stack.

Zeros need no TP job, and V7's streams code runs of them; so they are first choice. Where there
would be too many, a kernel that sees all channels gets planes, which cost nine copies of the image
for 3x3 taps and no weight more. Depthwise kernels would need a weight for each pair of channel and
plane on V7, so they get a stack.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.ways.stacked_phases import stackable, stacked_phases
from lapilli.compiler.ways.taps_as_planes import (
    geometry_of,
    plan_of,
    taps_as_planes,
    without_field,
)
from lapilli.compiler.ways.way import ConvolutionWay, Terms, native

MOST_WEIGHTS = 1 << 26
"""Of a job: more are not emulated."""
MOST_GROWTH = 4
"""Times as many weights are better than planes where zeros cost what other weights do (V8)."""
MOST_PLANES = (1 << 14) - 1


def dilated_way(intent: ConvolutionIntent, terms: Terms) -> ConvolutionWay | None:
    """How it is done where not by zeros between its taps."""
    if intent.dilation == (1, 1):
        return None
    geometry, taps = geometry_of(intent), intent.kernels.rows * intent.kernels.columns
    spread = geometry.reach[0] * geometry.reach[1]
    sees_all = not native(intent, terms)
    weights = spread * intent.kernels.output_channels
    weights *= intent.kernels.input_channels if sees_all else 1
    grows = terms.native_depthwise and sees_all and spread > MOST_GROWTH * taps
    if not without_field(geometry, terms.chip) and weights <= MOST_WEIGHTS and not grows:
        return None
    if intent.depthwise and stackable(geometry, terms.chip):
        return stacked_phases
    fits = plan_of(geometry, terms.chip).size.channels <= MOST_PLANES
    return taps_as_planes if fits else None


def zeros_between(intent: ConvolutionIntent) -> ConvolutionIntent:
    """Dilation as a larger kernel: weights of zero between its taps."""
    if intent.dilation == (1, 1):
        return intent
    kernels, (rows, columns) = intent.kernels, geometry_of(intent).reach
    shape = (*kernels.values.shape[:2], rows, columns)
    values = np.full(shape, kernels.zero_point, np.uint8)
    values[:, :, :: intent.dilation[0], :: intent.dilation[1]] = kernels.values
    return replace(intent, kernels=replace(kernels, values=values), dilation=(1, 1))
