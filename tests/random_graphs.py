"""Random models of several operators: branches, joins, chains, several inputs and outputs.

    graph = RandomGraph(seed)
    graph.model()      # all of it
    graph.alone(3)     # operator 3 by itself, its operands as inputs

Most operators are such that the NPU takes them; some are for the CPU, so that graphs fall apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import table_operators
from cases import (
    BYTE_MEAN,
    Array,
    ConvolutionCase,
    Zeros,
    add_convolution,
    feed,
    log_uniform,
    output_zero_point,
    seeded,
    zero_point,
)
from further_operators import multiply
from models import ModelBuilder
from table_cases import natural_output

from lapilli.compiler.encode.table_functions import swish

CHANNELS = (1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 20, 24, 33)
KERNELS = ((1, 1), (1, 1), (3, 3), (3, 3), (5, 5), (2, 2), (3, 5), (1, 3), (4, 4), (7, 7))
LARGEST_SIDE = 20
Grow: TypeAlias = "Callable[[], int]"


@dataclass(frozen=True)
class Alone:
    """A model of one operator. ``operands``: the tensors that are its inputs, in their order."""

    model: bytes
    operands: tuple[int, ...]


class WiredGraph:
    """Operators in a ``builder`` that end in ``outputs``."""

    def __init__(self, name: str, builder: ModelBuilder) -> None:
        self.name = name
        self.builder = builder
        self.outputs: list[int] = []

    def model(self) -> bytes:
        """The .tflite."""
        return self.builder.build(self.outputs)

    def feed(self) -> list[Array]:
        """Values of the inputs, in order."""
        found = []
        for tensor in self.builder.inputs:
            spec = self.builder.tensors[tensor]
            values = feed(spec.shape or (), self.name, tensor)
            found.append(values.view(np.int8) if spec.dtype == "int8" else values)
        return found

    def alone(self, number: int) -> Alone:
        """Operator ``number`` with its constants, as a model."""
        operator = self.builder.operators[number]
        assert operator.inputs is not None
        assert operator.outputs is not None
        tensors = list(dict.fromkeys([*operator.inputs, *operator.outputs]))
        place = {tensor: i for i, tensor in enumerate(tensors)}
        single = ModelBuilder()
        single.tensors = [self.builder.tensors[tensor] for tensor in tensors]
        operands = [t for t in tensors if t in operator.inputs]
        operands = [t for t in operands if self.builder.tensors[t].data is None]
        single.inputs = [place[t] for t in operands]
        single.operators = [
            replace(
                operator,
                inputs=[place[t] for t in operator.inputs],
                outputs=[place[t] for t in operator.outputs],
            )
        ]
        return Alone(single.build([place[t] for t in operator.outputs]), tuple(operands))


class RandomGraph(WiredGraph):
    """The graph with number ``seed``, always the same one."""

    prefix = "graph"
    """In front of the name; with the seed it says everything."""

    def __init__(self, seed: int) -> None:
        super().__init__(f"{self.prefix}-{seed}", ModelBuilder())
        self.pool: list[int] = []
        self._rng = seeded(self.prefix, seed)
        for _ in range(int(self._rng.choice([1, 1, 2, 3]))):
            self._input()
        for _ in range(int(self._rng.integers(1, 13))):
            self.pool.append(self._step())
        self._use_every_input()
        used = {t for operator in self.builder.operators for t in operator.inputs or ()}
        made = [t for operator in self.builder.operators for t in operator.outputs or ()]
        outputs = [t for t in made if t not in used or self._rng.random() < 0.2]
        self.outputs = [int(t) for t in self._rng.permutation(outputs)]

    # ----------------------------------------------------------------------------------- growing

    def _step(self) -> int:
        """One more operator (or two); the tensor it makes."""
        if self._rng.random() < 0.05:
            self._input()
        steps: list[tuple[float, Grow]] = [
            (0.22, self._convolution),
            (0.06, self._rectified),
            (0.13, self._depthwise),
            (0.33, self._addition),
            (0.08, self._padding),
            (0.09, self._table),
            (0.09, self._for_the_cpu),
        ]
        shares = [share for share, _ in steps]
        return steps[int(self._rng.choice(len(steps), p=shares))][1]()

    def _shape(self, tensor: int) -> tuple[int, ...]:
        shape = self.builder.tensors[tensor].shape
        assert shape is not None
        return tuple(shape)

    def _quantization(self, tensor: int) -> tuple[float, int]:
        spec = self.builder.tensors[tensor]
        assert spec.scales is not None
        assert spec.zero_points is not None
        return spec.scales[0], spec.zero_points[0]

    def _input(self) -> None:
        rng = self._rng
        kind = rng.random()
        rows, columns = (int(n) for n in rng.integers(1, LARGEST_SIDE + 1, 2))
        channels = int(rng.choice(CHANNELS))
        if kind < 0.15:
            rows = columns = 1
        elif kind < 0.5:
            columns = rows
        shape: tuple[int, ...] = (1, rows, columns, channels)
        if self.pool and rng.random() < 0.3:
            shape = self._shape(self._pick())
        elif self.pool and rng.random() < 0.2:
            shape = shape[int(rng.integers(1, 4)) :]
        tensor = self.builder.input(shape, log_uniform(rng, 0.004, 0.5), zero_point(rng))
        self.pool.append(tensor)

    def _use_every_input(self) -> None:
        used = {t for operator in self.builder.operators for t in operator.inputs or ()}
        for tensor in self.builder.inputs:
            if tensor not in used:
                self._sum(tensor, tensor)

    def _pick(self, images: bool = False) -> int:
        """A tensor, the last ones more often; ``images``: of four dimensions."""
        found = [t for t in self.pool if not images or len(self._shape(t)) == 4]
        recent = found[-3:] if self._rng.random() < 0.6 else found
        return int(self._rng.choice(recent))

    def _convolution(self) -> int:
        return self._filter(self._pick(images=True), False)

    def _depthwise(self) -> int:
        return self._filter(self._pick(images=True), True)

    def _filter(self, x: int, depthwise: bool, outputs: int | None = None) -> int:
        """Any convolution of ``x``; with ``outputs`` one of 1x1 with so many output channels."""
        rng = self._rng
        _, rows, columns, inputs = self._shape(x)
        kernel, stride, padding = (1, 1), 1, "SAME"
        if outputs is None:
            kernel = KERNELS[int(rng.integers(len(KERNELS)))]
            stride = int(rng.choice([1, 1, 2]))
            padding = str(rng.choice(["SAME", "SAME", "VALID"]))
            outputs = int(rng.choice(CHANNELS))
        if depthwise:
            outputs = inputs * int(rng.choice([1, 1, 1, 2]))
        if kernel[0] > rows or kernel[1] > columns:
            padding = "SAME"
        activation = str(rng.choice(["NONE", "RELU", "RELU6"]))
        zero = output_zero_point(rng, activation)
        zeros = Zeros(self._quantization(x)[1], zero_point(rng), zero)
        case = ConvolutionCase(
            "graph", depthwise, rows, columns, inputs, outputs, kernel, stride, padding, zeros,
            float(rng.choice([0, 0, 0.5, 0.95])), activation,
        )  # fmt: skip
        return add_convolution(self.builder, x, case, rng)

    def _addition(self) -> int:
        """Of two tensors of one shape: any two, one with itself, or with one made for it."""
        rng = self._rng
        a = self._pick()
        partners = [t for t in self.pool if self._shape(t) == self._shape(a) and t != a]
        if partners and rng.random() < 0.8:
            b = int(rng.choice(partners))
        elif len(self._shape(a)) == 4 and rng.random() < 0.7:
            like = [
                t
                for t in self.pool
                if len(self._shape(t)) == 4 and self._shape(t)[1:3] == self._shape(a)[1:3]
            ]
            b = self._filter(int(rng.choice(like)), False, self._shape(a)[3])
            self.pool.append(b)
        else:
            b = a
        return self._sum(a, b) if rng.random() < 0.5 else self._sum(b, a)

    def _sum(self, a: int, b: int, activation: str | None = None) -> int:
        rng = self._rng
        (first, zero_first), (second, zero_second) = self._quantization(a), self._quantization(b)
        scale = float(np.float32((first + second) * rng.uniform(0.4, 1.1)))
        middle = (first * (BYTE_MEAN - zero_first) + second * (BYTE_MEAN - zero_second)) / scale
        zero = int(np.clip(round(BYTE_MEAN - middle), 0, 255))
        if activation is None:
            activation = "RELU" if zero < 128 and rng.random() < 0.2 else "NONE"
        return self.builder.add(a, b, scale, zero, activation=activation)

    def _padding(self) -> int:
        x = self._pick(images=True)
        amounts = np.zeros((4, 2), np.int32)
        amounts[1:3] = self._rng.integers(0, 4, (2, 2))
        shape = [n + int(a.sum()) for n, a in zip(self._shape(x), amounts, strict=True)]
        y = self.builder.tensor(shape, *self._quantization(x))
        paddings = self.builder.constant(amounts)
        self.builder.operator("PAD", [x, paddings], [y], ("PadOptions", {}))
        return y

    def _table(self) -> int:
        """An operator that turns each byte into another one, or two that do."""
        if self._rng.random() < 0.3:
            return self._swish()
        kinds = [k for k in table_operators.KINDS if k not in table_operators.INT8_ONLY]
        kind = str(self._rng.choice(kinds))
        return table_operators.append(self.builder, self._rng, self._pick(), kind)

    def _swish(self) -> int:
        """x * LOGISTIC(x); the LOGISTIC may have other readers."""
        rng, x = self._rng, self._pick()
        scale, zero = self._quantization(x)
        gate = self.builder.tensor(self._shape(x), 1 / 256, 0)
        self.builder.operator("LOGISTIC", [x], [gate])
        if rng.random() < 0.2:
            self.pool.append(gate)
        fitting, middle = natural_output(swish, scale, zero)
        quantization = float(np.float32(fitting * rng.uniform(0.9, 2))), middle
        operands = [x, gate] if rng.random() < 0.5 else [gate, x]
        return multiply(self.builder, operands[0], operands[1], quantization)

    def _rectified(self) -> int:
        """A convolution and a RELU, mostly of the same upper end."""
        rng, x = self._rng, self._convolution()
        scale, zero = self._quantization(x)
        factor = float(rng.choice([1.0, 1.0, 1.0, 0.7]))
        y = self.builder.tensor(self._shape(x), factor * scale * (255 - zero) / 255 or scale, 0)
        self.builder.operator("RELU", [x], [y])
        return y

    # ------------------------------------------------------------------- what the NPU doesn't take

    def _for_the_cpu(self) -> int:
        steps: list[Grow] = [self._softmax, self._pooling, self._dilated, self._broadcast]
        return steps[int(self._rng.integers(len(steps)))]()

    def _softmax(self) -> int:
        x = self._pick()
        y = self.builder.tensor(self._shape(x), 1 / 256, 0)
        self.builder.operator("SOFTMAX", [x], [y], ("SoftmaxOptions", {"Beta": 1.0}))
        return y

    def _pooling(self) -> int:
        x = self._pick(images=True)
        shape = self._shape(x)
        y = self.builder.tensor(shape, *self._quantization(x))
        fields = {"Padding": 0, "StrideH": 1, "StrideW": 1, "FilterHeight": 2, "FilterWidth": 2}
        self.builder.operator("MAX_POOL_2D", [x], [y], ("Pool2DOptions", fields))
        return y

    def _dilated(self) -> int:
        x = self._pick(images=True)
        channels = self._shape(x)[3]
        weights = self._rng.integers(0, 256, (4, 3, 3, channels), dtype=np.uint8)
        scale, zero = self._quantization(x)
        weight_scale = float(np.float32(0.01 / channels))
        return self.builder.conv(
            x, weights, np.zeros(4), weight_scale, 128, scale, zero, dilation=2
        )

    def _broadcast(self) -> int:
        """An addition of a constant of one element for each channel."""
        x = self._pick()
        values = self._rng.integers(0, 256, self._shape(x)[-1:], dtype=np.uint8)
        constant = self.builder.constant(values, self._quantization(x)[0], 128)
        return self._sum(x, constant, "NONE")
