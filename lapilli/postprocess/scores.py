"""Candidates for detections in order: scores from the highest, among equals as LiteRT has them.

Quantised scores stay bytes until a box is kept. A byte's rank says how many different real values
there are below its own; bytes of one rank are equals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lapilli.postprocess.boxes import Indices
from lapilli.postprocess.partial_sort import partial_sort

Candidates = tuple[Indices, Indices]
"""Anchors and classes (behind the background) of some candidates, in order."""
_FIRST_HITS: Final = 1024
"""Candidates above which the best are sorted first, and the others only if need be."""
_FEW_CLASSES: Final = 8


class Scores(Protocol):
    """The scores of one inference, [anchors, columns]."""

    def best_anchors(self) -> Indices:
        """Anchors whose best class is at or above the threshold: best first, then the lower."""

    def all_hits(self) -> Iterator[Candidates]:
        """Everything at or above the threshold: best first, then the lower class, the lower
        anchor."""

    def best_classes(self, anchors: Indices, count: int) -> Indices:
        """[anchors, count]: their best classes, equals in LiteRT's order."""

    def values(self, anchors: Indices, classes: Indices) -> NDArray[np.float32]:
        """Real scores."""


class Scratch:
    """Memory for the passes over all scores, kept from one inference to the next."""

    def __init__(self, size: int) -> None:
        self.buffers = np.empty(size, np.uint8), np.empty(size, np.uint8)
        self.flags = np.empty(size, bool)


def row_maxima(table: NDArray[Any], first: int, scratch: Scratch) -> NDArray[Any]:
    """The largest element of each row from column ``first`` on; ``table`` is of one-byte integers.

    NumPy's own maximum along short rows takes twice as long: here maxima of 2, 4, 8 ... neighbours
    are formed across the whole table, until a few of them make up a row.
    """
    rows, columns = table.shape
    count = columns - first
    if count < _FEW_CLASSES or not table.flags.c_contiguous:
        found: NDArray[Any] = table[:, first:].max(axis=1)
        return found
    neighbours, width, turn = table.reshape(-1), 1, 0
    while 4 * width <= count:
        size = neighbours.size - width
        out = scratch.buffers[turn][:size].view(table.dtype)
        neighbours = np.maximum(neighbours[:size], neighbours[width:], out=out)
        width, turn = 2 * width, 1 - turn
    starts = [*range(first, columns - width, width), columns - width]
    result = neighbours[starts[0] :: columns][:rows].copy()
    for start in starts[1:]:
        np.maximum(result, neighbours[start::columns][:rows], out=result)
    return result


def _by_class(flat: Indices, columns: int, first: int) -> Candidates:
    anchors, classes = np.divmod(flat, columns)
    classes -= first
    return anchors, classes


def _best_columns(values: NDArray[Any], count: int) -> Indices:
    """[rows, count]: columns of each row's highest values, equals in LiteRT's order."""
    inverted = np.iinfo(values.dtype).max - values if values.dtype.kind == "u" else -values
    order = np.argsort(inverted, axis=1, kind="stable")
    # Who comes next counts as well: an equal of the last one might be in its place.
    leading = np.take_along_axis(values, order[:, : count + 1], 1)
    best = order[:, :count]
    unclear = (leading[:, 1:] == leading[:, :-1]).any(axis=1)
    if values.dtype.kind == "f":
        unclear |= np.isnan(values).any(axis=1)
    for row in np.flatnonzero(unclear):
        best[row] = partial_sort(values[row].tolist(), count)
    return best


@dataclass(frozen=True, eq=False)
class ByteRanks:
    """What a tensor's bytes are worth. ``real``, ``rank`` and ``falling``, which is 255 less the
    rank, are indexed by the byte;
    ``lowest_of_rank`` is the lowest stored value of each rank, ``threshold`` the lowest rank that
    counts, 256 if none does."""

    real: NDArray[np.float32]
    rank: NDArray[np.uint8]
    falling: NDArray[np.uint8]
    lowest_of_rank: NDArray[Any]
    threshold: int


def byte_ranks(dtype: str, real: NDArray[np.float32], threshold: float) -> ByteRanks:
    """``real``: the real value of each byte, growing with the stored value."""
    order = np.argsort(np.arange(256, dtype=np.uint8).view(dtype), kind="stable")
    different, ranks = np.unique(real[order], return_inverse=True)
    rank = np.empty(256, np.uint8)
    rank[order] = ranks
    stored = order.astype(np.uint8).view(dtype)
    first = np.searchsorted(ranks, np.arange(len(different)))
    above = np.flatnonzero(different >= np.float32(threshold))
    return ByteRanks(
        real, rank, np.uint8(255) - rank, stored[first], int(above[0]) if len(above) else 256
    )


