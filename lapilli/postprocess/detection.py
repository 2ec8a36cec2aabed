"""TFLite_Detection_PostProcess: LiteRT's boxes, classes, scores and order, with NumPy.

LOGISTIC and DEQUANTIZE in front of the operator cost nothing here: they only change what the 256
bytes stand for. Compared with LiteRT 2.3 on one thread. With more threads its way of suppressing
each class by itself leaves out one class in some cases, which is not imitated. Versions before 2.2
crash on scores that are no number, and 2.14 of tflite-runtime rounds scores with a zero point in
another way. What LiteRT leaves unwritten is zero here.

Source: LiteRT's ``detection_postprocess.cc``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.model.graph import Quantization
from lapilli.postprocess import boxes, tables
from lapilli.postprocess.boxes import Indices
from lapilli.postprocess.compiled import Loop, LoopSelection, compiled
from lapilli.postprocess.options import DetectionOptions
from lapilli.postprocess.scores import (
    ByteRanks,
    ByteScores,
    FloatScores,
    Scores,
    Scratch,
    byte_ranks,
)
from lapilli.postprocess.selection import BatchSelection, Selection
from lapilli.postprocess.suppression import Limits, Suppression

_MOST_OF_ALL_CLASSES = 512
"""Detections up to which boxes of all classes are compared at once; among more, most of those
compared would be of other classes."""


@dataclass(frozen=True)
class Values:
    """A tensor: its stored type and what its bytes stand for, None for float32."""

    dtype: str
    quantization: Quantization | None = None

    def real(self) -> NDArray[np.float32] | None:
        """The real value of each byte."""
        if self.quantization is None:
            return None
        return tables.real_values(self.dtype, self.quantization)


@dataclass(frozen=True, eq=False)
class Detections:
    """The four outputs: [slots, 4] edges (top, left, bottom, right), [slots] classes and scores,
    [1] how many boxes there are; all float32."""

    edges: NDArray[np.float32]
    classes: NDArray[np.float32]
    scores: NDArray[np.float32]
    count: NDArray[np.float32]


class DetectionPostProcess:
    """The operator for one model.

    ``encodings``, ``scores`` and ``anchors`` say how these tensors are stored, ``shape`` is that of
    the scores, [anchors, columns]; ``raw_scores``: what a LOGISTIC makes the scores of, if that is
    what ``run`` gets; ``dequantized``: a DEQUANTIZE stands between them and the operator, which
    rounds in another way; ``later_first``: where each class is suppressed by itself, the later of
    two with equal scores comes first. An instance serves one inference at a time.
    """

    def __init__(
        self,
        options: DetectionOptions,
        encodings: Values,
        scores: Values,
        anchors: Values,
        shape: tuple[int, int],
        raw_scores: Values | None = None,
        dequantized: bool = False,
        later_first: bool = False,
    ) -> None:
        self.options = options
        self._later_first = later_first
        self._first = shape[1] - options.classes
        self._anchor_values = anchors.real()
        self._shares: NDArray[np.float64] | None = None
        encoded = encodings.real()
        if encoded is not None:
            self._shares = boxes.share_table(encoded, options)
        self._tables: tuple[NDArray[np.float32], ...] = ()
        self._ranks: ByteRanks | None = None
        self._scratch = Scratch(0)
        if scores.quantization is not None:
            self._read_scores(scores.dtype, scores.quantization, raw_scores, shape, dequantized)
        limit = min(options.max_detections, shape[0] * (options.classes if options.regular else 1))
        of_a_class = min(options.detections_per_class, limit) if options.regular else limit
        self._each_class = options.regular and limit > _MOST_OF_ALL_CLASSES
        if self._each_class:
            limit = of_a_class = min(of_a_class, shape[0])
        self._limits = Limits(options.overlap_threshold, limit, of_a_class)
        self._suppression: Suppression | None = None
        self._loop: Loop | None = None
        self._anchors: NDArray[np.float64] | None = None
        self._suspects = np.empty(0, np.intp)

    def _read_scores(
        self,
        dtype: str,
        quantization: Quantization,
        raw: Values | None,
        shape: tuple[int, int],
        dequantized: bool,
    ) -> None:
        """Work out what the bytes of quantised scores stand for."""
        last = real = tables.real_values(dtype, quantization)
        if not dequantized:
            real = tables.scores_by_eights(dtype, quantization)
        if raw is not None and raw.quantization is not None:
            through = tables.logistic(raw.dtype, raw.quantization)
            last, real = last.take(through), real.take(through)
        if shape[0] * shape[1] % 8 and not np.array_equal(last, real):
            self._tables = real, last
            return
        self._ranks = byte_ranks(dtype, real, self.options.score_threshold)
        self._scratch = Scratch(shape[0] * shape[1])

    def set_anchors(self, anchors: NDArray[Any]) -> None:
        """[anchors, 4] as stored; once for constants, else before each inference."""
        values = self._anchor_values
        real = anchors if values is None else values.take(anchors.view(np.uint8))
        self._anchors = np.ascontiguousarray(real.T, np.float64)
        self._suspects = boxes.negative_anchors(self._anchors)

    def compile(self) -> None:
        """Have quantised boxes selected by a compiled loop from now on: several times as fast, once
        numba is imported and has compiled it. Raises UsageError without numba."""
        self._loop = compiled()

    def empty(self) -> Detections:
        """Room for what ``run`` finds."""
        slots = self.options.max_detections * self.options.max_classes_per_detection
        return Detections(
            np.zeros((slots, 4), np.float32),
            np.zeros(slots, np.float32),
            np.zeros(slots, np.float32),
            np.zeros(1, np.float32),
        )

    def run(self, encodings: NDArray[Any], scores: NDArray[Any], found: Detections) -> None:
        """One inference; everything in ``found`` is written. Raises ModelError where LiteRT fails,
        for boxes that are inside out."""
        with np.errstate(all="ignore"):
            selection = self._selection(encodings)
            ordered = self._scores(scores)
            for array in (found.edges, found.classes, found.scores):
                array[...] = 0
            if self.options.regular:
                found.count[0] = self._regular(selection, ordered, found)
            else:
                found.count[0] = self._fast(selection, ordered, found)

    def _selection(self, encodings: NDArray[Any]) -> Selection:
        """What selects among the boxes of this inference, which are checked before."""
        assert self._anchors is not None
        shares, anchors = self._shares, self._anchors
        stored: NDArray[Any] = encodings if shares is None else encodings.view(np.uint8)
        if shares is None:
            decode = boxes.float_decoder(stored, self.options, anchors)
        else:
            decode = boxes.quantised_decoder(stored, shares, anchors)
        boxes.check_inside_out(decode, self._suspects)
        if self._loop is not None and shares is not None:
            return LoopSelection(self._loop, stored, shares, anchors, self._limits)
        if self._suppression is None:
            self._suppression = Suppression(self._limits)
        return BatchSelection(decode, self._suppression)

    def _scores(self, scores: NDArray[Any]) -> Scores:
        if self._tables:
            values, last = (table.take(scores.view(np.uint8)) for table in self._tables)
            rest = scores.size // 8 * 8
            values.reshape(-1)[rest:] = last.reshape(-1)[rest:]
            scores = values
        if self._ranks is None:
            listed = min(self.options.max_classes_per_detection, self.options.classes)
            threshold = np.float32(self.options.score_threshold)
            return FloatScores(scores, self._first, threshold, listed, self._later_first)
        return ByteScores(scores, self._first, self._ranks, self._scratch, self._later_first)

    def _fast(self, selection: Selection, scores: Scores, found: Detections) -> int:
        """All classes compete for a box; the best classes of each box are listed."""
        order = scores.best_anchors()
        selection.restart()
        selected = selection.select(order, None)
        count, listed = len(selected.positions), self.options.max_classes_per_detection
        if count:
            columns = min(listed, self.options.classes)
            anchors = order.take(selected.positions)
            best = scores.best_classes(anchors, columns)
            classes, values = (a.reshape(-1, listed) for a in (found.classes, found.scores))
            found.edges.reshape(-1, listed, 4)[:count, :columns] = selected.edges[:, None]
            classes[:count, :columns] = best
            values[:count, :columns] = scores.values(anchors[:, None], best)
        return count

    def _regular(self, selection: Selection, scores: Scores, found: Detections) -> int:
        """Each class by itself; the best of all are listed."""
        count = 0
        for anchors, classes, edges in self._best_of_each_class(selection, scores):
            end = min(count + len(anchors), self.options.max_detections)
            new = slice(0, end - count)
            found.edges[count:end] = edges[new]
            found.classes[count:end] = classes[new]
            found.scores[count:end] = scores.values(anchors[new], classes[new])
            count = end
        return count

    def _best_of_each_class(
        self, selection: Selection, scores: Scores
    ) -> Iterator[tuple[Indices, Indices, NDArray[np.float32]]]:
        """Anchors, classes and edges of what stays, best first."""
        selection.restart()
        if not self._each_class:
            for anchors, classes in scores.all_hits():
                selected = selection.select(anchors, classes)
                yield anchors[selected.positions], classes[selected.positions], selected.edges
                if selection.full:
                    return
            return
        hits = list(scores.all_hits())
        if not hits:
            return
        anchors, classes = (np.concatenate(columns) for columns in zip(*hits, strict=True))
        positions, edges = [], []
        for number in np.unique(classes):
            own = np.flatnonzero(classes == number)
            selection.restart()
            selected = selection.select(anchors[own], None)
            positions.append(own[selected.positions])
            edges.append(selected.edges.copy())
        kept = np.concatenate(positions)
        order = np.argsort(kept)
        yield anchors[kept[order]], classes[kept[order]], np.concatenate(edges)[order]
