"""A picture of a comparison: error by operator, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lapilli.diff.records import Diff, Layer
from lapilli.errors import Unsupported

if TYPE_CHECKING:
    from PIL import Image

WIDTH, HEIGHT = 1200, 600
_OVERSAMPLED = 2
"""Drawn this many times as large and scaled down, for smooth edges."""

_PAPER, _INK, _FAINT, _GRID, _CPU = "#ffffff", "#24292f", "#6e7781", "#e4e8ec", "#f3f4f6"
_OVER = "#c0182b"
_ACCUMULATED = "#24292f"
_COLOURS = {
    "CONV_2D": "#3572b0",
    "DEPTHWISE_CONV_2D": "#e08a1e",
    "ADD": "#3a9d5d",
    "PAD": "#8e5bb5",
}
_OTHER = "#9aa3ad"
_LEFT, _RIGHT = 76, 24
_PANELS = ((122, 326), (370, 522))
"""Upper and lower edge of each panel: steps, share."""
_SHARE_MARKS = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0)
"""Percent."""
_STRIP = (527, 537)


@dataclass(frozen=True)
class _Panel:
    """A plot's place and scale; ``marks`` are the values written at its left. The scale is
    logarithmic, since differences of 1 and of 100 are both to be seen, and has a 0: values far
    below ``unit`` are where they would be on a linear one."""

    top: int
    bottom: int
    marks: tuple[float, ...]
    unit: float

    def y(self, value: float) -> float:
        """Height of a value."""
        share = self._scaled(value) / self._scaled(self.marks[-1])
        return self.bottom - (self.bottom - self.top) * min(share, 1.0)

    def _scaled(self, value: float) -> float:
        return math.log1p(value / self.unit)


def draw(found: Diff) -> Image.Image:
    """1200 x 600 pixels, RGB. Above, the largest difference in output steps, below, the share of
    unequal values; bars are each operator alone, in its kind's colour, dots are accumulated.

    Raises Unsupported if Pillow is missing.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise Unsupported("drawing needs Pillow: pip install 'lapilli[image]'") from error
    picture = Image.new("RGB", (WIDTH * _OVERSAMPLED, HEIGHT * _OVERSAMPLED), _PAPER)
    _Plot(ImageDraw.Draw(picture), found).draw()
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


