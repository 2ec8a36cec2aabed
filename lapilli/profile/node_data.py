"""Times as Model Explorer's node data, so that a graph can be coloured by them.

Model Explorer knows a node of a .tflite by its output tensors' names, or by its id, the operator's
index; a graph is called as the file's main subgraph, ``main``.
"""

from __future__ import annotations

from collections import Counter
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

    An operator is named by its outputs, or by its index where these names are empty or those of
    other outputs as well. CPU operators that were measured together have no value of their own and
    are left out. Raises UsageError for programs and recordings, which have no tensor names.
    """
    if profile.source != "model":
        raise UsageError(
            f"node data needs a model's tensor names; {profile.model} is a {profile.source}"
        )
    results: dict[str, dict[str, float]] = {}
    common = Counter(name for names in profile.output_names.values() for name in names)
    for op in profile.operators:
        if len(op.operators) == 1 and op.seconds is not None:
            index = op.operators[0]
            for name in profile.output_names.get(index, ()):
                key = name if name and common[name] == 1 else str(index)
                results[key] = {"value": round(op.seconds * 1e3, 6)}
    return {graph: {"results": results, "gradient": [dict(stop) for stop in GRADIENT]}}
