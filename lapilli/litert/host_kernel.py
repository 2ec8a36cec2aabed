"""A detector's post-processing in one interpreter, done on the host in place of LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.errors import Unsupported
from lapilli.litert.callbacks import DelegateCalls
from lapilli.litert.kernel import Border
from lapilli.litert.runtime import lists_later_class_first
from lapilli.litert.runtime_graph import resize, tensor_at, values_of
from lapilli.model.graph import Graph
from lapilli.postprocess.detection import Detections
from lapilli.postprocess.plan import Plan


class HostKernel:
    """Computes ``plan`` of ``graph``, whose constants are read now; if ``compiled``, with the loop
    that numba compiles."""

    def __init__(self, owner: DelegateCalls, graph: Graph, plan: Plan, compiled: bool) -> None:
        self.owner = owner
        self._process = plan.build(graph, lists_later_class_first())
        if compiled:
            self._process.compile()
        self._encodings, self._scores = (
            _border(graph, tensor) for tensor in (plan.encodings, plan.scores)
        )
        anchors = graph.tensors[plan.anchors]
        self._anchors = None if anchors.data is not None else _border(graph, plan.anchors)
        if anchors.data is not None:
            self._process.set_anchors(np.asarray(anchors.data))
        self._outputs = [
            Border(tensor, shape, "float32")
            for tensor, shape in zip(plan.outputs, plan.output_shapes, strict=True)
        ]
        self._found: Detections | None = None
        self._addresses: tuple[int, ...] = ()

    def prepare(self, context: Any) -> None:
        """Give the outputs their shapes, which a file need not have."""
        inputs = [self._encodings, self._scores, *([self._anchors] if self._anchors else [])]
        for border in inputs:
            shape = values_of(tensor_at(context, border.index).dims)
            if shape != border.shape:
                raise Unsupported(
                    f"tensor {border.index} was {border.shape} when its operators were taken and "
                    f"is {shape} now; resize inputs before allocate_tensors()"
                )
        for border in self._outputs:
            resize(context, border.index, border.shape)

    def invoke(self, context: Any) -> None:
        """Read where LiteRT has the inputs, write where it wants the outputs."""
        if self._anchors is not None:
            self._process.set_anchors(self._anchors.current(context))
        encodings, scores = self._encodings.current(context), self._scores.current(context)
        self._process.run(encodings[0], scores[0], self._detections(context))

    def _detections(self, context: Any) -> Detections:
        """The outputs' memory."""
        addresses = tuple(context.tensors[border.index].data or 0 for border in self._outputs)
        if self._found is None or addresses != self._addresses:
            edges, classes, scores, count = (_memory(border, context) for border in self._outputs)
            self._found = Detections(edges.reshape(-1, 4), classes, scores, count)
            self._addresses = addresses
        return self._found

    def close(self) -> None:
        """Nothing is held."""


def _border(graph: Graph, tensor: int) -> Border:
    found = graph.tensors[tensor]
    return Border(tensor, found.shape, found.dtype)


def _memory(border: Border, context: Any) -> NDArray[Any]:
    """Flat; of a tensor without elements LiteRT has none."""
    if 0 in border.shape:
        return np.empty(0, np.float32)
    return border.current(context).reshape(-1)
