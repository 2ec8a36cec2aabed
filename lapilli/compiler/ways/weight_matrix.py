"""An addition on V8: a 1x1 convolution over both operands' planes: kernel k takes plane k of
each."""

from __future__ import annotations

from lapilli.compiler.encode.requantise import AdditionNumbers
from lapilli.compiler.intents import AdditionIntent
from lapilli.compiler.jobs import ImageSize
from lapilli.compiler.ways.addition import addition_job, flat_image, matrix
from lapilli.compiler.ways.way import Done, Terms
from lapilli.model.geometry import addition_image

MOST_PLANES = 8
"""Most planes that an addition's operands are seen as: enough to give every core a kernel."""
RECORDED_CHANNELS = 1024
"""Beyond these the recorded driver's matrix of weights outgrows all reason."""


def weight_matrix(intent: AdditionIntent, numbers: AdditionNumbers, terms: Terms) -> Done:
    """One NN job."""
    recorded = terms.options.as_recorded
    planes, rows, columns = _planes(intent.size, recorded)
    limits = flat_image(intent.size) if recorded else (columns, rows)
    kernels = matrix(numbers, planes, 1)
    return Done((addition_job(intent, numbers, kernels, (columns, rows), limits),))


def _planes(size: ImageSize, as_recorded: bool) -> tuple[int, int, int]:
    """Planes, rows and columns that the operands are seen as. The recorded driver takes the
    tensor's own; as a kernel spans all planes of both operands, few planes are far less work."""
    if as_recorded and size.channels <= RECORDED_CHANNELS:
        return size.channels, min(size.columns, size.rows), max(size.columns, size.rows)
    total = size.plane * size.channels
    for planes in range(MOST_PLANES, 0, -1):
        image = addition_image(1, total // planes, 1) if total % planes == 0 else None
        if image is not None:
            return planes, min(image), max(image)
    raise AssertionError("the rules check the size")
