"""Layers whose weights have a few scales, one for each run of outputs, as several layers of one.

Each computes its run of the outputs; a concatenation stands behind them, which is no job: the runs
are written one behind the other. A depthwise layer's runs read as many channels of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from lapilli.compiler.units.layers import operands
from lapilli.model.graph import Constant, Graph, Operator, Quantization, Tensor
from lapilli.model.options import Concatenation

KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def runs_of(scales: Sequence[float]) -> list[tuple[int, int]]:
    """(first, behind the last) of each run of equal scales."""
    values = np.asarray(scales)
    starts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return list(pairwise(starts))


def in_groups(graph: Graph) -> Graph:
    """The graph with an operator for each run; one without such weights comes back as is."""
    if not any(_has_runs(graph, operator) for operator in graph.operators):
        return graph
    split = _Split(list(graph.tensors), [])
    for operator in graph.operators:
        if _has_runs(graph, operator):
            split.layer(operator)
        else:
            split.operators.append(operator)
    return replace(graph, tensors=tuple(split.tensors), operators=tuple(split.operators))


def _has_runs(graph: Graph, operator: Operator) -> bool:
    if operator.kind not in KINDS:
        return False
    quantization = graph.tensors[operands(operator)[1]].quantization
    return quantization is not None and len(set(quantization.scales)) > 1


@dataclass
class _Split:
    """A graph in the making."""

    tensors: list[Tensor]
    operators: list[Operator]

    def layer(self, operator: Operator) -> None:
        """An operator for each run, and what joins them."""
        image, weights, bias = operands(operator)
        kernel, whole = self.tensors[weights], self.tensors[operator.outputs[0]]
        assert kernel.quantization is not None and kernel.data is not None
        runs = runs_of(kernel.quantization.scales)
        # Outputs of a depthwise kernel stand last, of any other first.
        axis = 3 if operator.kind == "DEPTHWISE_CONV_2D" else 0
        channels = self.tensors[image].shape[-1]
        share = kernel.shape[axis] // channels if axis else 1
        parts = []
        for first, end in self._whole_channels(runs, share):
            source = self._channels(operator, image, first // share, end // share, bool(axis))
            inputs = [source, self._run(weights, axis, first, end)]
            if bias >= 0:
                inputs.append(self._run(bias, 0, first, end))
            shape = (*whole.shape[:-1], end - first)
            parts.append(self._add(replace(whole, name=f"{whole.name}/{first}", shape=shape)))
            self.operators.append(replace(operator, inputs=tuple(inputs), outputs=(parts[-1],)))
        options = Concatenation(len(whole.shape) - 1)
        self.operators.append(
            Operator(operator.index, "CONCATENATION", tuple(parts), operator.outputs, options)
        )

    def _whole_channels(
        self, runs: Sequence[tuple[int, int]], share: int
    ) -> Sequence[tuple[int, int]]:
        assert all(first % share == 0 for first, _ in runs), "a channel's outputs have one scale"
        return runs

    def _channels(self, operator: Operator, image: int, first: int, end: int, some: bool) -> int:
        """The tensor with some channels of the image, if a run reads no more."""
        found = self.tensors[image]
        if not some or end - first == found.shape[-1]:
            return image
        shape = (*found.shape[:-1], end - first)
        begin = self._constant([*(0 for _ in shape[:-1]), first])
        size = self._constant([*(-1 for _ in shape[:-1]), end - first])
        made = self._add(replace(found, name=f"{found.name}/{first}", shape=shape))
        self.operators.append(Operator(operator.index, "SLICE", (image, begin, size), (made,)))
        return made

    def _run(self, tensor: int, axis: int, first: int, end: int) -> int:
        """A constant's run along an axis, with the scale that it has."""
        found = self.tensors[tensor]
        assert found.data is not None
        data = _frozen(np.take(found.data, np.arange(first, end), axis=axis))
        scale = found.quantization
        if scale is not None and len(scale.scales) > 1:
            points = scale.zero_points[first : first + 1] or (0,)
            scale = Quantization(scale.scales[first : first + 1], points)
        made = replace(found, name=f"{found.name}/{first}", shape=data.shape, data=data)
        return self._add(replace(made, quantization=scale))

    def _constant(self, numbers: Sequence[int]) -> int:
        data = _frozen(np.array(numbers, np.int32))
        return self._add(Tensor(0, "run", data.shape, "int32", None, data))

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(replace(tensor, index=len(self.tensors)))
        return len(self.tensors) - 1


def _frozen(data: Constant) -> Constant:
    data = np.ascontiguousarray(data)
    data.setflags(write=False)
    return data
