"""Sums and differences of bytes, exactly: convolutions with weights -1, 0 and 1 and scale 1.

What falls below 0 becomes 0, so a difference of two bytes is already max(a - b, 0), and
max(a, b) = b + max(a - b, 0). Each job reads planes and writes planes; ``Taps`` say which elements
a plane's elements are sums of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from lapilli.compiler import program_size
from lapilli.compiler.builder import Builder
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.endings import Ending

Taps: TypeAlias = Mapping[tuple[int, int, int], int]
"""(plane, rows below, columns to the right) -> weight."""
Stage: TypeAlias = tuple[Taps, ...]
"""What one job writes: a plane each."""
MOST_STEP = 8
"""Elements that two compared ones are apart at most: kernels are larger by one."""
UNCUT = Ending(0)
MIDDLE_WEIGHT = 1
"""The weights' zero point, so that -1 is a byte."""


def tap(plane: int, row: int = 0, column: int = 0) -> Taps:
    """One element."""
    return MappingProxyType({(plane, row, column): 1})


def shifted(taps: Taps, rows: int, columns: int) -> Taps:
    """The same sum further down and to the right."""
    return MappingProxyType({(p, r + rows, c + columns): w for (p, r, c), w in taps.items()})


def weighted(first: Taps, second: Taps, sign: int) -> Taps:
    """``first + sign * second``."""
    found = dict(first)
    for place, weight in second.items():
        found[place] = found.get(place, 0) + sign * weight
    return MappingProxyType({place: weight for place, weight in found.items() if weight})


class Comparisons:
    """Collects the jobs that lead from planes to the largest of their elements."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def job(self, planes: Sequence[Taps]) -> list[Taps]:
        """One more job; its planes as taps for the next."""
        self.stages.append(tuple(planes))
        return [tap(number) for number in range(len(planes))]

    def larger(
        self, pairs: Sequence[tuple[Taps, Taps]], kept: Sequence[Taps] = ()
    ) -> tuple[list[Taps], list[Taps]]:
        """The larger of each pair, as sums that the next job forms; and what is kept for it."""
        planes = [part for a, b in pairs for part in (weighted(a, b, -1), b)]
        made = self.job([*planes, *kept])
        count = len(pairs)
        sums = [weighted(made[2 * i], made[2 * i + 1], 1) for i in range(count)]
        return sums, made[2 * count :]

    def sliding(
        self, values: list[Taps], extent: int, step: tuple[int, int], kept: list[Taps]
    ) -> tuple[list[Taps], list[Taps]]:
        """The largest of ``extent`` neighbours in the direction ``step``, of each of ``values``."""
        covered = 1
        while covered < extent:
            ahead = min(covered, extent - covered, MOST_STEP)
            pairs = [(shifted(v, ahead * step[0], ahead * step[1]), v) for v in values]
            values, kept = self.larger(pairs, kept)
            covered += ahead
        return values, kept


def reach(stage: Stage) -> tuple[int, int]:
    """Rows and columns of the kernels of a job."""
    places = [place for taps in stage for place in taps]
    return max(row for _, row, _ in places) + 1, max(column for _, _, column in places) + 1


def extents(stages: Sequence[Stage], rows: int, columns: int) -> list[tuple[int, int]]:
    """(rows, columns) of what each job writes, if the last one is to write ``rows`` x ``columns``:
    so much more as later kernels reach."""
    found = []
    for stage in reversed(stages):
        found.append((rows, columns))
        more = reach(stage)
        rows, columns = rows + more[0] - 1, columns + more[1] - 1
    return found[::-1]


@dataclass(frozen=True)
class Work:
    """What the jobs are to do. ``source``: ``planes`` images of ``rows`` x ``columns`` for each of
    ``groups``, a plane's groups one behind the other, which the jobs' planes have too. ``sizes``:
    (rows, columns) of what each job writes.

    The first job's windows begin ``before`` (rows, columns) the image and move by ``stride``.
    ``ending``: how the last job's results are cut.
    """

    operator: int
    stages: tuple[Stage, ...]
    sizes: tuple[tuple[int, int], ...]
    source: View
    planes: int
    rows: int
    columns: int
    groups: int
    before: tuple[int, int] = (0, 0)
    stride: int = 1
    ending: Ending = UNCUT


def run(builder: Builder, work: Work) -> View:
    """Append the jobs; the planes that the last one writes."""
    view, planes, size = work.source, work.planes, (work.rows, work.columns)
    for number, stage in enumerate(work.stages):
        first, last = number == 0, number == len(work.stages) - 1
        stride, before = (work.stride, work.before) if first else (1, (0, 0))
        made = work.sizes[number]
        target = builder.store_planes(ImageSize(made[1], made[0], len(stage) * work.groups))
        ending = work.ending if last else UNCUT
        after = [
            max((made[i] - 1) * stride + reach(stage)[i] - size[i] - before[i], 0) for i in (0, 1)
        ]
        builder.steps.append(
            ConvolutionIntent(
                operator=work.operator,
                depthwise=planes == 1,
                source=view,
                target=target,
                input_size=ImageSize(size[1], size[0], planes * work.groups),
                output_size=ImageSize(made[1], made[0], len(stage) * work.groups),
                kernels=_kernels(
                    stage,
                    planes,
                    work.groups,
                    ending.shift - ending.zero_point,
                    builder.options.most_bytes,
                ),
                stride=(stride, stride),
                padding_before=before,
                padding_after=(after[0], after[1]),
                padding_same=max(*before, *after) > 0,
                scale=np.float32(1),
                input_zero_point=0,
                output_zero_point=ending.zero_point,
                relu=ending.relu,
            )
        )
        view, planes, size = target, len(stage), made
    return work.ending.applied(builder, work.operator, view)


def _kernels(stage: Stage, planes: int, groups: int, bias: int, most_bytes: int) -> Kernels:
    """Kernel (number, group) sees the same group of every plane."""
    rows, columns = reach(stage)
    count, each = len(stage) * groups, np.arange(groups)
    # Of one plane each kernel sees its own group only.
    first = np.tile(each, len(stage)) if planes == 1 else np.zeros(count, np.int64)
    seen = 1 if planes == 1 else groups
    shape = (len(stage), groups, planes, seen, rows, columns)
    program_size.Budget(most_bytes).spend(math.prod(shape))
    values = np.full(shape, MIDDLE_WEIGHT, np.uint8)
    for number, taps in enumerate(stage):
        for (plane, row, column), weight in taps.items():
            values[number, each, plane, each % seen, row, column] = MIDDLE_WEIGHT + weight
    biases = np.full(count, bias, np.int64)
    dense = values.reshape(count, planes * seen, rows, columns)
    return Kernels(dense, first, planes * groups, MIDDLE_WEIGHT, biases)
