"""Small int8 networks with a weight scale for each channel, like those that converters write.

    network = inverted_residuals(seed=1)          # bytes of a .tflite
    network = inverted_residuals(seed=1, spread=1.0)  # all scales of a layer nearly equal

``spread``: by how much the channels' scales differ; 30 is usual in depthwise layers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from models import ModelBuilder
from numpy.typing import NDArray

from lapilli.compiler.units.calibration import synthetic
from lapilli.compiler.units.layers import layer_of
from lapilli.compiler.units.statistics import layer_sums
from lapilli.model import tflite
from lapilli.reference.executor import execute, node_of
from lapilli.reference.patches import patches_of

SAMPLES = 4
BYTES_LOW, BYTES = -128, 255


class Network:
    """A network in the making, whose output scales fit what made-up pictures give."""

    def __init__(self, seed: int, spread: float, side: int = 16) -> None:
        self.random = np.random.default_rng(seed)
        self.spread = spread
        self.builder = ModelBuilder("int8")
        self.image = self.builder.input((1, side, side, 3), 1 / 128, 0)

    def scales(self, count: int) -> list[float]:
        """A scale for each of so many channels."""
        exponents = self.random.uniform(-1.0, 0.0, count)
        return [float(np.float32(0.02 * self.spread**exponent)) for exponent in exponents]

    def convolution(
        self,
        source: int,
        outputs: int,
        kernel: int = 1,
        *,
        depthwise: bool = False,
        stride: int = 1,
        activation: str = "RELU6",
        scales: list[float] | None = None,
        weights: NDArray[np.int8] | None = None,
    ) -> int:
        """A layer of random weights; its output's scale is such that little saturates."""
        spec = self.builder.tensors[source]
        assert spec.shape is not None and spec.scales is not None
        channels = spec.shape[3]
        shape = (1, kernel, kernel, channels) if depthwise else (outputs, kernel, kernel, channels)
        if weights is None:
            drawn = self.random.normal(0.0, 45.0, shape)
            weights = np.clip(np.rint(drawn), -127, 127).astype(np.int8)
        scales = scales or self.scales(shape[3] if depthwise else outputs)
        bias = np.zeros(len(scales), np.int32)
        build = self.builder.depthwise if depthwise else self.builder.conv
        build_: Callable[..., int] = build
        result = build_(
            source, weights, bias, scales, 0, 1.0, BYTES_LOW, stride=stride, activation=activation
        )
        self._fit(result, spec.scales[0], scales, activation)
        return result

    def _fit(self, tensor: int, scale: float, scales: list[float], activation: str) -> None:
        """Choose the output's scale, and biases that let each channel be active."""
        graph = tflite.parse(self.builder.build([tensor]), "fit")
        operator = graph.operators[-1]
        inputs = {self.image: synthetic(graph.tensors[self.image], SAMPLES)}
        source = operator.inputs[0]
        values = execute(graph, inputs, keep=[source])
        node = node_of(graph, operator, values)
        sums = layer_sums(layer_of(graph, len(graph.operators) - 1), patches_of(node, 2000))
        real = sums * (scale * np.array(scales))
        # A third of each channel's values above 0 where there is an activation.
        middle = np.quantile(real, 0.6, axis=0) if activation != "NONE" else real.mean(axis=0)
        bias = np.rint(-middle / (scale * np.array(scales))).astype(np.int32)
        real = real - middle
        spec = self.builder.tensors[tensor]
        if activation == "RELU6":
            spec.scales, spec.zero_points = (float(np.float32(6.0 / BYTES)),), (BYTES_LOW,)
        elif activation == "RELU":
            spec.scales = (float(np.float32(max(real.max(), 1e-3) / BYTES)),)
            spec.zero_points = (BYTES_LOW,)
        else:
            reach = float(max(np.abs(real).max(), 1e-3))
            spec.scales, spec.zero_points = (float(np.float32(reach / 127)),), (0,)
        inputs_ = self.builder.operators[-1].inputs
        assert inputs_ is not None
        self.builder.tensors[inputs_[2]].data = bias.tobytes()

    def addition(self, first: int, second: int) -> int:
        """Their sum."""
        scales = [self.builder.tensors[t].scales for t in (first, second)]
        total = sum(s[0] for s in scales if s is not None)
        return self.builder.add(first, second, float(np.float32(total * 0.7)), 0)

    def build(self, *outputs: int) -> bytes:
        return self.builder.build(list(outputs))


def inverted_residuals(seed: int = 0, spread: float = 30.0, blocks: int = 2) -> bytes:
    """A stem and blocks as MobileNetV2's: wide, depthwise, narrow, sum; a last wide layer."""
    network = Network(seed, spread)
    narrow = network.convolution(network.image, 12, 3, stride=2, activation="NONE")
    for _ in range(blocks):
        shares = network.scales(32)
        wide = network.convolution(narrow, 32, scales=shares)
        # What the wide layer makes small the depthwise one makes large again.
        inverse = [float(np.float32(0.02 * shares[0] / share)) for share in shares]
        deep = network.convolution(wide, 32, 3, depthwise=True, scales=inverse)
        back = network.convolution(deep, 12, activation="NONE")
        narrow = network.addition(narrow, back)
    last = network.convolution(narrow, 24, activation="RELU")
    return network.build(network.convolution(last, 10, activation="NONE"))