@dataclass(frozen=True, eq=False)
class ByteScores:
    """Quantised scores; ``table`` is [anchors, columns] of uint8 or int8, ``first`` the column of
    class 0. ``later_first``: of equals the later class comes first in ``all_hits``."""

    table: NDArray[Any]
    first: int
    ranks: ByteRanks
    scratch: Scratch
    later_first: bool = False

    def best_anchors(self) -> Indices:
        """See ``Scores``."""
        if self.ranks.threshold > 255:
            return np.empty(0, np.intp)
        best = row_maxima(self.table, self.first, self.scratch).view(np.uint8)
        falling = self.ranks.falling.take(best)
        order = np.argsort(falling, kind="stable")
        if self.ranks.threshold > 0:
            order = order[: np.count_nonzero(falling <= 255 - self.ranks.threshold)]
        return order

    def all_hits(self) -> Iterator[Candidates]:
        """See ``Scores``."""
        if self.ranks.threshold > 255:
            return
        table, columns = self.table, self.table.shape[1]
        flags = self.scratch.flags.reshape(table.shape)
        np.greater_equal(table, self.ranks.lowest_of_rank[self.ranks.threshold], out=flags)
        if self.first:
            flags[:, : self.first] = False
        hits = np.flatnonzero(flags)
        rank = self.ranks.rank.take(table.reshape(-1).take(hits).view(np.uint8))
        while len(hits):
            least = 0
            if len(hits) > _FIRST_HITS:
                counts = np.bincount(rank, minlength=256)[::-1].cumsum()
                least = 255 - int(np.searchsorted(counts, _FIRST_HITS))
            now = rank >= least
            anchors, classes = _by_class(hits[now], columns, self.first)
            equals = -classes if self.later_first else classes
            order = np.lexsort((anchors, equals, np.uint8(255) - rank[now]))
            yield anchors[order], classes[order]
            later = ~now
            hits, rank = hits[later], rank[later]

    def best_classes(self, anchors: Indices, count: int) -> Indices:
        """See ``Scores``."""
        rows = self.table.take(anchors, axis=0)[:, self.first :]
        if count > 1:
            return _best_columns(self.ranks.rank.take(rows.view(np.uint8)), count)
        # The first that is worth as much as the best, which may be a higher byte.
        rank = self.ranks.rank.take(rows.max(axis=1).view(np.uint8))
        found: Indices = (rows >= self.ranks.lowest_of_rank.take(rank)[:, None]).argmax(axis=1)
        return found[:, None]

    def values(self, anchors: Indices, classes: Indices) -> NDArray[np.float32]:
        """See ``Scores``."""
        stored = self.table[anchors, classes + self.first]
        return self.ranks.real.take(stored.view(np.uint8))


@dataclass(frozen=True, eq=False)
class FloatScores:
    """Scores as they are. What is no number is never a candidate, but is compared as LiteRT
    compares it, which matters for what else the box has. ``listed``: classes listed of a box,
    ``later_first`` as above."""

    table: NDArray[np.float32]
    first: int
    threshold: np.float32
    listed: int
    later_first: bool = False

    def best_anchors(self) -> Indices:
        """See ``Scores``."""
        scores = self.table[:, self.first :]
        best = scores.max(axis=1)
        undefined = np.flatnonzero(np.isnan(best))
        if len(undefined):
            leading = self.best_classes(undefined, self.listed)[:, 0]
            best[undefined] = scores[undefined, leading]
        order = np.argsort(-best, kind="stable")
        return order[: np.count_nonzero(best >= self.threshold)]

    def all_hits(self) -> Iterator[Candidates]:
        """See ``Scores``."""
        columns = self.table.shape[1]
        flags = self.table >= self.threshold
        if self.first:
            flags[:, : self.first] = False
        hits = np.flatnonzero(flags)
        values = self.table.reshape(-1).take(hits)
        while len(hits):
            least = values.min()
            if len(hits) > _FIRST_HITS:
                least = np.partition(values, len(hits) - _FIRST_HITS)[-_FIRST_HITS]
            now = values >= least
            anchors, classes = _by_class(hits[now], columns, self.first)
            equals = -classes if self.later_first else classes
            order = np.lexsort((anchors, equals, -values[now]))
            yield anchors[order], classes[order]
            later = ~now
            hits, values = hits[later], values[later]

    def best_classes(self, anchors: Indices, count: int) -> Indices:
        """See ``Scores``."""
        rows = self.table.take(anchors, axis=0)[:, self.first :]
        if count > 1:
            return _best_columns(rows, count)
        found: Indices = np.where(np.isnan(rows), -np.inf, rows).argmax(axis=1)
        return found[:, None]

    def values(self, anchors: Indices, classes: Indices) -> NDArray[np.float32]:
        """See ``Scores``."""
        found: NDArray[np.float32] = self.table[anchors, classes + self.first]
        return found
