"""An addition on V7: one 2x2 kernel over two planes, of whose taps only the first ones count."""

from __future__ import annotations

from lapilli.compiler.encode.requantise import AdditionNumbers
from lapilli.compiler.intents import AdditionIntent
from lapilli.compiler.ways.addition import addition_job, flat_image, matrix
from lapilli.compiler.ways.way import Done, Terms


def two_planes(intent: AdditionIntent, numbers: AdditionNumbers, terms: Terms) -> Done:
    """One NN job; operands and result are seen as flat images."""
    image = flat_image(intent.size)
    plane = max(image), min(image)
    return Done((addition_job(intent, numbers, matrix(numbers, 1, 2), plane, image),))
