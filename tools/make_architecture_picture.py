"""Writes docs/architecture.svg: the package's folders as boxes, on the way that a model takes.

python tools/make_architecture_picture.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
WIDTH, MARGIN, PADDING = 1080, 16, 12
GAP, ARROW_GAP = 12, 50
"""Between boxes, and between boxes with an arrow."""
LINE = 18
STEP_HEIGHT = 24


@dataclass(frozen=True)
class Box:
    """A folder, its question, and the steps inside it in the order in which they are passed.
    ``hands_on``: what goes along the arrow to the box at its right; no arrow if empty."""

    name: str
    question: tuple[str, ...]
    steps: tuple[str, ...] = ()
    share: float = 1.0
    hands_on: str = ""


@dataclass(frozen=True)
class Band:
    """Rows of boxes side by side. A band imports what lies below it."""

    title: str
    fill: str
    stroke: str
    rows: tuple[tuple[Box, ...], ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Those of all rows."""
        return tuple(box for row in self.rows for box in row)


BANDS = (
    Band(
        "asking",
        "#f3effa",
        "#7a63b0",
        (
            (
                Box("cli/", ("What can be asked on the command line, and how is it shown?",)),
                Box("interface/", ("What does Python get?",), share=0.5),
            ),
        ),
    ),
    Band(
        "using it",
        "#eaf2fb",
        "#3f78b5",
        (
            (
                Box("litert/", ("How does LiteRT", "reach the NPU?")),
                Box("answers/", ("What goes in, what", "did the model say?")),
                Box("diff/", ("Where do NPU and", "CPU differ?")),
                Box("profile/", ("Where does", "the time go?")),
                Box("selftest/", ("Does it work", "on this board?")),
                Box("virtual/", ("How do others'", "programs find it?")),
            ),
        ),
    ),
    Band(
        "the way of a model",
        "#e9f6ee",
        "#3d8b5a",
        (
            (
                Box(
                    "model/",
                    ("What does the", ".tflite say?"),
                    ("tflite", "tensors", "operators", "options", "graph"),
                    1.0,
                    "Graph",
                ),
                Box(
                    "compiler/",
                    ("How does a graph", "become bytes?"),
                    ("partition", "operators/", "ways/", "schedule/", "encode/", "emit"),
                    1.1,
                    "Part",
                ),
                Box(
                    "program/",
                    ("What is", "handed over?"),
                    ("program", "device", "program_file", "recording", "disassemble"),
                    1.0,
                    "bytes",
                ),
                Box(
                    "device/",
                    ("Who runs it?", ""),
                    ("open", "runner", "pipeline", "drm", "replay"),
                    0.9,
                    "bytes",
                ),
                Box(
                    "emulator/",
                    ("What would the", "chip do?"),
                    ("machine", "memory", "front_end", "nn", "tp"),
                ),
            ),
            (
                Box("postprocess/", ("What does the host do itself?",)),
                Box("cache/", ("What was compiled before?",)),
                Box("reference/", ("What would the CPU compute?",)),
            ),
        ),
    ),
    Band(
        "what is known",
        "#fdf4e3",
        "#b08028",
        (
            (
                Box("hw/", ("What is a fact about the chip?",)),
                Box("timing/", ("How long would the chip take?",)),
            ),
        ),
    ),
)
STYLE = """
  text { font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 13px; fill: #2b2f36; }
  .name { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-weight: bold;
          font-size: 15px; }
  .step { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 12px;
          text-anchor: middle; }
  .band { font-style: italic; fill: #6b7280; }
  .hands { font-style: italic; text-anchor: middle; }
"""


def text(x: float, y: float, kind: str, content: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{escape(content)}</text>'


def rectangle(x: float, y: float, width: float, height: float, fill: str, stroke: str) -> str:
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="6" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )


def arrow(x: float, y: float, length: float, label: str) -> Iterator[str]:
    """To the right, with what goes along it."""
    end = x + length
    yield f'<path d="M{x:.0f} {y:.0f}H{end - 7:.0f}" stroke="#2b2f36" stroke-width="1.5"/>'
    yield f'<path d="M{end:.0f} {y:.0f}l-9 -5v10z" fill="#2b2f36"/>'
    yield text(x + length / 2, y - 8, "hands", label)


def row_height(row: tuple[Box, ...]) -> int:
    """Of all boxes of a row."""
    lines = max(len(box.question) for box in row)
    steps = max(len(box.steps) for box in row)
    return 2 * PADDING + LINE * (1 + lines) + (6 + STEP_HEIGHT * steps if steps else 0)


def band_height(band: Band) -> int:
    """Of title, rows and what lies between."""
    rows = sum(row_height(row) + GAP for row in band.rows) - GAP
    return rows + 2 * PADDING + LINE


def draw_box(box: Box, band: Band, frame: tuple[float, float, float, float]) -> Iterator[str]:
    """Its frame (x, y, width, height), name, question and steps."""
    x, y, width, _ = frame
    yield rectangle(*frame, "#ffffff", band.stroke)
    line = y + PADDING + 12
    yield text(x + PADDING, line, "name", box.name)
    for content in box.question:
        line += LINE
        yield text(x + PADDING, line, "", content)
    top = line + 12
    for step in box.steps:
        yield rectangle(x + PADDING, top, width - 2 * PADDING, 20, band.fill, "none")
        yield text(x + width / 2, top + 14, "step", step)
        top += STEP_HEIGHT


def gaps_of(row: tuple[Box, ...]) -> list[int]:
    """Behind each box."""
    return [ARROW_GAP if box.hands_on else GAP for box in row[:-1]] + [0]


def widths_of(row: tuple[Box, ...]) -> list[float]:
    """Of its boxes, which fill the picture's width."""
    free = WIDTH - 2 * MARGIN - 2 * PADDING - sum(gaps_of(row))
    return [free * box.share / sum(other.share for other in row) for box in row]


def draw_row(row: tuple[Box, ...], band: Band, y: float) -> Iterator[str]:
    """Its boxes, and the arrows between them."""
    x = float(MARGIN + PADDING)
    for box, width, gap in zip(row, widths_of(row), gaps_of(row), strict=True):
        yield from draw_box(box, band, (x, y, width, row_height(row)))
        if box.hands_on:
            yield from arrow(x + width + 4, y + 60, gap - 8, box.hands_on)
        x += width + gap


def draw_band(band: Band, y: float) -> Iterator[str]:
    """Its ground, title and rows."""
    yield rectangle(MARGIN, y, WIDTH - 2 * MARGIN, band_height(band), band.fill, "none")
    yield text(MARGIN + PADDING, y + PADDING + 9, "band", band.title)
    top = y + PADDING + LINE
    for row in band.rows:
        yield from draw_row(row, band, top)
        top += row_height(row) + GAP


def picture() -> str:
    """The whole of it."""
    drawn: list[str] = []
    y = float(MARGIN)
    for band in BANDS:
        drawn += draw_band(band, y)
        y += band_height(band) + 8
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + MARGIN - 8:.0f}">',
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *drawn,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    (ROOT / "docs" / "architecture.svg").write_text(picture(), encoding="utf-8")
