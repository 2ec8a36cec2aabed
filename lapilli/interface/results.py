"""Results: frozen records with ``to_dict()``, which show themselves in notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from numpy.typing import NDArray

from lapilli.answers.detection import Detection
from lapilli.answers.results import Score
from lapilli.cli import fit_screen
from lapilli.cli.diff import answer_line
from lapilli.compiler import explanation
from lapilli.compiler.blocking import Blocking
from lapilli.diff import report
from lapilli.diff.records import Diff
from lapilli.profile import json_report, page, rows
from lapilli.profile.board_time import BoardTime
from lapilli.profile.events import Profile
from lapilli.profile.fit import Fit

Made = TypeVar("Made")


def made_of(kind: type[Made], found: Any) -> Made:
    """A record of ``kind``, which has the fields of ``found``."""
    return kind(**{field.name: getattr(found, field.name) for field in fields(found)})


def _table(sentence: str, head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """Names come from models that anybody may have made: every text is escaped."""

    def row(cells: Sequence[object], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)

    lines = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in body)
    return (
        f"<p>{html.escape(sentence)}</p><table><thead><tr>{row(head, 'th')}</tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


@dataclass(frozen=True)
class FitResult(Fit):
    """Whether a model fits, and how fast it would be; ``chips`` has an entry for each chip."""

    def __str__(self) -> str:
        return fit_screen.answer(self)

    def _repr_html_(self) -> str:
        columns = [fit_screen.rows_of(chip) for chip in self.chips]
        body = [
            (cells[0][0].strip(), *(cell for _, cell in cells))
            for cells in zip(*columns, strict=False)
        ]
        return _table(fit_screen.answer(self), body[0], body[1:])


@dataclass(frozen=True)
class ExplainResult(explanation.Explanation):
    """Which operators the NPU takes, and why not the others."""

    def to_dict(self) -> dict[str, Any]:
        """As ``lapilli explain --json`` has it."""
        return explanation.to_json(self)

    def __str__(self) -> str:
        return (
            f"{self.model} on {self.chip}: {self.on_npu} of {len(self.operators)} operators and "
            f"{100 * self.mac_share:.1f} % of the MACs on the NPU"
        )

    def _repr_html_(self) -> str:
        body = [
            (
                line.operator.index,
                line.operator.kind,
                "NPU" if line.verdict.supported else "CPU",
                line.verdict.reason,
            )
            for line in self.operators
        ]
        return _table(str(self), ("#", "operator", "on", "why"), body)


@dataclass(frozen=True)
class ProfileResult(Profile):
    """Where the time goes, operator by operator."""

    def to_dict(self) -> dict[str, Any]:
        """As ``lapilli profile --json`` has it."""
        return json_report.to_json(self)

    def to_html(self) -> str:
        """A page with drawings that needs nothing else, as ``lapilli profile --html`` writes it."""
        return page.to_html(self)

    def __str__(self) -> str:
        return f"{self.model} on {self.chip}: {1e3 * self.npu_seconds:.3f} ms on the NPU, modelled"

    def _repr_html_(self) -> str:
        body = [
            (
                ", ".join(map(str, row["operators"])),
                row["kind"],
                row["on"],
                "" if row["seconds"] is None else f"{1e3 * row['seconds']:.3f}",
                row["bound"] or "",
            )
            for row in rows.operator_rows(self)
        ]
        return _table(str(self), ("#", "operator", "on", "ms", "waits for"), body)


@dataclass(frozen=True)
class DiffResult(Diff):
    """NPU against CPU, operator by operator."""

    def to_dict(self) -> dict[str, Any]:
        """As ``lapilli diff --json`` has it."""
        return report.to_json(self)

    @property
    def same(self) -> bool:
        """Whether no operator alone is off by more than the tolerance."""
        return not self.over(alone=True)

    def __str__(self) -> str:
        return answer_line(self, "")

    def _repr_html_(self) -> str:
        body = [
            (
                layer.operator,
                layer.kind,
                "CPU" if layer.part is None else "NPU",
                "" if layer.alone is None else layer.alone.maximum,
                "" if layer.accumulated is None else layer.accumulated.maximum,
            )
            for layer in self.layers
        ]
        return _table(str(self), ("#", "operator", "on", "alone", "accumulated"), body)


@dataclass(frozen=True)
class RunResult:
    """What a model said. ``outputs``: its tensors, in order; ``classes``: of a classifier, the best
    first; ``detections``: of a detector, with boxes in pixels of the picture, or in parts of the
    input if it was an array; ``seconds``: of the inference here; ``board``: what it is modelled to
    take on the chip that was emulated; ``blocking``: what stayed on the CPU, and why; ``notes``:
    what was assumed."""

    model: str
    device: str
    task: str
    outputs: tuple[NDArray[Any], ...]
    classes: tuple[Score, ...]
    detections: tuple[Detection, ...]
    npu_operators: tuple[int, ...]
    seconds: float
    board: BoardTime | None
    blocking: Blocking | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Without the outputs' values."""
        return {
            "model": self.model,
            "device": self.device,
            "task": self.task,
            "outputs": [
                {"shape": list(values.shape), "dtype": str(values.dtype)} for values in self.outputs
            ],
            "classes": [
                {"class": s.number, "label": s.label, "score": s.score} for s in self.classes
            ],
            "detections": [
                {"class": d.number, "label": d.label, "score": d.score, "box": {**vars(d.box)}}
                for d in self.detections
            ],
            "npu_operators": list(self.npu_operators),
            "seconds": self.seconds,
            "board": self.board.to_dict() if self.board else None,
            "blocking": self.blocking.to_dict() if self.blocking else None,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        found = [f"{_name(s.label, s.number)} {s.score:.3f}" for s in self.classes]
        found += [f"{_name(d.label, d.number)} {d.score:.2f}" for d in self.detections]
        return f"{self.model} on {self.device}: {', '.join(found) or 'no reading of the outputs'}"

    def _repr_html_(self) -> str:
        body = [(_name(s.label, s.number), f"{s.score:.3f}", "") for s in self.classes]
        for d in self.detections:
            box = ", ".join(f"{edge:.4g}" for edge in vars(d.box).values())
            body.append((_name(d.label, d.number), f"{d.score:.2f}", box))
        return _table(str(self), ("class", "score", "left, top, right, bottom"), body)


def _name(label: str, number: int) -> str:
    return label or f"class {number}"
