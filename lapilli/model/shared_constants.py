"""Whether operators ask to look at more constants than a file of that size may stand for."""

from __future__ import annotations

from collections.abc import Sequence

from lapilli.model.flatbuffer import File, shown
from lapilli.model.graph import Operator, Tensor
from lapilli.model.limits import MOST_NAMED_BYTES, NAMED_SHARE


def check_shared_constants(
    file: File, operators: Sequence[Operator], tensors: Sequence[Tensor]
) -> None:
    """Raise unless the constants that ``operators`` read are small together, or no more than a
    multiple of the file."""
    allowed = max(MOST_NAMED_BYTES, NAMED_SHARE * file.size)
    total = 0
    for operator in operators:
        for index in operator.inputs:
            data = tensors[index].data if index >= 0 else None
            total += 0 if data is None else data.nbytes
        if total > allowed:
            file.fail(
                f"operator {operator.index} {shown(operator.kind)}",
                f"{total} bytes of constants that it and those before it read, in a file of "
                f"{file.size}",
                f"{allowed}",
            )
