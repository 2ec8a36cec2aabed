"""Each kernel of the reference executor gives exactly what LiteRT's reference kernels give."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from reference_cases import MAKERS, Case, cases_of

from lapilli.model import tflite
from lapilli.reference.executor import execute

NOT_IN_LITERT = {
    ("ABS", "uint8"): "LiteRT has ABS of int8 only",
    ("EXP", "uint8"): "LiteRT has EXP of int8 only",
    ("RSQRT", "uint8"): "LiteRT has RSQRT of int8 only",
    ("RSQRT", "int8"): "LiteRT refuses RSQRT of the drawn values below 0",
}
OTHER_RESOLVER = {
    ("SUM", "int8"): OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    # LiteRT's reference SUM of int8 adds in 8 bits, which overflow; its builtin one does not …
}
TOLERANCE = {("SUM", "int8"): 1.0}
"""… and rounds in another place."""
SEEDS, LONG_SEEDS = 3, 60


def interpreter_of(case: Case, dtype: str, seed: int) -> Interpreter:
    """LiteRT, having run the case on random values."""
    kind = case.name.split()[0]
    resolver = OTHER_RESOLVER.get((kind, dtype), OpResolverType.BUILTIN_REF)
    interpreter = Interpreter(
        model_content=case.model, experimental_op_resolver_type=resolver, num_threads=1
    )
    interpreter.allocate_tensors()
    random = np.random.default_rng(seed)
    for detail in interpreter.get_input_details():
        shape = detail["shape"]
        if detail["dtype"] == np.float32:
            value = random.normal(scale=3.0, size=shape).astype(np.float32)
        else:
            value = random.integers(0, 256, shape).astype(detail["dtype"])
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter


def differences(case: Case, dtype: str, seed: int) -> list[float]:
    """The largest difference of each output."""
    interpreter = interpreter_of(case, dtype, seed)
    graph = tflite.parse(case.model, case.name)
    inputs = {
        detail["index"]: interpreter.get_tensor(detail["index"])[None]
        for detail in interpreter.get_input_details()
    }
    found = execute(graph, inputs)
    return [
        float(
            np.abs(found[index][0].astype(np.float64) - interpreter.get_tensor(index)).max(
                initial=0
            )
        )
        for index in graph.outputs
    ]


def check(kind: str, dtype: str, seeds: int) -> None:
    if (kind, dtype) in NOT_IN_LITERT:
        pytest.skip(NOT_IN_LITERT[kind, dtype])
    for seed, case in enumerate(cases_of(kind, dtype, seeds)):
        largest = max(differences(case, dtype, seed))
        assert largest <= TOLERANCE.get((kind, dtype), 0.0), case.name


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("kind", MAKERS)
def test_every_byte_is_litert_s(kind: str, dtype: str) -> None:
    check(kind, dtype, SEEDS)


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("kind", MAKERS)
def test_every_byte_is_litert_s_in_many_cases(kind: str, dtype: str) -> None:
    check(kind, dtype, LONG_SEEDS)
