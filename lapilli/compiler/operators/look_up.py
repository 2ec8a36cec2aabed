"""LOOK_UP: what fusions make of several functions of a byte in a row. No model has it.

Inputs: the bytes, the table's 1024 words, and what the 256 bytes become where the operators run one
after the other.
"""

from __future__ import annotations

import numpy as np

from lapilli.compiler.builder import Builder
from lapilli.compiler.encode.requantise import Multiplier
from lapilli.compiler.encode.tables import Table
from lapilli.compiler.operators import byte_function
from lapilli.compiler.operators.record import OperatorRecord
from lapilli.model.graph import Operator

KIND = "LOOK_UP"
BYTES, WORDS, RESULTS = 0, 1, 2
"""Positions among the inputs."""


def lower(builder: Builder, operator: Operator) -> None:
    """One look-up of all bytes."""
    words = builder.graph.tensors[operator.inputs[WORDS]].data
    assert words is not None
    points = [
        builder.quantization(tensor).zero_point
        for tensor in (operator.inputs[BYTES], operator.outputs[0])
    ]
    table = Table(words.astype(np.uint32, copy=False), Multiplier(0, 0), points[0], points[1])
    byte_function.look_up(builder, operator, table)


RECORD = OperatorRecord(
    kinds=(KIND,),
    words="A look-up of every byte on the TP cores.",
    rules=byte_function.COMMON_RULES,
    lower=lower,
    quantised=(BYTES,),
    needed=3,
)
