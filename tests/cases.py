"""Generated models of one operator: the grids of the issues, each case from a fixed seed.

A case is a small frozen record; ``model`` makes its .tflite, ``inputs`` what it is fed. Biases and
output scales follow from the weights' statistics, so that outputs use their whole range whatever
the zero points are.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from models import ModelBuilder, convolved_extent
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

DRIVER_SIZES = (3, 5, 8, 80, 112)
DRIVER_KERNELS = (1, 3, 5)
DRIVER_INPUTS = (1, 32, 120, 128, 256)
DRIVER_OUTPUTS = (1, 32, 120, 128, 160, 256)
ADDITION_SIZES = (5, 8, 80, 112)
ADDITIONS_EACH = 76
"""Additions of one size and number of channels in the driver's grid, which makes 3,954 cases."""

LARGEST_SUBTRACTION = 60000
"""Elements; larger ones add time, and sizes that others have."""

BYTE_MEAN, BYTE_DEVIATION = 127.5, 73.9
"""Of uniformly distributed bytes."""
OUTPUT_DEVIATION = 55.0
"""Output steps a standard deviation of the accumulator is to become."""
LARGEST_BIAS = (1 << 31) - 1


@dataclass(frozen=True)
class Zeros:
    """Zero points of a case."""

    input: int
    weights: int
    output: int


@dataclass(frozen=True)
class ConvolutionCase:
    """A CONV_2D, or a DEPTHWISE_CONV_2D. ``zero_share``: share of weights that are zero points."""

    group: str
    depthwise: bool
    rows: int
    columns: int
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    stride: int
    padding: str
    zeros: Zeros
    zero_share: float = 0.0
    activation: str = "NONE"
    seed: int = 0

    @property
    def name(self) -> str:
        """What a failure is called; with the seed it says everything."""
        kind = "depthwise" if self.depthwise else "convolution"
        shape = f"{self.rows}x{self.columns}x{self.inputs}-{self.outputs}"
        kernel = f"{self.kernel[0]}x{self.kernel[1]}s{self.stride}{self.padding.lower()}"
        zeros = f"{self.zeros.input},{self.zeros.weights},{self.zeros.output}"
        extra = f"-{round(100 * self.zero_share)}%-{self.activation.lower()}"
        return f"{self.group}:{kind}-{shape}-{kernel}-z{zeros}{extra}-{self.seed}"

    @property
    def operations(self) -> int:
        """Multiplications."""
        result = 1
        for axis, extent in enumerate((self.rows, self.columns)):
            kernel = self.kernel[axis]
            result *= kernel * convolved_extent(extent, kernel, self.stride, 1, self.padding)
        return result * self.outputs * (1 if self.depthwise else self.inputs)

    def model(self) -> bytes:
        """The .tflite."""
        rng = seeded(self.name)
        builder = ModelBuilder()
        shape = (1, self.rows, self.columns, self.inputs)
        x = builder.input(shape, log_uniform(rng, 0.002, 0.5), self.zeros.input)
        y = add_convolution(builder, x, self, rng)
        return builder.build([y])

    def feed(self) -> list[Array]:
        """Input values."""
        return [feed((1, self.rows, self.columns, self.inputs), self.name)]


@dataclass(frozen=True)
class AdditionCase:
    """An ADD (or SUB) of two graph inputs with scales ``first``, ``second`` and ``output``."""

    group: str
    rows: int
    columns: int
    channels: int
    scales: tuple[float, float, float]
    zeros: tuple[int, int, int]
    activation: str = "NONE"
    seed: int = 0
    subtract: bool = False

    @property
    def name(self) -> str:
        """What a failure is called; with the seed it says everything."""
        scales = ",".join(f"{scale:.4g}" for scale in self.scales)
        zeros = ",".join(map(str, self.zeros))
        shape = f"{self.rows}x{self.columns}x{self.channels}"
        extra = f"{self.activation.lower()}-{self.seed}"
        kind = "subtraction" if self.subtract else "addition"
        return f"{self.group}:{kind}-{shape}-s{scales}-z{zeros}-{extra}"

    def model(self) -> bytes:
        """The .tflite."""
        builder = ModelBuilder()
        shape = (1, self.rows, self.columns, self.channels)
        a = builder.input(shape, self.scales[0], self.zeros[0])
        b = builder.input(shape, self.scales[1], self.zeros[1])
        make = builder.subtract if self.subtract else builder.add
        y = make(a, b, self.scales[2], self.zeros[2], activation=self.activation)
        return builder.build([y])

    def feed(self) -> list[Array]:
        """Input values."""
        shape = (1, self.rows, self.columns, self.channels)
        return [feed(shape, f"{self.name}/{i}") for i in range(2)]


