"""What checks of operators share: scales that can be computed with, and words for messages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lapilli.model.flatbuffer import Table, shown
from lapilli.model.graph import Tensor


def some(indices: Sequence[int]) -> str:
    """A list of indices that may be long."""
    return str(list(indices)) if len(indices) <= 8 else f"{len(indices)} tensors"


def described(tensor: Tensor) -> str:
    """A tensor by index and name."""
    return f"tensor {tensor.index} {shown(tensor.name)}"


def check_scales(operator: Table, tensors: Sequence[Tensor]) -> None:
    """Raise for a scale that can't be computed with; other operators' may be anything."""
    for tensor in tensors:
        if tensor.quantization is None or tensor.dtype.startswith("float"):
            continue
        scales = tensor.quantization.scales
        # Many operators may share one tensor with many scales.
        operator.file.spend(4 * len(scales), operator.where)
        for scale in scales:
            if not 0 < scale < math.inf:
                operator.fail(f"scale {scale} of {described(tensor)}", "finite, above 0")
