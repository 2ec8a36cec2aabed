"""Times as Model Explorer's node data, so that a graph can be coloured by them.

Model Explorer knows a node of a .tflite by its output tensors' names; a graph is called as the
file's main subgraph, ``main``.
"""

from __future__ import annotations

from typing import Any

from lapilli.errors import UsageError
from lapilli.profile.events import Profile

GRAPH = "main"
GRADIENT = (
    {"stop": 0.0, "bgColor": "#f5f7fa", "textColor": "black"},
    {"stop": 0.5, "bgColor": "#fdae61", "textColor": "black"},
    {"stop": 1.0, "bgColor": "#b2182b", "textColor": "white"},
)


def to_node_data(profile: Profile, graph: str = GRAPH) -> dict[str, Any]:
    """``{graph: {"results": {tensor: {"value": milliseconds}}, "gradient": ...}}``.

    CPU operators that were measured together have no value of their own and are left out. Raises
    UsageError for programs and recordings, which have no tensor names.
    """
    if profile.source != "model":
        raise UsageError(
            f"node data needs a model's tensor names; {profile.model} is a {profile.source}"
        )
    results: dict[str, dict[str, float]] = {}
    for op in profile.operators:
        if len(op.operators) == 1 and op.seconds is not None:
            for name in profile.output_names.get(op.operators[0], ()):
                results[name] = {"value": round(op.seconds * 1e3, 6)}
    return {graph: {"results": results, "gradient": [dict(stop) for stop in GRADIENT]}}
