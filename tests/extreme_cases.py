"""Generated models of every operator whose tensors have scales at the ends of what a float32 can
be, as dead channels give them: each one, the operands', the results', or all by one factor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from cases import Array, seeded
from models import ModelBuilder
from operator_cases import FAMILIES, OperatorCase, bytes_of
from table_operators import KINDS, TableCase

LARGEST = float(np.finfo(np.float32).max)
SCALES = (
    1e-45, 1e-38, 2.0**-126, 1e-35, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30, 1e35, 1e38, LARGEST
)  # fmt: skip
"""The first two are no normal numbers."""
TABLES = "table"
LOOKED_AT = 12
"""Cases of a family, or of a kind of table, for each that is wanted."""
PLAIN = ("NEG", "SQUARE")
"""Operators of a byte that no other family has. LiteRT has the second for floats only."""


@dataclass(frozen=True)
class ExtremeCase:
    """Case ``seed`` of a family, of ``TABLES`` or of a kind of ``PLAIN``."""

    family: str
    seed: int

    @property
    def name(self) -> str:
        """What a failure is called."""
        return f"{self.family}-{self.seed}"

    def built(self) -> tuple[ModelBuilder, Sequence[int]]:
        """The builder, and its outputs."""
        if self.family == TABLES:
            builder, outputs = TableCase(self.seed).built()
        elif self.family in FAMILIES:
            builder, outputs = OperatorCase(self.family, self.seed).built()
        else:
            builder = ModelBuilder("int8")
            x = builder.input((1, 3, 5, 7), 0.02, 0)
            outputs = [builder.tensor((1, 3, 5, 7), 0.02, 0)]
            builder.operator(self.family, [x], outputs)
        _stretch(builder, outputs, seeded("extreme", self.name))
        return builder, outputs

    def feed(self) -> list[Array]:
        """Any bytes for the inputs."""
        builder, _ = self.built()
        rng = seeded("extreme feed", self.name)
        values = [bytes_of(builder, tensor, rng) for tensor in builder.inputs]
        # Minus the least byte is the greatest one here, and itself in LiteRT.
        return [np.maximum(each, -127) for each in values] if self.family == "NEG" else values


def _stretch(builder: ModelBuilder, outputs: Sequence[int], rng: np.random.Generator) -> None:
    """Other scales, all of them or some."""
    how = int(rng.integers(5))
    one = _scale(rng)
    for number, spec in enumerate(builder.tensors):
        if spec.scales is None:
            continue
        if how == 0:
            scales = [scale * one for scale in spec.scales]
        elif how == 1:
            scales = [one] * len(spec.scales)
        elif how == 2:
            scales = [_scale(rng)] * len(spec.scales)
        elif (number in outputs) == (how == 3):
            scales = [one] * len(spec.scales)
        else:
            continue
        spec.scales = [float(np.float32(min(scale, LARGEST))) for scale in scales]


def _scale(rng: np.random.Generator) -> float:
    return SCALES[int(rng.integers(len(SCALES)))]


def extreme_cases(count: int) -> Iterator[ExtremeCase]:
    """``count`` of each kind of operator, in the order in which they are drawn."""
    found: Counter[str] = Counter()
    for family in (*FAMILIES, *PLAIN, TABLES):
        for seed in range(LOOKED_AT * (len(KINDS) if family == TABLES else 1) * count):
            case = ExtremeCase(family, seed)
            kind = case.built()[0].operators[-1].kind
            assert isinstance(kind, str)
            if found[kind] < count:
                found[kind] += 1
                yield case
