"""Images whose pixels are weighted sums of neighbours in another one, with weights that repeat.

Resizing by a rational factor q / p has p kinds of rows: row ``i + p`` looks at what row ``i`` does,
``q`` rows further on. Each kind is a depthwise convolution of its own, whose pixels are then put
between the others' on the TP cores. Rows and columns beyond the border repeat those at the border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.intents import ConvolutionIntent
from lapilli.compiler.jobs import ImageSize, Kernels, View
from lapilli.compiler.operators.interleaving import Pixels, interleaved
from lapilli.compiler.operators.mirror_padding import mirrored
from lapilli.model.graph import Operator

MOST_JOBS = 4
"""Kinds of pixels for which rows and columns are weighted at once; more are done one after the
other, which rounds twice: a result is still at most one step off."""


@dataclass(frozen=True)
class Phase:
    """A kind of row: ``first`` is the first row it looks at (-1: the one in front of the image),
    ``weights`` are those of that row and the next, over ``whole``. ``count``: how many there
    are."""

    first: int
    weights: tuple[int, ...]
    whole: int
    count: int


@dataclass(frozen=True)
class Side:
    """Rows or columns: ``step`` source rows lie between two rows of a phase."""

    phases: tuple[Phase, ...]
    step: int
    source: int

    @property
    def made(self) -> int:
        """Rows of the result."""
        return sum(phase.count for phase in self.phases)

    @property
    def border(self) -> tuple[int, int]:
        """Rows that are looked at in front of the image and behind it."""
        before = -min(phase.first for phase in self.phases)
        last = max(
            phase.first + (phase.count - 1) * self.step + len(phase.weights)
            for phase in self.phases
        )
        return max(before, 0), max(last - self.source, 0)


def as_it_is(extent: int) -> Side:
    """Rows that stay."""
    return Side((Phase(0, (1,), 1, extent),), 1, extent)


def side_of(first: Fraction, scale: Fraction, source: int, target: int) -> Side:
    """Row ``i`` of the result lies at ``first + i * scale`` of the image."""
    period, phases = scale.denominator, []
    for number in range(min(period, target)):
        place = first + number * scale
        whole = math.floor(place)
        rest = place - whole
        weights = (1,) if rest == 0 else (rest.denominator - rest.numerator, rest.numerator)
        count = len(range(number, target, period))
        phases.append(Phase(whole, weights, rest.denominator, count))
    return Side(tuple(phases), scale.numerator, source)


@dataclass(frozen=True)
class Weighted:
    """What is to be done for ``operator`` to planes of bytes with ``zero_point``."""

    builder: Builder
    operator: Operator
    zero_point: int

    def apply(self, view: View, channels: int, rows: Side, columns: Side) -> View:
        """The planes of an image with these rows and columns."""
        jobs = len(rows.phases) * len(columns.phases)
        if jobs > MOST_JOBS and min(len(rows.phases), len(columns.phases)) > 1:
            view = self._at_once(view, channels, rows, as_it_is(columns.source))
            rows = as_it_is(rows.made)
        return self._at_once(view, channels, rows, columns)

    def _at_once(self, view: View, channels: int, rows: Side, columns: Side) -> View:
        view, size = self._bordered(view, channels, rows, columns)
        made = ImageSize(columns.made, rows.made, channels)
        steps = len(rows.phases), len(columns.phases)
        views, parts, offset = [], [], 0
        for top, down in enumerate(rows.phases):
            for left, across in enumerate(columns.phases):
                places = down.first + rows.border[0], across.first + columns.border[0]
                step = rows.step, columns.step
                views.append(self._job(view, size, (down, across), places, step))
                parts.append(Pixels(offset, down.count, across.count, top, left))
                offset += views[-1].size
        if len(views) == 1:
            return views[0]
        whole = self.builder.lay(views, self.operator)
        return interleaved(self.builder, self.operator, whole, parts, steps, made)

    def _bordered(
        self, view: View, channels: int, rows: Side, columns: Side
    ) -> tuple[View, ImageSize]:
        """The image with its border repeated as far as it is looked at."""
        width = columns.source + sum(columns.border)
        for sides, outer, extent, inner in (
            (columns.border, channels * rows.source, columns.source, 1),
            (rows.border, channels, rows.source, width),
        ):
            if sides != (0, 0):
                shape = outer, extent, inner
                view = mirrored(self.builder, self.operator, view, sides, shape, 0)
        return view, ImageSize(width, rows.source + sum(rows.border), channels)

    def _job(
        self,
        view: View,
        size: ImageSize,
        phases: tuple[Phase, Phase],
        places: tuple[int, int],
        step: tuple[int, int],
    ) -> View:
        """One kind of pixels; ``places``: where its kernel begins in the image."""
        rows, columns = phases
        made = ImageSize(columns.count, rows.count, size.channels)
        target = self.builder.store_planes(made)
        # What lies in front of the first row it looks at has no weight.
        line, column = (
            np.array([0] * place + list(phase.weights))
            for place, phase in zip(places, phases, strict=True)
        )
        kernel = np.multiply.outer(line, column).astype(np.uint8)
        values = np.broadcast_to(kernel, (size.channels, 1, *kernel.shape)).copy()
        self.builder.steps.append(
            ConvolutionIntent(
                operator=self.operator.index,
                depthwise=True,
                source=view,
                target=target,
                input_size=size,
                output_size=made,
                kernels=Kernels(
                    values,
                    np.arange(size.channels, dtype=np.int64),
                    size.channels,
                    0,
                    np.zeros(size.channels, np.int64),
                ),
                stride=step,
                padding_before=(0, 0),
                padding_after=(0, 0),
                padding_same=False,
                scale=np.float32(1 / (rows.whole * columns.whole)),
                input_zero_point=self.zero_point,
                output_zero_point=self.zero_point,
                relu=False,
            )
        )
        return target


def largest(sides: Sequence[Side]) -> int:
    """The largest denominator of weights."""
    return max(phase.whole for side in sides for phase in side.phases)
