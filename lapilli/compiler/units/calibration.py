"""Samples that the statistics are taken on: made-up pictures, or the user's.

Made-up pictures: 1/f colour noise with random rectangles and discs over it, always the same ones.
Inputs that are no pictures get noise with the same spectrum along their axes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from lapilli.compiler.units.pictures import Uniform, picture
from lapilli.errors import ModelError, Unsupported
from lapilli.model.graph import Graph, Tensor
from lapilli.reference.arithmetic import Array

_SEED: Final = 20261125


@dataclass(frozen=True, eq=False)
class Calibration:
    """``given``: [samples, *shape] for each input, or None for made-up ones. ``source``: for a
    reader, as in "12 synthetic views"."""

    given: Mapping[int, Array] | None = None
    source: str = "synthetic views"

    @property
    def real(self) -> bool:
        """Whether these are the user's samples."""
        return self.given is not None

    @property
    def digest(self) -> str:
        """Of the samples; empty for made-up ones."""
        if self.given is None:
            return ""
        total = hashlib.sha256()
        for index in sorted(self.given):
            values = np.ascontiguousarray(self.given[index])
            total.update(f"{index} {values.dtype} {values.shape} ".encode())
            total.update(values.tobytes())
        return total.hexdigest()

    def inputs(self, graph: Graph, count: int, seed: int = _SEED) -> Mapping[int, Array]:
        """Values of the graph's inputs, at most ``count`` samples; ``seed`` of made-up ones."""
        if self.given is None:
            return {index: synthetic(graph.tensors[index], count, seed) for index in graph.inputs}
        missing = [i for i in graph.inputs if i not in self.given]
        if missing:
            raise ModelError(f"calibration without input {graph.tensors[missing[0]].name!r}")
        return {index: self.given[index][:count] for index in graph.inputs}


def synthetic(tensor: Tensor, count: int, seed: int = _SEED) -> Array:
    """``count`` samples for an input, over its type's whole range; other samples for another seed.

    The last three dimensions are rows, columns and channels; missing ones are 1.
    """
    uniform = Uniform(seed)
    rows, columns, channels = (1, 1, 1, *tensor.shape)[-3:]
    if len(tensor.shape) == 2:  # a list of features: a line of a picture, not its colours
        rows, columns, channels = 1, tensor.shape[1], 1
    pictures = math.prod(tensor.shape) // max(1, rows * columns * channels)
    levels = np.stack(
        [picture(uniform, rows, columns, channels) for _ in range(count * pictures)]
    ).reshape(count, *tensor.shape)
    if tensor.dtype == "uint8":
        return np.rint(levels * 255).astype(np.uint8)
    if tensor.dtype == "int8":
        return (np.rint(levels * 255) - 128).astype(np.int8)
    if tensor.dtype == "float32":
        return (levels * 2.0 - 1.0).astype(np.float32)
    raise Unsupported(f"made-up samples for input {tensor.name!r} of {tensor.dtype}")
