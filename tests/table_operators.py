"""Generated operators that turn each byte into another one: those that LiteRT has for bytes.

Shapes are odd, of one to four dimensions; zero points often at the ends; outputs fit, or are up to
64 times too wide or too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cases import Array, log_uniform, seeded
from models import ModelBuilder
from table_cases import FUNCTIONS, natural_output

from lapilli.compiler.encode.table_functions import Function, leaky_relu

Options = tuple[str, dict[str, float]]
KINDS: dict[str, tuple[Options | None, str]] = {
    "RELU": (None, "relu"),
    "RELU6": (None, "relu6"),
    "RELU_N1_TO_1": (None, "relu_n1_to_1"),
    "RELU_0_TO_1": (None, "relu_0_to_1"),
    "LEAKY_RELU": (None, ""),
    "PRELU": (None, ""),
    "ELU": (None, "elu"),
    "GELU": (("GeluOptions", {}), "gelu"),
    "GELU by tanh": (("GeluOptions", {"Approximate": 1}), "gelu_by_tanh"),
    "HARD_SWISH": (("HardSwishOptions", {}), "hard_swish"),
    "LOGISTIC": (None, "logistic"),
    "TANH": (None, "tanh"),
    "SQRT": (None, "sqrt"),
    "RSQRT": (None, "rsqrt"),
    "EXP": (("ExpOptions", {}), "exp"),
    "ABS": (("AbsOptions", {}), "absolute"),
    "QUANTIZE": (("QuantizeOptions", {}), "identity"),
}
"""Options, and the function's name in ``table_cases``."""
INT8_ONLY = ("ELU", "SQRT", "RSQRT", "EXP", "ABS")
"""LiteRT has no kernels of these for uint8."""
NOT_NEGATIVE = ("SQRT", "RSQRT")
LARGEST_EXPONENT = 80.0
"""LiteRT computes in float32, where the exponential function ends at 88."""
RATIO = 64.0
SIDES, CHANNELS = 24, (1, 2, 3, 5, 7, 8, 13, 16, 24, 33, 64)
SLOPES = (0.0, 0.01, 0.1, 0.2, 0.3, 0.75, 1.0)


@dataclass(frozen=True)
class TableCase:
    """The operator with number ``seed``."""

    seed: int

    @property
    def name(self) -> str:
        """What a failure is called."""
        return f"table-{self.seed}"

    def built(self) -> tuple[ModelBuilder, Sequence[int]]:
        rng = seeded("table", self.seed)
        builder = ModelBuilder(str(rng.choice(["uint8", "int8"])))
        return builder, table_operator(builder, rng)

    def model(self) -> bytes:
        """The .tflite."""
        builder, outputs = self.built()
        return builder.build(outputs)

    def feed(self) -> list[Array]:
        """Every byte, as far as there is room, and any behind."""
        builder, _ = self.built()
        spec = builder.tensors[builder.inputs[0]]
        assert spec.shape is not None
        rng = seeded("feed", self.name)
        size = int(np.prod(spec.shape))
        values = np.concatenate([rng.permutation(256), rng.integers(0, 256, size)])[:size]
        return [values.astype(np.uint8).view(builder.dtype).reshape(spec.shape)]


def table_cases(count: int) -> list[TableCase]:
    """The first ``count``."""
    return [TableCase(seed) for seed in range(count)]


def least(builder: ModelBuilder) -> int:
    """Of the type."""
    return -128 if builder.dtype == "int8" else 0


def table_operator(builder: ModelBuilder, rng: np.random.Generator) -> Sequence[int]:
    """One operator of any kind and any scales, with its input."""
    kinds = [kind for kind in KINDS if builder.dtype == "int8" or kind not in INT8_ONLY]
    kind = str(rng.choice(kinds))
    full = (1, int(rng.integers(1, SIDES)), int(rng.integers(1, SIDES)), int(rng.choice(CHANNELS)))
    shape = full[4 - int(rng.choice([4, 4, 4, 3, 2, 1])) :]
    scale = log_uniform(rng, 1 / 1024, 1.0)
    point = int(rng.choice([0, 255, 128, *rng.integers(0, 256, 2)]))
    if kind in NOT_NEGATIVE:
        point = 0
    if kind == "EXP":
        scale = min(scale, LARGEST_EXPONENT / 256)
    x = builder.input(shape, float(np.float32(scale)), point + least(builder))
    return [append(builder, rng, x, kind)]


def append(builder: ModelBuilder, rng: np.random.Generator, x: int, kind: str) -> int:
    """The operator over a tensor that exists."""
    spec = builder.tensors[x]
    assert spec.scales is not None and spec.zero_points is not None and spec.shape is not None
    scale, point = spec.scales[0], spec.zero_points[0] - least(builder)
    options, name = KINDS[kind]
    inputs = [x]
    if kind == "LEAKY_RELU":
        slope = float(rng.choice(SLOPES))
        options, function = ("LeakyReluOptions", {"Alpha": slope}), leaky_relu(slope)
    elif kind == "PRELU":
        inputs, function = [x, *_slopes(builder, rng, spec.shape)], leaky_relu(0.5)
    else:
        function = FUNCTIONS[name]
    output = _output(rng, function, kind, scale, point)
    result = builder.tensor(spec.shape, output[0], output[1] + least(builder))
    builder.operator(kind.partition(" ")[0], inputs, [result], options)
    return result


def _slopes(builder: ModelBuilder, rng: np.random.Generator, shape: Sequence[int]) -> Sequence[int]:
    """One slope, or runs of up to three along the channels; some are negative or above 1."""
    values = rng.integers(0, 256, 3)[np.sort(rng.integers(0, 3, shape[-1]))]
    if rng.random() < 0.5:
        values = values[:1]
    data = (values + least(builder)).astype(builder.dtype)
    data = data.reshape((1,) * max(len(shape) - 2, 0) + (-1,))
    return [builder.constant(data, 1 / 128, 128 + least(builder))]


def _output(
    rng: np.random.Generator, function: Function, kind: str, scale: float, point: int
) -> tuple[float, int]:
    """Scale and zero point, as of uint8."""
    if kind in ("LOGISTIC", "TANH"):  # LiteRT takes no other
        return (1 / 256, 0) if kind == "LOGISTIC" else (1 / 128, 128)
    fitting, middle = natural_output(function, scale, point)
    other = fitting * log_uniform(rng, 1 / RATIO, RATIO)
    if kind == "HARD_SWISH":  # LiteRT's kernel takes no finer ones
        fitting, other = max(fitting, scale / 100), max(other, scale / 100)
    anywhere = int(rng.integers(0, 256))
    choices = [(fitting, middle), (fitting, middle), (other, middle), (other, anywhere)]
    found = choices[int(rng.integers(0, len(choices)))]
    return float(np.float32(found[0])), found[1]