Case: TypeAlias = ConvolutionCase | AdditionCase


def seeded(*seed: str | int) -> np.random.Generator:
    """Numbers that depend on ``seed`` alone, in every process."""
    return np.random.default_rng([zlib.crc32(str(part).encode()) for part in seed])


def feed(shape: Sequence[int], *seed: str | int) -> Array:
    """Uniformly distributed bytes; 0 and 255 are among them if there is room."""
    values = seeded("feed", *seed).integers(0, 256, tuple(shape), dtype=np.uint8)
    values.reshape(-1)[:2] = (0, 255)[: values.size]
    return values


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A float32 between the two, as likely in each power of ten."""
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high)))))


def zero_point(rng: np.random.Generator) -> int:
    """0, 255, or any."""
    return int(rng.choice([0, 255, 128, rng.integers(0, 256), rng.integers(0, 256)]))


def output_zero_point(rng: np.random.Generator, activation: str) -> int:
    """Any without an activation; small with one, which leaves nothing below it."""
    return zero_point(rng) if activation == "NONE" else int(rng.choice([0, 0, rng.integers(1, 60)]))


# ------------------------------------------------------------------------------------ convolutions


def add_convolution(
    builder: ModelBuilder, x: int, case: ConvolutionCase, rng: np.random.Generator
) -> int:
    """Append the convolution of ``case`` to a model, reading ``x``; returns its output tensor."""
    planes = 1 if case.depthwise else case.inputs
    shape = (case.outputs, *case.kernel, planes)
    weights = _weights(rng, shape, case.zeros.weights, case.zero_share)
    centred = weights.reshape(case.outputs, -1).astype(np.float32) - case.zeros.weights
    squares = np.einsum("ij,ij->i", centred, centred, dtype=np.float64)
    source = builder.tensors[x]
    assert source.scales is not None and source.zero_points is not None
    mean = centred.sum(axis=1, dtype=np.float64) * (BYTE_MEAN - source.zero_points[0])
    inside, spread_inside = _inside(case)
    variance = BYTE_DEVIATION**2 * inside * squares.mean() + (spread_inside**2 * mean**2).mean()
    factor = OUTPUT_DEVIATION / (float(np.sqrt(variance)) or 1.0) * rng.uniform(0.5, 1.3)
    mean *= inside
    spread = rng.normal(0, 40, case.outputs)
    bias = np.round((BYTE_MEAN - case.zeros.output + spread) / factor - mean)
    bias = np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32)
    input_scale = source.scales[0]
    if case.activation == "RELU6":
        scale = 6.0 / max(255 - case.zeros.output, 1) * rng.uniform(0.3, 0.99)
    else:
        scale = log_uniform(rng, 0.003, 0.3)
    weight_scale = factor * scale / input_scale
    if case.depthwise:
        weights = np.ascontiguousarray(weights.transpose(3, 1, 2, 0))
    append = builder.depthwise if case.depthwise else builder.conv
    return append(
        x,
        weights,
        bias,
        float(np.float32(weight_scale)),
        case.zeros.weights,
        float(np.float32(scale)),
        case.zeros.output,
        stride=case.stride,
        padding=case.padding,
        activation=case.activation,
    )


def _inside(case: ConvolutionCase) -> tuple[float, float]:
    """Mean and standard deviation over the pixels of the share of taps that lie in the image."""
    if case.padding == "VALID":
        return 1.0, 0.0
    shares = []
    for axis, extent in enumerate((case.rows, case.columns)):
        outputs = -(-extent // case.stride)
        before = max((outputs - 1) * case.stride + case.kernel[axis] - extent, 0) // 2
        tap = np.arange(outputs)[:, None] * case.stride - before + np.arange(case.kernel[axis])
        shares.append(((tap >= 0) & (tap < extent)).mean(axis=1))
    product = np.multiply.outer(*shares)
    return float(product.mean()), float(product.std())


def _weights(
    rng: np.random.Generator, shape: tuple[int, ...], zero: int, share: float
) -> NDArray[np.uint8]:
    weights = rng.integers(0, 256, shape, dtype=np.uint8)
    if share:
        weights[rng.random(shape, np.float32) < share] = zero
    return weights


def driver_convolutions() -> list[ConvolutionCase]:
    """CONV_2D of the existing driver's own test program."""
    grid = itertools.product(
        DRIVER_SIZES, DRIVER_KERNELS, DRIVER_INPUTS, DRIVER_OUTPUTS, (1, 2), ("SAME", "VALID")
    )
    return [
        _driver_case(len_, "conv", False, size, kernel, inputs, outputs, stride, padding)
        for len_, (size, kernel, inputs, outputs, stride, padding) in enumerate(grid)
        if padding == "SAME" or kernel <= size
    ]


