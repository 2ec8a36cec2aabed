"""Words that checks of operators have in common."""

from __future__ import annotations

from collections.abc import Sequence

from lapilli.model.flatbuffer import shown
from lapilli.model.graph import Tensor


def some(indices: Sequence[int]) -> str:
    """A list of indices that may be long."""
    return str(list(indices)) if len(indices) <= 8 else f"{len(indices)} tensors"


def described(tensor: Tensor) -> str:
    """A tensor by index and name."""
    return f"tensor {tensor.index} {shown(tensor.name)}"
