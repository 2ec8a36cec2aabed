"""Compares the quantised stream with the original, layer by layer, at some pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from lapilli.compiler.units.layers import Layer
from lapilli.compiler.units.report import decibels, variation
from lapilli.compiler.units.stream import LayerPlan
from lapilli.reference.arithmetic import Array
from lapilli.reference.node import Node
from lapilli.reference.patches import chosen_places

_ROWS: Final = 2048


class Witness:
    """Keeps some of the original's values of each layer, then compares."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = {layer.operator.index: layer for layer in layers}
        self._values: dict[int, Array] = {}
        self._decibels: dict[int, float] = {}

    def again(self) -> Witness:
        """Another one with the same values of the original."""
        other = Witness(tuple(self._layers.values()))
        other._values = self._values
        return other

    def _rows(self, values: Array) -> Array:
        rows = values.reshape(-1, values.shape[-1])
        return rows[chosen_places(len(rows), _ROWS)]

    def original(self, node: Node, results: tuple[Array, ...]) -> None:
        """An operator of the original model."""
        if node.operator.index in self._layers:
            self._values[node.operator.index] = self._rows(results[0])

    def compare(self, plans: Sequence[LayerPlan]) -> Callable[[Node, tuple[Array, ...]], None]:
        """What is to be called behind each operator of the quantised stream."""
        units = {plan.layer.operator.index: plan.target_units for plan in plans}

        def watch(node: Node, results: tuple[Array, ...]) -> None:
            index = node.operator.index
            if index not in units or index not in self._values:
                return
            zero_point = self._layers[index].zero_point
            wanted = self._values[index].astype(np.float64) - zero_point
            found = (self._rows(results[0]).astype(np.float64) - zero_point) * units[index]
            noise = float(((found - wanted) ** 2).mean())
            self._decibels[index] = decibels(variation(wanted), noise)

        return watch

    def decibels(self, operator: int) -> float:
        """Signal to noise of a layer's output; infinite if it was not compared."""
        return self._decibels.get(operator, float("inf"))
