"""What the delegate gets to see in a comparison: backends that keep, or repeat, what was made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapilli.compiler import judge
from lapilli.compiler.schedule.search_options import SearchOptions
from lapilli.compiler.units.requantise import Requantised
from lapilli.device.runner import LoadedPart
from lapilli.diff.interpreters import TensorValues
from lapilli.litert.backend import NpuBackend, Verdict
from lapilli.model.graph import Graph, Values
from lapilli.program.device import Device
from lapilli.program.program import Part


class SeenPart:
    """A loaded part; everything it computes is noted in ``values``."""

    def __init__(self, loaded: LoadedPart, values: TensorValues) -> None:
        self._loaded = loaded
        self._values = values
        self.write = loaded.write
        self.close = loaded.close

    def execute(self) -> None:
        """Run, then read all outputs, also those that only we want."""
        self._loaded.execute()
        for binding in self._loaded.part.outputs:
            self._values[binding.tensor] = self._loaded.read(binding.tensor)

    def read(self, tensor: int, out: NDArray[Any]) -> None:
        """As the delegate wants it."""
        np.copyto(out.reshape(-1), self._values[tensor].reshape(-1))


class SeenNpu(NpuBackend):
    """The delegate's own backend, with parts that have every tensor as an output but those that are
    ``gone``, as nothing makes them."""

    def __init__(
        self, device: Device, schedule: str, search: SearchOptions, gone: Collection[int] = ()
    ) -> None:
        super().__init__(device, schedule, search=search)
        self._gone = gone
        self.values: TensorValues = {}

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        """A part with the outputs asked for and all others."""
        chosen = set(operators)
        made = [t for op in graph.operators if op.index in chosen for t in op.outputs]
        made = [tensor for tensor in made if tensor not in self._gone]
        return super().compile(graph, operators, inputs, tuple(dict.fromkeys((*outputs, *made))))

    def load(self, part: Part) -> SeenPart:
        """On the device."""
        return SeenPart(LoadedPart(self.device, part), self.values)

    def close(self) -> None:
        """The device is its opener's."""


class Repeater:
    """Backend and part in one: NPU operators give the values they gave before.

    To read what CPU operators made, the runtime must keep all tensors, and then it cuts partitions
    into single operators. So partitions run whole first, and this fills in what they gave.
    """

    def __init__(
        self, model: Graph, verdicts: Sequence[Verdict], values: Mapping[int, Values]
    ) -> None:
        self._kinds = [operator.kind for operator in model.operators]
        self._verdicts = verdicts
        self._values = values

    def verdicts(self, graph: Graph) -> Sequence[Verdict]:
        """As before; nothing of graphs beside the model's main one, of which no value is known."""
        if [operator.kind for operator in graph.operators] != self._kinds:
            return [judge.Verdict(operator.index, False) for operator in graph.operators]
        return self._verdicts

    def without_per_channel(self, graph: Graph) -> Sequence[Verdict]:
        """The same."""
        return self.verdicts(graph)

    def prepared(self, graph: Graph, parts: Sequence[Sequence[int]]) -> Requantised:
        """Nothing to do."""
        return Requantised(graph, None)

    def compile(
        self, graph: Graph, operators: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> Repeater:
        """Nothing to do."""
        return self

    def load(self, part: Repeater) -> Repeater:
        """The same."""
        return part

    def write(self, tensor: int, values: NDArray[Any]) -> None:
        """Not needed."""

    def execute(self) -> None:
        """Done before."""

    def read(self, tensor: int, out: NDArray[Any]) -> None:
        """What the NPU gave; a tensor that it does not make nobody else needs."""
        if tensor in self._values:
            np.copyto(out.reshape(-1), self._values[tensor].reshape(-1))

    def close(self) -> None:
        """Nothing to free."""