class _Plot:
    """Draws in pixels of the final picture."""

    def __init__(self, canvas: Any, found: Diff) -> None:
        self.canvas = canvas
        self.found = found
        self.layers = _one_an_operator(found.layers)
        self.step = (WIDTH - _LEFT - _RIGHT) / max(len(self.layers), 1)
        largest = max(
            (d.maximum or 0 for r in self.layers for d in (r.alone, r.accumulated) if d), default=0
        )
        self.steps = _Panel(*_PANELS[0], _step_marks(max(largest, found.tolerance + 1)), 1.0)
        self.shares = _Panel(*_PANELS[1], _SHARE_MARKS, _SHARE_MARKS[1])

    def draw(self) -> None:
        """All of it, back to front."""
        self._heading()
        for panel, unit in ((self.steps, ""), (self.shares, " %")):
            self._frame(panel, unit)
        self._text(
            (_LEFT, _PANELS[0][0] - 22),
            "Largest difference, in output steps (log scale)",
            13,
            bold=True,
        )
        self._text(
            (_LEFT, _PANELS[1][0] - 22),
            "Unequal values, % of the operator's output (log scale)",
            13,
            bold=True,
        )
        for i, layer in enumerate(self.layers):
            self._bars(i, layer)
        self._tolerance()
        self._dots()
        self._axis()
        self._first_over()

    # ---------------------------------------------------------------------------------- primitives

    def _box(self, box: Sequence[float], colour: str) -> None:
        self.canvas.rectangle([round(v * _OVERSAMPLED) for v in box], fill=colour)

    def _line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        scaled = [(x * _OVERSAMPLED, y * _OVERSAMPLED) for x, y in points]
        self.canvas.line(scaled, fill=colour, width=max(round(width * _OVERSAMPLED), 1))

    def _dot(self, x: float, y: float, radius: float, filled: bool = True) -> None:
        box = [v * _OVERSAMPLED for v in (x - radius, y - radius, x + radius, y + radius)]
        self.canvas.ellipse(
            box, fill=_ACCUMULATED if filled else _PAPER, outline=_ACCUMULATED, width=_OVERSAMPLED
        )

    def _text(
        self,
        at: tuple[float, float],
        words: str,
        size: int,
        colour: str = _INK,
        align: str = "left",
        bold: bool = False,
    ) -> float:
        """Write with the upper edge at ``at``; the width of what was written."""
        font = _font(size * _OVERSAMPLED, bold)
        width = float(self.canvas.textlength(words, font=font)) / _OVERSAMPLED
        x = at[0] - {"left": 0.0, "middle": width / 2, "right": width}[align]
        self.canvas.text((x * _OVERSAMPLED, at[1] * _OVERSAMPLED), words, fill=colour, font=font)
        return width

    # --------------------------------------------------------------------------------------- parts

    def _heading(self) -> None:
        found = self.found
        self._text((_LEFT, 14), _printable(found.model, 90), 19, bold=True)
        words = f"NPU {found.device} against {found.reference.title}"
        self._text((_LEFT, 42), _printable(words, 130), 14, _FAINT)
        x = float(_LEFT)
        kinds = {layer.kind: None for layer in self.layers if layer.part is not None}
        for kind in kinds:
            self._box((x, 68, x + 12, 77), _COLOURS.get(kind, _OTHER))
            x += 18 + self._text((x + 18, 65), f"{_printable(kind, 24)} alone", 13) + 22
        self._dot(x + 5, 73, 3.5)
        x += 16 + self._text((x + 16, 65), "accumulated", 13) + 22
        if any(layer.part is None for layer in self.layers):
            self._dot(x + 5, 73, 3.5, filled=False)
            self._text((x + 16, 65), "accumulated, CPU operator", 13)

    def _frame(self, panel: _Panel, unit: str) -> None:
        for i, layer in enumerate(self.layers):
            if layer.part is None:
                x = _LEFT + i * self.step
                self._box((x, panel.top, x + self.step, panel.bottom), _CPU)
        for mark in panel.marks:
            y = panel.y(mark)
            self._line(((_LEFT, y), (WIDTH - _RIGHT, y)), _GRID if mark else _FAINT)
            self._text((_LEFT - 8, y - 8), f"{mark:g}{unit}", 12, _FAINT, "right")

    def _bars(self, i: int, layer: Layer) -> None:
        if layer.alone is None:
            return
        x = _LEFT + (i + 0.5) * self.step
        half = max(min(0.36 * self.step, 14), 0.5)
        colour = _COLOURS.get(layer.kind, _OTHER)
        for panel, value in (
            (self.steps, layer.alone.maximum),
            (self.shares, 100 * layer.alone.share),
        ):
            if value:
                # What is not 0 is to be seen.
                self._box(
                    (x - half, min(panel.y(value), panel.bottom - 1.5), x + half, panel.bottom),
                    colour,
                )

    def _tolerance(self) -> None:
        y = self.steps.y(self.found.tolerance)
        for x in range(_LEFT, WIDTH - _RIGHT, 10):
            self._line(((x, y), (min(x + 5, WIDTH - _RIGHT), y)), _OVER, 1.2)
        self._text(
            (WIDTH - _RIGHT, _PANELS[0][0] - 21),
            f"dashed: tolerance {self.found.tolerance}",
            12,
            _OVER,
            "right",
        )

    def _dots(self) -> None:
        """The accumulated series: dots, joined by a thin line."""
        radius = max(min(0.3 * self.step, 3.5), 1.6)
        for panel in (self.steps, self.shares):
            points = []
            for i, layer in enumerate(self.layers):
                d = layer.accumulated
                value = None if d is None else d.maximum if panel is self.steps else 100 * d.share
                if value is not None:
                    points.append(
                        (_LEFT + (i + 0.5) * self.step, panel.y(value), layer.part is not None)
                    )
            if len(points) > 1:
                self._line([(x, y) for x, y, _ in points], _FAINT, 0.8)
            for x, y, filled in points:
                self._dot(x, y, radius, filled)

    def _axis(self) -> None:
        """Operator numbers, with a strip of the kinds' colours above them."""
        every = next(
            n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if n * self.step >= 26
        )
        for i, layer in enumerate(self.layers):
            x = _LEFT + i * self.step
            colour = _OTHER if layer.part is None else _COLOURS.get(layer.kind, _OTHER)
            self._box((x, _STRIP[0], x + max(self.step - 1, 1), _STRIP[1]), colour)
            if layer.operator % every == 0:
                self._text(
                    (x + self.step / 2, _STRIP[1] + 5), str(layer.operator), 12, _FAINT, "middle"
                )
        self._text(
            ((_LEFT + WIDTH - _RIGHT) / 2, _STRIP[1] + 24),
            "operator, by its index in the model; the strip shows its kind, grey is the CPU's",
            13,
            _INK,
            "middle",
        )

    def _first_over(self) -> None:
        """Point at the first operator that exceeds the tolerance alone."""
        first = self.found.first_over(alone=True)
        if first is None or first.alone is None or first.alone.maximum is None:
            return
        number = next(i for i, layer in enumerate(self.layers) if layer.operator == first.operator)
        x = _LEFT + (number + 0.5) * self.step
        tip = self.steps.y(first.alone.maximum)
        y = max(tip, self.steps.top + 34)
        right = x < WIDTH / 2
        reach = 14 if right else -14
        self._line(((x, tip), (x + reach, y - 22)), _OVER, 1.5)
        words = f"first over the tolerance: operator {first.operator}, max {first.alone.maximum}"
        at, align = (x + reach + (4 if right else -4), y - 33), "left" if right else "right"
        width = self.canvas.textlength(words, font=_font(13 * _OVERSAMPLED, True)) / _OVERSAMPLED
        left = at[0] - (0 if right else width)
        self._box((left - 3, at[1] - 1, left + width + 3, at[1] + 17), _PAPER)
        self._text(at, words, 13, _OVER, align, bold=True)


def _one_an_operator(layers: Sequence[Layer]) -> list[Layer]:
    """Of operators with several outputs, the one that differs most."""
    found: dict[int, Layer] = {}
    for layer in layers:
        before = found.get(layer.operator)
        if before is None or _rank(layer) > _rank(before):
            found[layer.operator] = layer
    return list(found.values())


def _rank(layer: Layer) -> tuple[int, float]:
    d = layer.accumulated
    return (-1, -1.0) if d is None else (d.maximum or 0, d.share)


def _step_marks(largest: int) -> tuple[float, ...]:
    """0, 1, 2, 4 ... up to a power of two that is not below ``largest``."""
    marks = [0.0, 1.0]
    while marks[-1] < largest:
        marks.append(2 * marks[-1])
    if len(marks) > 12:  # int32 outputs
        marks = [0.0, *marks[1 + (len(marks) - 2) % 4 :: 4]]
    return tuple(marks)


def _printable(words: str, limit: int) -> str:
    """Names come from files: one line of characters that print, at most ``limit``."""
    kept = "".join(c if c.isprintable() else "?" for c in words)
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


def _font(size: int, bold: bool) -> Any:
    """A common font, or Pillow's own, which old versions have in one size only."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)
    except OSError:
        pass
    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):
        return ImageFont.load_default()
