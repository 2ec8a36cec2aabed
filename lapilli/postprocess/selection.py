"""Candidates, best first, decoded and offered to the suppression until it has enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lapilli.postprocess.boxes import Decode, Indices
from lapilli.postprocess.suppression import BATCH, Suppression

_DECODED = 3 * BATCH
"""Boxes decoded at once."""


@dataclass(frozen=True, eq=False)
class Selected:
    """Positions, in a sequence of candidates, of those that stay, and their [n, 4] edges."""

    positions: Indices
    edges: NDArray[np.float32]


class Selection(Protocol):
    """What selects in one inference."""

    @property
    def full(self) -> bool:
        """No further candidate would stay."""

    def restart(self) -> None:
        """Forget all boxes."""

    def select(self, anchors: Indices, classes: Indices | None, /) -> Selected:
        """Those of the next candidates that stay. ``classes`` None: they are of one class."""


@dataclass(frozen=True, eq=False)
class BatchSelection:
    """With NumPy, many boxes at once."""

    decode: Decode
    suppression: Suppression

    @property
    def full(self) -> bool:
        """See ``Selection``."""
        return self.suppression.full

    def restart(self) -> None:
        """See ``Selection``."""
        self.suppression.restart()

    def select(self, anchors: Indices, classes: Indices | None) -> Selected:
        """See ``Selection``."""
        suppression = self.suppression
        positions, edges = [], []
        for start in range(0, len(anchors), _DECODED):
            if suppression.full:
                break
            low, high = self.decode(anchors[start : start + _DECODED])
            for first in range(0, low.shape[1], BATCH):
                if suppression.full:
                    break
                batch = slice(first, first + BATCH)
                groups = None if classes is None else classes[start:][batch].astype(np.int32)
                kept = suppression.keep(low[:, batch], high[:, batch], groups)
                kept += first
                edges.append(np.concatenate((low.take(kept, 1), high.take(kept, 1))).T)
                positions.append(kept + start)
        if not positions:
            return Selected(np.empty(0, np.intp), np.empty((0, 4), np.float32))
        return Selected(np.concatenate(positions), np.concatenate(edges))
