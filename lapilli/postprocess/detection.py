"""TFLite_Detection_PostProcess: LiteRT's boxes, classes, scores and order, with NumPy.

LOGISTIC and DEQUANTIZE in front of the operator cost nothing here: they only change what the 256
bytes stand for. Compared with LiteRT on one thread. With more threads LiteRT's way of suppressing
each class by itself leaves out one class in some cases, which is not imitated; what LiteRT leaves
unwritten is zero here.

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
from lapilli.postprocess.boxes import Decode, Edges, Indices
from lapilli.postprocess.options import DetectionOptions
from lapilli.postprocess.scores import (
    ByteRanks,
    ByteScores,
    FloatScores,
    Scores,
    Scratch,
    byte_ranks,
)
from lapilli.postprocess.suppression import BATCH, Suppression

_DECODED = 3 * BATCH
"""Boxes decoded at once."""


@dataclass(frozen=True)
class Values:
    """A tensor: its stored type and what its bytes stand for, None for float32."""

    dtype: str
    quantization: Quantization | None = None

    def real(self) -> NDArray[np.float32] | None:
        """The real value of each byte."""
        return None if self.quantization is None else tables.real_values(
            self.dtype, self.quantization
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Detections:
    """[boxes, 4] edges, [boxes] classes and scores, float32, and how many boxes there are."""

    edges: NDArray[np.float32]
    classes: NDArray[np.float32]
    scores: NDArray[np.float32]
    count: int


class DetectionPostProcess:
    """The operator for one model.

    ``encodings`` and ``scores`` are [anchors, 4 or more] and [anchors, columns] tensors, ``anchors``
    [anchors, 4], as they are stored; ``raw_scores`` is what goes through a LOGISTIC to become
    ``scores``. An instance serves one inference at a time.
    """

    def __init__(
        self,
        options: DetectionOptions,
        encodings: Values,
        scores: Values,
        anchors: Values,
        shape: tuple[int, int],
        raw_scores: Values | None = None,
    ) -> None:
        self.options = options
        self._first = shape[1] - options.classes
        self._anchor_values = anchors.real()
        self._shares: NDArray[np.float64] | None = None
        encoded = encodings.real()
        if encoded is not None:
            self._shares = boxes.share_table(encoded, options)
        self._ranks: ByteRanks | None = None
        self._scratch: Scratch | None = None
        real = scores.real()
        if real is not None:
            dtype = scores.dtype
            if raw_scores is not None:
                assert raw_scores.quantization is not None
                real = real.take(tables.logistic(raw_scores.dtype, raw_scores.quantization))
            self._ranks = byte_ranks(dtype, real, options.score_threshold)
            self._scratch = Scratch(shape[0] * shape[1])
        limit = options.max_detections
        of_a_class = min(options.detections_per_class, limit) if options.regular else limit
        self._suppression = Suppression(options.overlap_threshold, limit, of_a_class)
        self._anchors: NDArray[np.float64] | None = None
        self._suspects = np.empty(0, np.intp)

    def set_anchors(self, anchors: NDArray[Any]) -> None:
        """[anchors, 4] as stored; once for constants, else before each inference."""
        values = self._anchor_values
        real = anchors if values is None else values.take(anchors.view(np.uint8))
        self._anchors = np.ascontiguousarray(real.T, np.float64)
        self._suspects = boxes.negative_anchors(self._anchors)

    def run(self, encodings: NDArray[Any], scores: NDArray[Any]) -> Detections:
        """One inference. Raises ModelError where LiteRT fails, for boxes that are inside out."""
        with np.errstate(all="ignore"):
            decode = self._decoder(encodings)
            boxes.check_inside_out(decode, self._suspects)
            ordered = self._scores(scores)
            self._suppression.restart()
            if self.options.regular:
                return self._regular(decode, ordered)
            return self._fast(decode, ordered)

    def _decoder(self, encodings: NDArray[Any]) -> Decode:
        assert self._anchors is not None
        if self._shares is None:
            return boxes.float_decoder(encodings, self.options, self._anchors)
        return boxes.quantised_decoder(encodings.view(np.uint8), self._shares, self._anchors)

    def _scores(self, scores: NDArray[Any]) -> Scores:
        if self._ranks is None or self._scratch is None:
            return FloatScores(scores, self._first, np.float32(self.options.score_threshold))
        return ByteScores(scores, self._first, self._ranks, self._scratch)

    def _kept(
        self, decode: Decode, anchors: Indices, classes: Indices | None
    ) -> Iterator[tuple[Indices, Edges, Edges]]:
        """Those of the candidates that stay, batch by batch: which, and their edges."""
        for start in range(0, len(anchors), _DECODED):
            low, high = decode(anchors[start : start + _DECODED])
            for inner in range(0, low.shape[1], BATCH):
                if self._suppression.full:
                    return
                batch = slice(inner, inner + BATCH)
                groups = None
                if classes is not None:
                    groups = classes[start:][batch].astype(np.int32)
                kept = self._suppression.keep(low[:, batch], high[:, batch], groups)
                yield kept + (start + inner), low[:, batch][:, kept], high[:, batch][:, kept]

    def _fast(self, decode: Decode, scores: Scores) -> Detections:
        """All classes compete for a box; the best classes of each box are listed."""
        options = self.options
        order = scores.best_anchors()
        found = list(self._kept(decode, order, None))
        count = sum(len(kept) for kept, _, _ in found)
        listed = options.max_classes_per_detection
        shape = (options.max_detections, listed)
        edges = np.zeros((*shape, 4), np.float32)
        classes, values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        if count:
            columns = min(listed, options.classes)
            anchors = order[np.concatenate([kept for kept, _, _ in found])]
            best = scores.best_classes(anchors, columns)
            edges[:count, :columns, :2] = np.concatenate([e for _, e, _ in found], 1).T[:, None]
            edges[:count, :columns, 2:] = np.concatenate([e for _, _, e in found], 1).T[:, None]
            classes[:count, :columns] = best
            values[:count, :columns] = scores.values(anchors[:, None], best)
        return Detections(edges.reshape(-1, 4), classes.reshape(-1), values.reshape(-1), count)

    def _regular(self, decode: Decode, scores: Scores) -> Detections:
        """Each class by itself; the best of all are listed."""
        slots = self.options.max_detections * self.options.max_classes_per_detection
        edges = np.zeros((slots, 4), np.float32)
        classes, values = np.zeros(slots, np.float32), np.zeros(slots, np.float32)
        count = 0
        for anchors, of_class in scores.all_hits():
            for kept, low, high in self._kept(decode, anchors, of_class):
                end = count + len(kept)
                edges[count:end, :2], edges[count:end, 2:] = low.T, high.T
                classes[count:end] = of_class[kept]
                values[count:end] = scores.values(anchors[kept], of_class[kept])
                count = end
            if self._suppression.full:
                break
        return Detections(edges, classes, values, count)
