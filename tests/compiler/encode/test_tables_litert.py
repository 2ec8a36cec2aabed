"""Tables that are taken give LiteRT's bytes within one, for every operator it has for bytes."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from models import ModelBuilder
from table_cases import Case, cases

from lapilli.compiler.encode import table_functions as functions
from lapilli.compiler.encode import tables
from lapilli.compiler.encode.table_functions import Function

Options = tuple[str, dict[str, float]]
BOTH, SIGNED = ("int8", "uint8"), ("int8",)
OPERATORS: tuple[tuple[str, Options | None, Function, tuple[str, ...]], ...] = (
    ("RELU", None, functions.relu, BOTH),
    ("RELU6", None, functions.relu6, BOTH),
    ("RELU_N1_TO_1", None, functions.relu_n1_to_1, BOTH),
    ("RELU_0_TO_1", None, functions.relu_0_to_1, BOTH),
    ("LEAKY_RELU", ("LeakyReluOptions", {"Alpha": 0.1}), functions.leaky_relu(0.1), BOTH),
    ("LEAKY_RELU", ("LeakyReluOptions", {"Alpha": 0.3}), functions.leaky_relu(0.3), BOTH),
    ("ELU", None, functions.elu, SIGNED),
    ("GELU", ("GeluOptions", {}), functions.gelu, BOTH),
    ("GELU", ("GeluOptions", {"Approximate": True}), functions.gelu_by_tanh, BOTH),
    ("LOGISTIC", None, functions.logistic, BOTH),
    ("TANH", None, functions.tanh, BOTH),
    ("HARD_SWISH", ("HardSwishOptions", {}), functions.hard_swish, BOTH),
    ("SQRT", None, functions.sqrt, SIGNED),
    ("RSQRT", None, functions.rsqrt, SIGNED),
    ("EXP", ("ExpOptions", {}), functions.exp, SIGNED),
    ("ABS", ("AbsOptions", {}), functions.absolute, SIGNED),
    ("QUANTIZE", ("QuantizeOptions", {}), functions.identity, BOTH),
)
"""Operator, options, function, types. LiteRT has no SQUARE for bytes; its NEG forgets scales."""
FIXED_OUTPUT = {"LOGISTIC": (1 / 256, 0), "TANH": (1 / 128, 128)}
"""The only ones LiteRT takes; zero points as unsigned bytes."""
NOT_NEGATIVE = ("SQRT", "RSQRT")
LARGEST_EXPONENT = 80.0
"""LiteRT computes in float32, where the exponential function ends at 88."""
COUNT = 12


def litert(operator: str, options: Options | None, case: Case, dtype: str) -> np.ndarray | None:
    """The 256 bytes LiteRT gives, as unsigned ones; None for scales it refuses."""
    least = np.iinfo(dtype).min
    builder = ModelBuilder(dtype)
    source = builder.input((1, 16, 16, 1), case.input_scale, case.input_zero_point + least)
    target = builder.tensor((1, 16, 16, 1), case.output_scale, case.output_zero_point + least)
    builder.operator(operator, [source], [target], options)
    interpreter = Interpreter(model_content=builder.build([target]))
    values = (np.arange(256) + least).astype(dtype).reshape(1, 16, 16, 1)
    try:
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
    except RuntimeError as error:
        if "output_multiplier_exponent" not in str(error):
            raise
        return None
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found.reshape(-1).astype(int) - least


def given(operator: str, function: Function) -> list[Case]:
    """Cases that the operator allows."""
    found = []
    for case in cases(function, COUNT, seed=3):
        zero_point = 0 if operator in NOT_NEGATIVE else case.input_zero_point
        output = FIXED_OUTPUT.get(operator, (case.output_scale, case.output_zero_point))
        if operator != "EXP" or (255 - zero_point) * case.input_scale < LARGEST_EXPONENT:
            found.append(Case(function, case.input_scale, zero_point, *output))
    return found


@pytest.mark.parametrize(
    ("operator", "options", "function", "dtype"),
    [(name, options, f, dtype) for name, options, f, dtypes in OPERATORS for dtype in dtypes],
)
def test_a_table_that_is_taken_is_within_one_of_litert(
    operator: str, options: Options | None, function: Function, dtype: str
) -> None:
    taken = 0
    for case in given(operator, function):
        expected = litert(operator, options, case, dtype)
        if expected is None:
            continue
        table = tables.fit(case.target, case.input_zero_point, case.output_zero_point)
        exact = tables.wanted_bytes(case.target, case.output_zero_point)
        assert np.abs(exact - expected).max() <= 1
        if tables.judge(table, exact).usable:
            assert np.abs(tables.evaluate(table).astype(int) - expected).max() <= 1
            taken += 1
    assert taken >= COUNT // 2
