"""The self-test's models, made by code, each with an input and the output it must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lapilli.model.graph import (
    Activation,
    Addition,
    Convolution,
    Graph,
    Operator,
    Options,
    Padding,
    Quantization,
    Tensor,
)
from lapilli.selftest.expected import Image, convolution_sums, requantised


@dataclass(frozen=True)
class Case:
    """A model with one input and one output. ``tolerance``: how much a byte may differ, because the
    NPU's multiplier has 15 bits."""

    name: str
    graph: Graph
    image: Image
    expected: Image
    tolerance: int


@dataclass
class _Maker:
    """A graph as it grows, with the values its tensors have for the random input."""

    random: np.random.Generator
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    values: dict[int, Image] = field(default_factory=dict)

    def tensor(
        self,
        shape: Sequence[int],
        quantization: Quantization | None,
        data: NDArray[np.generic] | None = None,
    ) -> int:
        """A uint8 image or a constant; its index."""
        index = len(self.tensors)
        dtype = "uint8" if data is None else data.dtype.name
        name = f"tensor{index}"
        self.tensors.append(Tensor(index, name, tuple(shape), dtype, quantization, data))
        return index

    def image(self, rows: int, columns: int, channels: int) -> int:
        """A random input."""
        shape = (1, rows, columns, channels)
        index = self.tensor(shape, Quantization((0.02,), (int(self.random.integers(100, 150)),)))
        self.values[index] = self.random.integers(0, 256, shape).astype(np.uint8)
        return index

    def _result(
        self, kind: str, inputs: Sequence[int], options: Options, real: NDArray[np.float64]
    ) -> int:
        """The output of an operator whose exact values are ``real``: a scale that nearly covers
        them, the bytes, and the operator."""
        activation = getattr(options, "activation", Activation.NONE)
        low, high = (float(np.quantile(real, q)) for q in (0.01, 0.99))
        if activation is not Activation.NONE:
            low = 0.0
        scale = float(np.float32(max(high - low, 1e-6) / 255))
        zero_point = int(np.clip(round(-low / scale), 0, 255))
        index = self.tensor((1, *real.shape), Quantization((scale,), (zero_point,)))
        lowest = 0 if activation is Activation.NONE else zero_point
        self.values[index] = requantised(real / scale, zero_point, lowest)[None]
        number = len(self.operators)
        self.operators.append(Operator(number, kind, tuple(inputs), (index,), options))
        return index

    def convolution(
        self,
        source: int,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        stride: int = 1,
        same: bool = True,
        depthwise: bool = False,
        activation: Activation = Activation.NONE,
        zeros: float = 0.0,
    ) -> int:
        """``zeros``: the share of weights that are 0."""
        channels = self.tensors[source].shape[3]
        shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, channels)
        zero_point = int(self.random.integers(100, 150))
        weights = self.random.integers(0, 256, shape).astype(np.uint8)
        weights[self.random.random(shape) < zeros] = zero_point
        bias = self.random.integers(-5000, 5000, outputs).astype(np.int32)
        weight_scale = 0.01
        inputs = (
            source,
            self.tensor(shape, Quantization((weight_scale,), (zero_point,)), weights),
            self.tensor((outputs,), None, bias),
        )
        quantization = self.tensors[source].quantization
        assert quantization is not None
        sums = convolution_sums(
            self.values[source],
            weights,
            bias.astype(np.int64),
            (quantization.zero_point, zero_point),
            stride,
            same,
            depthwise,
        )
        padding = Padding.SAME if same else Padding.VALID
        options = Convolution(padding, stride, stride, activation=activation)
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        step = np.float64(quantization.scale * weight_scale)
        return self._result(kind, inputs, options, sums.astype(np.float64) * step)

    def _real(self, index: int) -> NDArray[np.float64]:
        quantization = self.tensors[index].quantization
        assert quantization is not None
        steps = self.values[index][0].astype(np.float64) - quantization.zero_point
        real: NDArray[np.float64] = steps * quantization.scale
        return real

    def addition(self, first: int, second: int) -> int:
        """The sum of two images."""
        real = self._real(first) + self._real(second)
        return self._result("ADD", (first, second), Addition(), real)

    def pad(self, source: int, amounts: tuple[int, int, int, int]) -> int:
        """Rows before and behind, columns before and behind."""
        top, bottom, left, right = amounts
        widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        constant = self.tensor((4, 2), None, widths)
        quantization = self.tensors[source].quantization
        assert quantization is not None
        padded = np.pad(
            self.values[source], widths.tolist(), constant_values=quantization.zero_point
        )
        index = self.tensor(padded.shape, quantization)
        self.values[index] = padded
        number = len(self.operators)
        self.operators.append(Operator(number, "PAD", (source, constant), (index,)))
        return index

    def case(self, name: str, output: int, tolerance: int = 1) -> Case:
        """The finished model; its input is tensor 0."""
        for operator in self.operators:
            for index in operator.outputs:
                self.values[index].setflags(write=False)
        graph = Graph(name, tuple(self.tensors), tuple(self.operators), (0,), (output,))
        return Case(name, graph, self.values[0], self.values[output], tolerance)


