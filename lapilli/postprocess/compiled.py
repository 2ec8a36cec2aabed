"""Decoding and suppression as one plain loop, compiled by numba for who asks for it.

NumPy compares whole batches, and pays for pairs that a loop would never look at. Importing numba
takes longer than thousands of inferences save, so nobody gets the loop unasked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import UsageError
from lapilli.postprocess.boxes import Indices
from lapilli.postprocess.selection import Selected
from lapilli.postprocess.suppression import Limits

Loop = Callable[..., int]


@cache
def compiled() -> Loop:
    """``_keep`` in machine code. Raises UsageError without numba."""
    try:
        from numba import njit
    except ImportError as error:
        raise UsageError(
            f"compiled post-processing needs numba: {error}; install lapilli[fast]"
        ) from error
    try:
        loop: Loop = njit(cache=True, error_model="numpy")(_keep)
    except RuntimeError:  # no folder to keep the machine code in
        loop = njit(error_model="numpy")(_keep)
    return loop


class LoopSelection:
    """With a compiled loop, box by box; a ``Selection`` for quantised encodings.

    ``encodings``: [anchors, 4 or more] bytes, ``table``: their shares (``boxes.share_table``),
    ``anchors``: [4, anchors].
    """

    def __init__(
        self,
        loop: Loop,
        encodings: NDArray[np.uint8],
        table: NDArray[np.float64],
        anchors: NDArray[np.float64],
        limits: Limits,
    ) -> None:
        self._loop = loop
        self._boxes = encodings, table, anchors
        self._limits = limits
        self._overlap = np.float32(limits.overlap)
        self._positions = np.empty(limits.boxes, np.intp)
        self._groups = np.empty(limits.boxes, np.intp)
        self._kept_boxes = np.empty((limits.boxes, 5), np.float32)
        self._kept = 0

    @property
    def full(self) -> bool:
        """See ``Selection``."""
        return self._kept >= self._limits.boxes

    def restart(self) -> None:
        """See ``Selection``."""
        self._kept = 0

    def select(self, anchors: Indices, classes: Indices | None) -> Selected:
        """See ``Selection``."""
        first = self._kept
        self._kept = self._loop(
            anchors,
            anchors[:0] if classes is None else classes,
            *self._boxes,
            self._overlap,
            self._limits.of_a_group,
            first,
            self._positions,
            self._groups,
            self._kept_boxes,
        )
        new = slice(first, self._kept)
        return Selected(self._positions[new], self._kept_boxes[new, :4])


def _keep(
    order: Indices,
    groups: Indices,
    encodings: NDArray[np.uint8],
    table: NDArray[np.float64],
    anchors: NDArray[np.float64],
    overlap: Any,
    of_a_group: int,
    kept: int,
    positions: Indices,
    kept_groups: Indices,
    boxes: NDArray[np.float32],
) -> int:
    """How many boxes are kept after those of ``order``, whose anchors come best first.

    ``groups``: the class of each, or nothing if they are of one. ``kept`` boxes are there before;
    ``positions`` (in ``order``), ``kept_groups`` and ``boxes`` (edges and area) are written.
    """
    limit, one_group = len(positions), len(groups) == 0
    for position in range(len(order)):
        if kept == limit:
            break
        index = order[position]
        group = 0 if one_group else groups[position]
        code = encodings[index]
        height, width = anchors[2, index], anchors[3, index]
        y = np.float32(table[code[0]] * height + anchors[0, index])
        x = np.float32(table[256 + code[1]] * width + anchors[1, index])
        half_height = np.float32(table[512 + code[2]] * height)
        half_width = np.float32(table[768 + code[3]] * width)
        top, left, bottom, right = y - half_height, x - half_width, y + half_height, x + half_width
        area = (bottom - top) * (right - left)
        stays, in_group = True, 0
        for other in range(kept):
            if not one_group:
                if kept_groups[other] != group:
                    continue
                in_group += 1
            low, high = max(top, boxes[other, 0]), min(bottom, boxes[other, 2])
            near, far = max(left, boxes[other, 1]), min(right, boxes[other, 3])
            if high > low and far > near and area > 0 and boxes[other, 4] > 0:
                common = (high - low) * (far - near)
                if common / (area + boxes[other, 4] - common) > overlap:
                    stays = False
                    break
        if stays and (one_group or in_group < of_a_group):
            positions[kept], kept_groups[kept] = position, group
            boxes[kept, 0], boxes[kept, 1], boxes[kept, 2], boxes[kept, 3] = (
                top,
                left,
                bottom,
                right,
            )
            boxes[kept, 4] = area
            kept += 1
    return kept
