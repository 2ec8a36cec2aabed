"""One pass: the first layer's image goes from NHWC to space-to-depth planes in one TP operation.

The reference has two: NHWC to planes, and planes to the four parities of rows and columns. The TP's
loops can do both at once; the border on the right and below is then the NN unit's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lapilli.compiler.encode import moves
from lapilli.compiler.jobs import ImageSize, NnJob, TpJob, View
from lapilli.compiler.schedule.levers.lever import Alternative, Evidence, Lever, Window


def _alternatives(window: Window) -> Iterator[Alternative]:
    transpose, reshuffle, consumer = window.jobs
    if not (isinstance(transpose, TpJob) and transpose.kind == "transpose"):
        return
    if not (isinstance(reshuffle, TpJob) and isinstance(consumer, NnJob)):
        return
    read = reshuffled(reshuffle, consumer)
    if transpose.size is None or read is None or read.top > 1 or not all(window.alone[:2]):
        return
    border = read.top, read.left
    half = moves.halved(transpose.size, *border)
    zero_point = transpose.instructions[0].fields["in_zp"]
    # A row of border is one more slice, which recorded operations fetch on several cores only.
    odd = read.top or (read.top + transpose.size.rows) % 2
    for cores in range(2 if odd else 1, window.chip.tp_cores + 1):
        pieces = moves.to_parities(transpose.size, zero_point, cores, *border)
        if len(pieces) < cores:
            return
        planes = View(reshuffle.target.storage, reshuffle.target.offset, half.plane * half.channels)
        move = replace(
            reshuffle, source=transpose.source, target=planes, instructions=pieces, size=None
        )
        yield Alternative((move, replace(consumer, source=planes, input_size=half)))


@dataclass(frozen=True)
class Reshuffled:
    """What a reshuffle makes of ``source``: ``result``, whose planes have ``top`` rows and ``left``
    columns of border in front."""

    source: ImageSize
    result: ImageSize
    top: int
    left: int


def reshuffled(reshuffle: TpJob, consumer: NnJob) -> Reshuffled | None:
    """The geometry of a reshuffle that ``consumer`` reads; None if the job is none."""
    if reshuffle.kind != "reshuffle" or reshuffle.size is None:
        return None
    first = reshuffle.instructions[0].fields
    return Reshuffled(
        reshuffle.size,
        consumer.input_size,
        -first["in_window_y_start"],
        -first["in_window_x_start"],
    )


def unpadded(reshuffle: TpJob) -> bool:
    """A reshuffle whose planes begin with the image's first pixel, and which has no last single
    row or column."""
    if reshuffle.kind != "reshuffle":
        return False
    size = reshuffle.size
    fields = reshuffle.instructions[0].fields
    starts = fields["in_window_x_start"], fields["in_window_y_start"]
    return size is not None and starts == (0, 0) and not size.columns % 2 and not size.rows % 2


LEVER = Lever(
    name="one-pass",
    sentence="A strided first layer's image is rearranged in one TP operation instead of two.",
    evidence=Evidence.COMBINED,
    jobs=(3,),
    alternatives=_alternatives,
)
