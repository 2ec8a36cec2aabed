"""What an inference asks of the CPU beside the NPU, as far as the timing model knows it."""

from __future__ import annotations

from collections.abc import Sequence

from lapilli.model.graph import Graph
from lapilli.model.macs import macs
from lapilli.timing.host import HostWork

POST_PROCESSING = "CUSTOM:TFLite_Detection_PostProcess"
_SCORES = 1
"""Which of its inputs has the scores."""


def host_work(graph: Graph, on_npu: Sequence[bool]) -> HostWork:
    """Multiplications of operators that are not ``on_npu`` (in order), and scores that a detector
    looks at; the other operators are in what every inference takes."""
    left = scores = 0
    for operator, taken in zip(graph.operators, on_npu, strict=True):
        if operator.kind == POST_PROCESSING and len(operator.inputs) > _SCORES:
            scores += graph.tensors[operator.inputs[_SCORES]].size
        elif not taken:
            left += macs(graph, operator)
    return HostWork(left, scores)