def driver_depthwise() -> list[ConvolutionCase]:
    """DEPTHWISE_CONV_2D of the existing driver's own test program."""
    grid = itertools.product(
        DRIVER_SIZES, DRIVER_KERNELS, DRIVER_OUTPUTS, (1, 2), ("SAME", "VALID")
    )
    return [
        _driver_case(number, "depthwise", True, size, kernel, channels, channels, stride, padding)
        for number, (size, kernel, channels, stride, padding) in enumerate(grid)
        if padding == "SAME" or kernel <= size
    ]


def _driver_case(
    seed: int,
    group: str,
    depthwise: bool,
    size: int,
    kernel: int,
    inputs: int,
    outputs: int,
    stride: int,
    padding: str,
) -> ConvolutionCase:
    zeros = Zeros(*seeded(group, seed).integers(0, 256, 3).tolist())
    return ConvolutionCase(
        group, depthwise, size, size, inputs, outputs, (kernel, kernel), stride, padding, zeros,
        seed=seed,
    )  # fmt: skip


ISSUE_KERNELS = ((1, 1), (3, 3), (5, 5), (7, 7), (3, 5), (5, 3), (2, 2), (4, 4), (11, 11), (1, 3))
ISSUE_CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 31, 33, 48, 63, 64, 100, 128, 200, 255,
                  256)  # fmt: skip
ISSUE_SHARES = (0.0, 0.0, 0.3, 0.6, 0.9, 0.99)
ISSUE_OPERATIONS = 400_000_000
"""Larger cases are drawn again: they take long and show nothing that smaller ones don't."""


def issue_grid(count: int = 2000) -> list[ConvolutionCase]:
    """Convolutions of issue 2: odd and non-square images, any kernels, channels, zero points."""
    settings = itertools.cycle(
        itertools.product(ISSUE_KERNELS, (False, True), (1, 2), ("SAME", "VALID"))
    )
    return [_issue_case(seed, *next(settings)) for seed in range(count)]


def _issue_case(
    seed: int, kernel: tuple[int, int], depthwise: bool, stride: int, padding: str
) -> ConvolutionCase:
    rng = seeded("issue2", seed)
    while True:
        rows, columns = _sides(rng)
        inputs = int(rng.choice(ISSUE_CHANNELS))
        outputs = int(rng.choice(ISSUE_CHANNELS))
        if depthwise:
            multiplier = int(rng.choice([1, 1, 1, 1, 2, 3]))
            outputs = inputs * multiplier
        activation = str(rng.choice(["NONE", "NONE", "RELU", "RELU6"]))
        zeros = Zeros(zero_point(rng), zero_point(rng), output_zero_point(rng, activation))
        share = float(rng.choice(ISSUE_SHARES))
        case = ConvolutionCase(
            "issue2", depthwise, rows, columns, inputs, outputs, kernel, stride, padding, zeros,
            share, activation, seed,
        )  # fmt: skip
        fits = padding == "SAME" or (kernel[0] <= rows and kernel[1] <= columns)
        if fits and case.operations <= ISSUE_OPERATIONS:
            return case