@dataclass(frozen=True)
class _Layer:
    """A model of one convolution on an image of ``shape``."""

    name: str
    shape: tuple[int, int, int]
    outputs: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    same: bool = True
    depthwise: bool = False
    activation: Activation = Activation.NONE
    zeros: float = 0.0

    def case(self, seed: int) -> Case:
        """The model."""
        maker = _Maker(np.random.default_rng(seed))
        output = maker.convolution(
            maker.image(*self.shape),
            self.outputs,
            self.kernel,
            self.stride,
            self.same,
            self.depthwise,
            self.activation,
            self.zeros,
        )
        return maker.case(self.name, output)


LAYERS = (
    _Layer("convolution 1x1", (8, 8, 16), 24, (1, 1)),
    _Layer("convolution 3x3", (16, 16, 16), 16),
    _Layer("convolution 3x3 VALID", (16, 16, 16), 16, same=False),
    _Layer("convolution 5x5", (14, 14, 8), 16, (5, 5)),
    _Layer("convolution 3x3 ReLU", (16, 16, 16), 16, activation=Activation.RELU),
    _Layer("convolution 3x3 stride 2", (16, 16, 16), 32, stride=2),
    _Layer("first layer", (64, 64, 3), 32, stride=2),
    _Layer("odd sizes", (7, 13, 5), 11),
    _Layer("one pixel", (1, 1, 256), 100, (1, 1)),
    _Layer("one channel", (20, 20, 1), 8),
    _Layer("sparse weights", (14, 14, 64), 64, zeros=0.9),
    _Layer("depthwise 3x3", (16, 16, 32), 32, depthwise=True),
    _Layer("depthwise 3x3 stride 2", (16, 16, 32), 32, stride=2, depthwise=True),
    _Layer("many channels", (7, 7, 512), 512, (1, 1)),
    _Layer("large image", (112, 112, 32), 64, (1, 1)),
)


def small_convolution() -> Case:
    """The one that shows whether anything works at all."""
    return LAYERS[1].case(1)


def first_layer() -> Case:
    """Two changes of layout, one after the other, in front of a convolution."""
    return LAYERS[6].case(6)


def many_kernels() -> Case:
    """Kernels that a chip's on-chip memory does not hold, on an image that it holds easily."""
    return _Layer("many kernels", (7, 7, 1024), 1024, (1, 1)).case(200)


def large_image() -> Case:
    """Kernels that are read for many tiles."""
    return _Layer("large image of many channels", (56, 56, 128), 128).case(201)


def narrow_image() -> Case:
    """Rows of 14 pixels, of the 64 that a line has."""
    return _Layer("narrow image", (14, 14, 512), 512, (1, 1)).case(202)


def deep_image() -> Case:
    """A depthwise layer of MobileDet's size."""
    return _Layer("deep image", (20, 20, 768), 768, depthwise=True).case(203)


def two_branches() -> Case:
    """A border and a convolution that don't need each other, and a sum that needs both."""
    maker = _Maker(np.random.default_rng(204))
    image = maker.image(56, 56, 64)
    branches = maker.pad(image, (1, 1, 1, 1)), maker.convolution(image, 64)
    valid = maker.convolution(branches[0], 64, same=False)
    return maker.case("two branches", maker.addition(valid, branches[1]), 2)


def wide_addition() -> Case:
    """The sum of two convolutions from 32 channels to 256."""
    maker = _Maker(np.random.default_rng(206))
    source = maker.image(8, 8, 32)
    branches = [maker.convolution(source, 256, (1, 1)) for _ in range(2)]
    return maker.case("wide addition", maker.addition(*branches), 2)


def ladder() -> list[Case]:
    """All models, from the simplest on."""
    cases = [layer.case(seed) for seed, layer in enumerate(LAYERS)]
    return [*cases, _addition(), _pad(), block()]


def _addition() -> Case:
    maker = _Maker(np.random.default_rng(100))
    source = maker.image(14, 14, 24)
    branches = [maker.convolution(source, 24, (1, 1)) for _ in range(2)]
    return maker.case("addition of two convolutions", maker.addition(*branches), 2)


def _pad() -> Case:
    maker = _Maker(np.random.default_rng(101))
    return maker.case("pad", maker.pad(maker.image(9, 11, 8), (1, 2, 3, 4)), 0)


def block() -> Case:
    """An inverted residual block, whose jobs depend on each other."""
    maker = _Maker(np.random.default_rng(102))
    source = maker.convolution(maker.image(14, 14, 3), 16)
    wide = maker.convolution(source, 96, (1, 1), activation=Activation.RELU)
    deep = maker.convolution(wide, 96, depthwise=True, activation=Activation.RELU)
    narrow = maker.convolution(deep, 16, (1, 1))
    return maker.case("residual block", maker.addition(source, narrow), 3)
