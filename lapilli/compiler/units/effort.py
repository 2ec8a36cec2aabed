"""How many samples a model can be looked at with: a file of a kilobyte can have images of any size.

Whatever fits is looked at with as many samples as were asked for.
"""

from __future__ import annotations

from typing import Final

from lapilli.errors import Unsupported
from lapilli.model.graph import Graph
from lapilli.model.macs import macs

MOST_VALUES: Final = 1 << 27
"""Of one tensor, in all samples together; each takes up to 50 bytes while it is looked at."""
MOST_WORK: Final = 1 << 31
"""Values of all tensors, in all samples together."""
MOST_MACS: Final = 1 << 40
"""Of a model, for all samples together."""


def affordable(graph: Graph, samples: int) -> int:
    """``samples``, or as many as can be looked at. Raises Unsupported if that is none."""
    made = [graph.tensors[t].size for operator in graph.operators for t in operator.outputs]
    given = [graph.tensors[t].size for t in graph.inputs]
    work = sum(macs(graph, operator) for operator in graph.operators)
    needs = (
        ("values of a tensor", max(*made, *given, 1), MOST_VALUES),
        ("values of all tensors", sum(made) + sum(given), MOST_WORK),
        ("multiplications", work, MOST_MACS),
    )
    for what, one, most in needs:
        if one > most:
            raise Unsupported(f"a sample takes {one} {what}; allowed: {most}")
        samples = min(samples, most // max(one, 1))
    return samples