def _sides(rng: np.random.Generator) -> tuple[int, int]:
    """Rows and columns from 1 to 112: square, or of any proportion."""
    rows, columns = (int(np.exp(rng.uniform(0, np.log(113)))) for _ in range(2))
    return (rows, rows) if rng.random() < 0.35 else (rows, columns)


# --------------------------------------------------------------------------------------- additions


def driver_additions(each: int = ADDITIONS_EACH) -> list[AdditionCase]:
    """ADD of the existing driver's own test program, ``each`` of every size."""
    grid = itertools.product(ADDITION_SIZES, DRIVER_OUTPUTS, range(each))
    return [
        _addition_case("add", seed, size, size, channels, (0.4, 1.1))
        for seed, (size, channels, _) in enumerate(grid)
    ]


def steep_additions(count: int = 300) -> list[AdditionCase]:
    """Additions whose output range is a fifth to a tenth of the operands', so that most results
    are cut off and an input step is many output steps."""
    cases = []
    for seed in range(count):
        rng = seeded("steep", seed)
        rows, columns = int(rng.integers(1, 12)), int(rng.integers(1, 12))
        channels = int(rng.choice(ISSUE_CHANNELS))
        cases.append(_addition_case("steep", seed, rows, columns, channels, (0.1, 0.4)))
    return cases


def subtractions(count: int = 400) -> list[AdditionCase]:
    """Subtractions of odd shapes, with zero points at the ends and scales up to a hundredfold
    apart; a third of them with an output range that cuts most results off."""
    cases = []
    for seed in range(count):
        rng = seeded("subtractions", seed)
        rows, columns = _sides(rng)
        channels = int(rng.choice(ISSUE_CHANNELS))
        cover = (0.1, 0.4) if seed % 3 == 2 else (0.4, 1.1)
        case = _addition_case("sub", seed, rows, columns, channels, cover, subtract=True)
        if rows * columns * channels <= LARGEST_SUBTRACTION:
            cases.append(case)
    return cases


def _addition_case(
    group: str,
    seed: int,
    rows: int,
    columns: int,
    channels: int,
    cover: tuple[float, float],
    subtract: bool = False,
) -> AdditionCase:
    """``cover``: from which to which share of the sum's range the output has."""
    rng = seeded(group, "addition", seed)
    first = log_uniform(rng, 0.001, 1)
    ratio = log_uniform(rng, 1 / 16, 16) if seed % 5 else log_uniform(rng, 0.01, 100)
    second = float(np.float32(first * ratio))
    zeros = [zero_point(rng), zero_point(rng)]
    output = float(np.float32((first + second) * rng.uniform(*cover)))
    sign = -1 if subtract else 1
    middle = (first * (BYTE_MEAN - zeros[0]) + sign * second * (BYTE_MEAN - zeros[1])) / output
    beside = 0 if rng.random() < 0.7 else int(rng.integers(-110, 111))
    zeros.append(int(np.clip(round(BYTE_MEAN - middle) + beside, 0, 255)))
    activation = "RELU" if seed % 7 == 3 and zeros[2] < 160 else "NONE"
    return AdditionCase(
        group, rows, columns, channels, (first, second, output), (zeros[0], zeros[1], zeros[2]),
        activation, seed, subtract,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------- choosing


def sample(cases: Sequence[Case], count: int, seed: int = 0) -> list[Case]:
    """``count`` of the cases, always the same ones, in order."""
    chosen = np.random.default_rng(seed).permutation(len(cases))[:count]
    return [cases[i] for i in sorted(chosen.tolist())]


def driver_grid() -> list[Case]:
    """Everything of the existing driver's own test program."""
    return [*driver_convolutions(), *driver_depthwise(), *driver_additions()]
